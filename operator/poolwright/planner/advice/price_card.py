"""What tokens of each kind cost by tier and context bracket: prices at which selling the tokens pays for the plan.

Prices a plan that was made; changes nothing about it. Equations (12.5) to (12.8) of docs/model.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from poolwright.hardware.catalogue import Catalogue
from poolwright.perf.cost import power_w
from poolwright.perf.step_time import step_breakdown
from poolwright.planner.advice.token_share import (
    OperatingPoint,
    Tokens,
    cached_token_s,
    operating_point,
    request_seconds,
)
from poolwright.planner.candidates import Candidate
from poolwright.planner.outcome import Plan, TierPlan, VariantPlan
from poolwright.planner.policy import PoolPolicy, TierPolicy
from poolwright.planner.tier_plan import planned_candidate
from poolwright.queueing.sizing import CHUNKS, MOST_SEQUENCES
from poolwright.queueing.station import Station, capacity, kv_limit
from poolwright.queueing.workload import Array, Workload

BRACKETS: Final = (8_192, 32_768, 131_072, 1_048_576)
"""Upper ends of the context brackets that are priced [tokens], as far as the model goes: the thresholds at which
hosted models' price lists change."""

SERVED_RATIO: Final = 0.999
"""Share of what a replica sustains above which more load is not served but queued [ratio]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """Requests up to a context, and what their tokens take.

    Attributes
    ----------
    up_to_tokens
        Largest context.
    request_ratio
        Share of the tier's requests: 0 where a bracket shows what a longer request would take.
    tokens_per_s
        Tokens that the tier moves in it [1/s].
    seconds
        Seconds of a replica per token; None where a request of the bracket does not fit, or without load.
    floor_seconds
        The same in the largest batch that memory allows, without objectives: the asymptote.
    """

    up_to_tokens: int
    request_ratio: float
    tokens_per_s: Tokens
    seconds: Tokens | None
    floor_seconds: Tokens | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceCard:
    """The price list of one tier.

    Attributes
    ----------
    replica_usd_per_s, replica_power_w
        Of one replica; no price where its accelerator has none.
    served_per_s, floor_per_s
        Requests that one replica serves in the plan, and in the largest batch without objectives [1/s].
    brackets
        From short to long.
    """

    tier: str
    variant: str
    replicas: int
    replica_usd_per_s: float | None
    replica_power_w: float
    served_per_s: float
    floor_per_s: float
    brackets: tuple[Bracket, ...]

    def usd(self, seconds: Tokens | None) -> Tokens | None:
        """Return dollars per token, equation (12.5)."""
        if seconds is None or self.replica_usd_per_s is None:
            return None
        return seconds.times(self.replica_usd_per_s)

    def joules(self, seconds: Tokens | None) -> Tokens | None:
        """Return joules per token, equation (12.6)."""
        return None if seconds is None else seconds.times(self.replica_power_w)

    def revenue_usd_per_s(self, price: Tokens | None = None) -> float | None:
        """Return what the tier's tokens earn at prices per token [$/s]; without prices, at the card's own."""
        if price is not None:
            return sum(each.tokens_per_s.dot(price) for each in self.brackets)
        if self.replica_usd_per_s is None:
            return None
        taken = [each.tokens_per_s.dot(each.seconds) for each in self.brackets if each.seconds is not None]
        return self.replica_usd_per_s * sum(taken)

    def margin_ratio(self, price: Tokens) -> float | None:
        """Return the gross margin at prices per token: (revenue - cost) / revenue, equation (12.8); None without."""
        revenue = self.revenue_usd_per_s(price)
        if not revenue or self.replica_usd_per_s is None:
            return None
        return 1.0 - self.replicas * self.replica_usd_per_s / revenue


def price_cards(policy: PoolPolicy, plan: Plan, catalogue: Catalogue) -> tuple[PriceCard, ...]:
    """Return the card of every tier that a plan serves."""
    tiers = {each.name: each for each in policy.tiers}
    cards = [_card(policy, tiers[each.tier], each, catalogue) for each in plan.tiers if each.variants]
    return tuple(each for each in cards if each is not None)


def _card(policy: PoolPolicy, tier: TierPolicy, made: TierPlan, catalogue: Catalogue) -> PriceCard | None:
    own, load = made.variants[0], made.load
    candidate = planned_candidate(policy, tier, made, catalogue)
    if candidate is None or own.replicas < 1:
        return None
    workload = Workload.from_means(
        load.input_tokens_mean, load.output_tokens_mean, cached_prefix_ratio=load.cached_prefix_ratio
    )
    return _priced(candidate, workload, own, load.rate_per_s)


def _priced(candidate: Candidate, workload: Workload, own: VariantPlan, rate_per_s: float) -> PriceCard:
    """Return the card of a candidate with the replicas of a plan."""
    floor_station, floor_per_s = floor_of(candidate.station, workload)
    served = min(rate_per_s / own.replicas, SERVED_RATIO * capacity(candidate.station, workload).rate_per_s)
    floor = operating_point(floor_station, workload, SERVED_RATIO * floor_per_s)
    point = operating_point(candidate.station, workload, served) if served > 0.0 else None
    longest = candidate.station.kv_capacity_tokens
    edges = _edges(candidate.config.model.max_context_tokens)
    shapes = [_shape(low, high, workload, is_last=high == edges[-1][1]) for low, high in edges]
    cost = own.cost_usd_per_s
    return PriceCard(
        tier=own.variant.tier,
        variant=own.variant.key,
        replicas=own.replicas,
        replica_usd_per_s=None if cost is None else cost / own.replicas,
        replica_power_w=0.0 if point is None else _power_w(candidate, workload, point),
        served_per_s=served,
        floor_per_s=floor_per_s,
        brackets=tuple(_bracket(each, point, floor, own.replicas * served, longest) for each in shapes),
    )


def floor_of(station: Station, workload: Workload) -> tuple[Station, float]:
    """Return the limits with which a replica sustains most without objectives, and that rate [1/s]: the asymptote."""
    fits = kv_limit(workload.moments, station.kv_capacity_tokens, station.block_tokens)
    most = max(min(int(fits), MOST_SEQUENCES), station.max_num_seqs)
    wide = [replace(station, max_num_seqs=most, max_num_batched_tokens=chunk) for chunk in CHUNKS]
    tried = [(capacity(each, workload).rate_per_s, each) for each in (station, *wide)]
    rate_per_s, best = max(tried, key=lambda pair: pair[0])
    return best, rate_per_s


def _edges(max_context_tokens: int) -> list[tuple[int, int]]:
    """Return lower and upper ends of the brackets that a model has; its own longest context ends the last."""
    ends = [each for each in BRACKETS if each < max_context_tokens]
    ends.append(max_context_tokens)
    return list(zip([0, *ends], ends, strict=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """Requests of one bracket: lengths and shares of equal shape, cached tokens of all of them, and where they end."""

    up_to_tokens: int
    request_ratio: float
    inputs: Array
    outputs: Array
    weights: Array
    cached: float


def _shape(low: int, high: int, workload: Workload, *, is_last: bool) -> _Shape:
    """Return the workload's requests in a bracket; where it has none, one of the middle length with its mean answer."""
    cached = workload.cached_tokens
    context = workload.input_tokens + cached + workload.output_tokens
    inside = (context > low) & ((context <= high) | is_last)
    if inside.any():
        return _Shape(
            up_to_tokens=high,
            request_ratio=float(workload.weights[inside].sum()),
            inputs=workload.input_tokens[inside],
            outputs=workload.output_tokens[inside],
            weights=workload.weights[inside],
            cached=cached,
        )
    middle = math.sqrt(max(low, 1) * high)
    answer = min(workload.mean_output, middle / 2.0)
    ratio = cached / (cached + workload.mean_input)
    return _Shape(
        up_to_tokens=high,
        request_ratio=0.0,
        inputs=np.array([(middle - answer) * (1.0 - ratio)]),
        outputs=np.array([answer]),
        weights=np.ones(1),
        cached=(middle - answer) * ratio,
    )


def _bracket(
    shape: _Shape, point: OperatingPoint | None, floor: OperatingPoint, rate_per_s: float, longest_tokens: float
) -> Bracket:
    """Return what the requests of a bracket take, unless the cache cannot hold one of them."""
    tokens = _totals((shape.inputs, np.full(shape.inputs.shape, shape.cached), shape.outputs), shape.weights)
    is_seen = shape.request_ratio > 0.0
    fits = is_seen or tokens.input + tokens.cached + tokens.output <= longest_tokens

    def seconds(at: OperatingPoint | None) -> Tokens | None:
        if at is None or not fits:
            return None
        taken = _totals(request_seconds(at, shape.inputs, shape.outputs, shape.cached), shape.weights).over(tokens)
        return replace(taken, cached=cached_token_s(at, float(shape.weights @ shape.outputs / shape.weights.sum())))

    return Bracket(
        up_to_tokens=shape.up_to_tokens,
        request_ratio=shape.request_ratio,
        tokens_per_s=tokens.times(rate_per_s if is_seen else 0.0),
        seconds=seconds(point),
        floor_seconds=seconds(floor),
    )


def _totals(parts: Sequence[Array], weights: Array) -> Tokens:
    by_input, by_cached, by_output = (float(weights @ each) for each in parts)
    return Tokens(input=by_input, cached=by_cached, output=by_output)


def _power_w(candidate: Candidate, workload: Workload, point: OperatingPoint) -> float:
    """Return the mean power of a replica at its operating point [W], equation (12.7)."""
    config, moments = candidate.config, workload.moments
    decode = step_breakdown(
        config, decode_sequences=max(point.batch, 1.0), context_tokens=moments.c, prefill_tokens=0.0
    ).compute_floor_s
    prompt = step_breakdown(
        config, decode_sequences=0.0, context_tokens=0.0, prefill_tokens=max(moments.in1, 1.0)
    ).compute_floor_s
    each_s = float(decode) / max(point.batch, 1.0) * moments.m + float(prompt)
    return power_w(config, -math.expm1(-point.batch), min(point.rate_per_s * each_s, 1.0))
