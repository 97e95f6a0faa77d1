"""How many replicas a candidate needs, judged at R - 1, R and R + 1.

The closed form proposes and, today, also judges; a simulation can take the judge's place without anybody else noticing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from poolwright.planner.candidates import Candidate
from poolwright.planner.outcome import Load
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.sizing import attainments, smallest_replicas
from poolwright.queueing.workload import Arrivals, RateDistribution, Workload

LEAST_RATE_PER_S: Final = 1e-3
"""Rate at which an idle tier is planned for [1/s]: one request in a quarter of an hour."""

MOST_REPLICAS: Final = 16_384
"""Largest number searched: beyond any fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Smallest number of replicas that meets the objectives, and the probability at R - 1, R and R + 1."""

    replicas: int
    is_feasible: bool
    attainment: tuple[tuple[int, float], ...]


Judge = Callable[[Candidate, Workload, Arrivals | RateDistribution, Objectives, Sequence[int]], Sequence[float]]
"""Least probability at any objective for each number of replicas."""


def closed_form(
    candidate: Candidate,
    workload: Workload,
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    replicas: Sequence[int],
) -> Sequence[float]:
    """Return the closed form's probabilities."""
    found = attainments(candidate.station, workload, rates, objectives, replicas)
    return tuple(float(each) for each in found)


def rates_of(load: Load) -> Arrivals | RateDistribution:
    """Return a load's arrivals: one Poisson rate, or the distribution that was seen."""
    if len(load.rates_per_s) > 1:
        return RateDistribution(rates_per_s=load.rates_per_s, weights=load.weights)
    return Arrivals(rate_per_s=max(load.rate_per_s, LEAST_RATE_PER_S))


def verified(
    candidate: Candidate, workload: Workload, load: Load, objectives: Objectives, judge: Judge = closed_form
) -> Verdict:
    """Return the smallest number of replicas, moved until the judge agrees that one fewer does not do."""
    rates = rates_of(load)
    proposed = smallest_replicas(candidate.station, workload, rates, objectives, most=MOST_REPLICAS)
    replicas = proposed.replicas

    around = [count for count in (replicas - 1, replicas, replicas + 1) if count >= 1]
    attained = dict(zip(around, judge(candidate, workload, rates, objectives, around), strict=True))
    enough = [count for count, share in attained.items() if share >= objectives.percentile_ratio]
    return Verdict(
        replicas=min(enough, default=replicas),
        is_feasible=proposed.is_feasible and bool(enough),
        attainment=tuple(attained.items()),
    )
