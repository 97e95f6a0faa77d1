"""What latency costs: every candidate of a tier at several numbers of replicas, and which of them nothing beats.

Judges with the closed form, as sizing does; decides nothing. Equation (12.15) of docs/model.md.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from poolwright.hardware.catalogue import Catalogue
from poolwright.perf.cost import usd_per_s
from poolwright.planner.candidates import Candidate, candidates, sustained_per_s, workload_of
from poolwright.planner.menu import menu_of, options_of
from poolwright.planner.offer import variant_of
from poolwright.planner.outcome import Load, Plan, TierPlan
from poolwright.planner.policy import PoolPolicy, TierPolicy
from poolwright.planner.prices import price_usd_per_s
from poolwright.planner.snapshot import Snapshot
from poolwright.planner.verify import rates_of
from poolwright.queueing.predict import predict

RATIOS: Final = (1.0, 1.05, 1.15, 1.3, 1.6, 2.0, 3.0)
"""Replicas that are tried, over the fewest that carry the load: dense where latency still falls steeply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate at one number of replicas.

    Attributes
    ----------
    cost_usd_per_s
        Of all replicas.
    ttft_s, itl_s
        At the tier's percentile; infinite in overload.
    attainment_ratio
        Least probability at any objective.
    on_ttft_front, on_itl_front
        Whether nothing that costs no more has a lower TTFT (ITL).
    """

    variant: str
    replicas: int
    cost_usd_per_s: float
    ttft_s: float
    itl_s: float
    attainment_ratio: float
    meets_objectives: bool
    is_chosen: bool = False
    is_runner_up: bool = False
    on_ttft_front: bool = False
    on_itl_front: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Points of one tier, cheapest first; those in overload are left out."""

    tier: str
    percentile_ratio: float
    ttft_objective_s: float | None
    itl_objective_s: float | None
    points: tuple[Point, ...]


def frontiers(policy: PoolPolicy, snapshot: Snapshot, made: Plan, catalogue: Catalogue) -> tuple[Frontier, ...]:
    """Return the frontier of every tier of a plan; candidates without a price have no place in it."""
    tiers = {each.name: each for each in policy.tiers}
    return tuple(_frontier(policy, snapshot, tiers[each.tier], each, catalogue) for each in made.tiers)


def _frontier(
    policy: PoolPolicy, snapshot: Snapshot, tier: TierPolicy, made: TierPlan, catalogue: Catalogue
) -> Frontier:
    options = tuple(options_of(policy, menu_of(policy, snapshot, catalogue)))
    found, _ = candidates(policy.model, options, made.load, tier.objectives)
    prices = dict(policy.prices_usd_per_s)
    chosen = {(each.variant.key, each.replicas) for each in made.variants[:1]}
    runners = {(each.variant.key, each.replicas) for each in made.runners_up}
    wanted = chosen | runners
    points: list[Point] = []
    for each in found:
        key = variant_of(tier.name, each).key
        price = usd_per_s(each.config, price_usd_per_s(each.config.accelerator, prices))
        named = [count for name, count in wanted if name == key]
        if price is not None:
            points += _points(tier, made.load, each, price, named)
    marked = [
        replace(
            each,
            is_chosen=(each.variant, each.replicas) in chosen,
            is_runner_up=(each.variant, each.replicas) in runners,
        )
        for each in points
    ]
    return Frontier(
        tier=tier.name,
        percentile_ratio=tier.objectives.percentile_ratio,
        ttft_objective_s=tier.objectives.ttft_s,
        itl_objective_s=tier.objectives.itl_s,
        points=with_fronts(marked),
    )


def _points(
    tier: TierPolicy, load: Load, candidate: Candidate, price_usd_per_s: float, named: Iterable[int]
) -> list[Point]:
    """Return a candidate at its numbers of replicas; those that do not carry the load are left out."""
    workload, percentile = workload_of(load), tier.objectives.percentile_ratio
    sustained = sustained_per_s(candidate, workload)
    if sustained <= 0.0:
        return []
    least = max(math.ceil(load.rate_per_s / sustained), 1)
    found = []
    for count in sorted({*(math.ceil(least * ratio) for ratio in RATIOS), *(each for each in named if each > 0)}):
        prediction = predict(candidate.station, workload, rates_of(load), replicas=count)
        ttft_s, itl_s = prediction.ttft_s(percentile), prediction.itl_s(percentile)
        attained = min(prediction.attainment(tier.objectives).values())
        if math.isfinite(ttft_s) and math.isfinite(itl_s):
            found.append(
                Point(
                    variant=variant_of(tier.name, candidate).key,
                    replicas=count,
                    cost_usd_per_s=price_usd_per_s * count,
                    ttft_s=ttft_s,
                    itl_s=itl_s,
                    attainment_ratio=attained,
                    meets_objectives=attained >= percentile,
                )
            )
    return found


def with_fronts(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return points by cost, with both fronts marked, equation (12.15)."""
    by_ttft = _front(points, lambda each: each.ttft_s)
    by_itl = _front(points, lambda each: each.itl_s)
    marked = [
        replace(each, on_ttft_front=index in by_ttft, on_itl_front=index in by_itl) for index, each in enumerate(points)
    ]
    return tuple(sorted(marked, key=lambda each: (each.cost_usd_per_s, each.variant, each.replicas)))


def _front(points: Sequence[Point], latency_s: Callable[[Point], float]) -> set[int]:
    """Return indices of points below whose latency there is nothing at the same cost or less."""
    front: set[int] = set()
    best = math.inf
    order = sorted(
        range(len(points)), key=lambda i: (points[i].cost_usd_per_s, latency_s(points[i]), points[i].variant)
    )
    for index in order:
        if latency_s(points[index]) < best:
            best = latency_s(points[index])
            front.add(index)
    return front
