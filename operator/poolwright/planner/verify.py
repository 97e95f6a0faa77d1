"""How many replicas a candidate needs, judged at R - 1, R and R + 1.

The closed form proposes and, today, also judges; a simulation can take the judge's place without anybody else noticing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from poolwright.planner.candidates import Candidate, Same
from poolwright.planner.outcome import Load, Predicted
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.predict import predict
from poolwright.queueing.sizing import attainments, smallest_replicas
from poolwright.queueing.workload import Arrivals, RateDistribution, Workload

LEAST_RATE_PER_S: Final = 1e-3
"""Rate at which an idle tier is planned for [1/s]: one request in a quarter of an hour."""

RATE_STEP: Final = 0.01
"""Width of the bins that rates are rounded up to [1, natural logarithm]: at most 1 % more than was seen is planned for,
far less than a rate that is measured for a minute scatters by."""

ROUNDING: Final = 1e-9
"""Slack of the bins [1]: a rate on an edge stays there."""

MEMO: Final = 16_384
"""Verdicts remembered: a thousand pools with the handful of candidates that each of them compares."""

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


def rates_of(load: Load, share: float = 1.0) -> Arrivals | RateDistribution:
    """Return a load's arrivals, or a share of them: one Poisson rate, or the distribution that was seen.

    Rates are rounded up to bins of ``RATE_STEP``: a plan then changes with the load and not with every digit of it.
    """
    if len(load.rates_per_s) > 1:
        rates = tuple(_rounded_up(rate * share) for rate in load.rates_per_s)
        return RateDistribution(rates_per_s=rates, weights=tuple(round(weight, 3) for weight in load.weights))
    return Arrivals(rate_per_s=_rounded_up(load.rate_per_s * share))


def _rounded_up(rate_per_s: float) -> float:
    least = max(rate_per_s, LEAST_RATE_PER_S)
    return math.exp(math.ceil(math.log(least) / RATE_STEP - ROUNDING) * RATE_STEP)


def verified(
    candidate: Candidate, workload: Workload, load: Load, objectives: Objectives, judge: Judge = closed_form
) -> Verdict:
    """Return the smallest number of replicas, moved until the judge agrees that one fewer does not do."""
    return _verified(Same(candidate), Same(workload), rates_of(load), objectives, judge)


@lru_cache(maxsize=MEMO)
def _verified(
    same: Same[Candidate],
    work: Same[Workload],
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    judge: Judge,
) -> Verdict:
    candidate, workload = same.value, work.value
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


def expected(
    candidate: Candidate, workload: Workload, load: Load, objectives: Objectives, count: int, share: float
) -> Predicted:
    """Return what the model expects of ``count`` replicas that carry a share of a load."""
    return _expected(Same(candidate), Same(workload), rates_of(load, share), objectives, count)


@lru_cache(maxsize=MEMO)
def _expected(
    same: Same[Candidate],
    work: Same[Workload],
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    replicas: int,
) -> Predicted:
    prediction = predict(same.value.station, work.value, rates, replicas=replicas)
    percentile = objectives.percentile_ratio
    return Predicted(
        ttft_s=prediction.ttft_s(percentile),
        itl_s=prediction.itl_s(percentile),
        end_to_end_s=prediction.end_to_end_s(percentile),
        utilisation_ratio=prediction.utilisation_ratio,
        kv_utilisation_ratio=prediction.kv_utilisation_ratio,
        mean_batch=prediction.mean_batch,
        capacity_per_s=prediction.capacity_per_s,
        attainment_ratio=min(prediction.attainment(objectives).values()),
    )
