"""Ways: variants that can serve one tier, each with what the tier's load needs of it and the most that may run.

The tier's own ceilings cut ways here; what pools share is in ``fleet.build``.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from poolwright.planner.candidates import Candidate, sustained_per_s, with_limits
from poolwright.planner.fleet.request import FleetLimits, FleetRequest
from poolwright.planner.fleet.sizing import Need, need_of
from poolwright.planner.menu import max_replicas_of
from poolwright.planner.offer import LIMITS_RATIO, variant_of
from poolwright.planner.optimise import current_of
from poolwright.planner.outcome import Load
from poolwright.planner.policy import TierPolicy
from poolwright.planner.prices import price_usd_per_s
from poolwright.planner.snapshot import Variant, VariantState
from poolwright.queueing.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Replicas of one variant in a column."""

    variant: Variant
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One variant that can serve a tier, with what the tier's load needs of it.

    ``least`` and ``cap`` are the fewest replicas and the most that any ceiling on this tier alone allows; ``own_cap``
    is the most without the fleet's quota. ``extra`` is what a judge added to the closed form's number.
    """

    variant: Variant
    candidate: Candidate
    need: Need
    least: int
    cap: int
    own_cap: int
    extra: int
    price_usd_per_s: float | None
    sustained_per_s: float

    @property
    def size(self) -> int:
        """Accelerators of one replica."""
        return self.variant.accelerators


def ways_of(
    request: FleetRequest,
    tier: TierPolicy,
    load: Load,
    workload: Workload,
    found: Sequence[Candidate],
    running: Sequence[VariantState],
    limits: FleetLimits,
) -> Iterator[Way]:
    """Yield the variants that serve the tier and that its own ceilings leave at least one replica of."""
    prices, menu = dict(request.policy.prices_usd_per_s), max_replicas_of(request.policy)
    quotas = dict(request.policy.max_accelerators)
    has_budget = request.policy.budget.usd_per_s is not None or limits.budget.usd_per_s is not None
    for best in found:
        accelerator = best.config.accelerator
        candidate = _as_running(best, workload, tier, running)
        price = price_usd_per_s(accelerator, prices)
        supply = limits.supply(accelerator.name)
        is_spread = not supply.domains or len(supply.domains) >= request.min_domains
        need = need_of(candidate, workload, load, tier.objectives)
        if need is None or not is_spread or (price is None and has_budget):
            continue
        way = Way(
            variant=variant_of(tier.name, candidate),
            candidate=candidate,
            need=need,
            least=least_of(request),
            cap=_cap(request, candidate, price, menu, [quotas.get(accelerator.name), supply.quota]),
            own_cap=_cap(request, candidate, price, menu, [quotas.get(accelerator.name)]),
            extra=_extra(request, variant_of(tier.name, candidate), need),
            price_usd_per_s=price,
            sustained_per_s=sustained_per_s(candidate, workload),
        )
        if way.own_cap > 0:
            yield way


def _extra(request: FleetRequest, variant: Variant, need: Need) -> int:
    """Return how many replicas more than the curve a judge last asked for of a variant; negative for fewer."""
    for each, rate_per_s, replicas in request.judged:
        if each == variant:
            return replicas - (need.curve.needed(rate_per_s) or replicas)
    return 0


def _as_running(best: Candidate, workload: Workload, tier: TierPolicy, running: Sequence[VariantState]) -> Candidate:
    """Return the candidate with the limits that its replicas run with, where those are good enough."""
    for state in running:
        if state.has_limits and state.variant == variant_of(tier.name, best):
            sequences, tokens = state.max_num_seqs, state.max_num_batched_tokens
            as_is = with_limits(best, workload, tier.objectives, sequences=sequences, tokens=tokens)
            return as_is if as_is.limits.rate_per_s >= LIMITS_RATIO * best.limits.rate_per_s else best
    return best


def least_of(request: FleetRequest) -> int:
    """Return replicas that a tier has at least: its share of the pool's minimum, one in each failure domain."""
    scaling, tiers = request.policy.scaling, len(request.policy.tiers)
    return max(math.ceil(scaling.min_replicas / tiers), request.min_domains, 1)


def _cap(
    request: FleetRequest,
    candidate: Candidate,
    price_usd_per_s: float | None,
    menu: Mapping[str, int],
    quotas: Sequence[int | None],
) -> int:
    """Return the most replicas that any ceiling on this tier alone allows."""
    policy, config = request.policy, candidate.config
    size = config.accelerators
    caps: list[float] = [policy.scaling.max_replicas, menu.get(config.accelerator.name, math.inf)]
    caps += [quota // size for quota in quotas if quota is not None]
    if policy.budget.usd_per_s is not None and price_usd_per_s:
        caps.append(policy.budget.usd_per_s * (1.0 + 1e-9) / (price_usd_per_s * size))
    if policy.budget.watts is not None:
        caps.append(policy.budget.watts * (1.0 + 1e-9) / (config.accelerator.tdp_w * size))
    return int(min(caps))


def kept_of(ways: Sequence[Way], running: Sequence[VariantState]) -> tuple[Part, ...]:
    """Return the running replicas whose loss would be churn: the current variant's, then others, while still needed."""
    by_variant = {each.variant: each for each in ways}
    current = current_of(running)
    kept, served = [], 0.0
    for state in sorted(running, key=lambda each: (each is not current, each.age_s, each.variant)):
        way = by_variant.get(state.variant)
        if way is not None and served < 1.0:
            replicas = min(state.wanted, max(way.need.replicas + way.extra, way.least))
            kept.append(Part(variant=way.variant, replicas=replicas))
            served += way.need.served_ratio(replicas)
    return tuple(kept)
