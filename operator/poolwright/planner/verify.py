"""How many replicas a candidate needs, judged at R - 1, R and R + 1.

The closed form proposes; a judge decides: the closed form again for whoever only compares, a simulation (``judge``) for
what is chosen.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from poolwright.planner.candidates import Candidate, Same
from poolwright.planner.outcome import Load, Predicted
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.predict import predict
from poolwright.queueing.sizing import attainments, smallest_replicas
from poolwright.queueing.station import Station
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


MOST_MOVES: Final = 16
"""Replicas by which a judge may correct the closed form at least [1]; of larger pools, half their size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a judge says of a number of replicas.

    Attributes
    ----------
    probability
        The least at any objective.
    requests
        How many were simulated; 0 where none was.
    ttft_s, itl_s, end_to_end_s
        At the objectives' percentile [s]; None where the judge does not know.
    """

    probability: float
    requests: int = 0
    ttft_s: float | None = None
    itl_s: float | None = None
    end_to_end_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Smallest number of replicas that meets the objectives, and the probability at R - 1, R and R + 1.

    ``proposed`` is what the closed form said, ``requests`` how many were simulated for each number; 0: none.
    """

    replicas: int
    is_feasible: bool
    attainment: tuple[tuple[int, float], ...]
    proposed: int
    requests: int = 0


Judge = Callable[
    [Station, Workload, Arrivals | RateDistribution, Objectives, tuple[int, ...]],
    tuple[Judged, ...],
]
"""What is to be expected of each number of replicas."""


def closed_form(
    station: Station,
    workload: Workload,
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    replicas: tuple[int, ...],
) -> tuple[Judged, ...]:
    """Return the closed form's probabilities."""
    found = attainments(station, workload, rates, objectives, replicas)
    return tuple(Judged(probability=float(each)) for each in found)


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
    return verdict_of(candidate.station, workload, rates_of(load), objectives, judge)


def verdict_of(
    station: Station, workload: Workload, rates: Arrivals | RateDistribution, objectives: Objectives, judge: Judge
) -> Verdict:
    """Return the same for any station and rates."""
    return _verified(Same(station), Same(workload), rates, objectives, judge)


@lru_cache(maxsize=MEMO)
def _verified(
    same: Same[Station],
    work: Same[Workload],
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    judge: Judge,
) -> Verdict:
    station, workload = same.value, work.value
    proposed = smallest_replicas(station, workload, rates, objectives, most=MOST_REPLICAS)
    seen: dict[int, Judged] = {}

    def judged(*counts: int) -> list[Judged]:
        unseen = tuple(count for count in counts if count not in seen)
        seen.update(zip(unseen, judge(station, workload, rates, objectives, unseen) if unseen else (), strict=True))
        return [seen[count] for count in counts]

    def is_enough(count: int) -> bool:
        return judged(count)[0].probability >= objectives.percentile_ratio

    replicas = proposed.replicas
    if proposed.is_feasible and judge is not closed_form:  # which proposed it, and would agree
        replicas = _moved(replicas, is_enough)
    around = [count for count in (replicas - 1, replicas, replicas + 1) if count >= 1]
    found = judged(*around)
    return Verdict(
        replicas=replicas,
        is_feasible=proposed.is_feasible and is_enough(replicas),
        attainment=tuple((count, each.probability) for count, each in zip(around, found, strict=True)),
        proposed=proposed.replicas,
        requests=max(each.requests for each in found),
    )


def _moved(proposed: int, is_enough: Callable[[int], bool]) -> int:
    """Return the number at which one fewer does not do, the first that is found from the proposal on.

    The proposal itself where none near it does.
    """
    count = proposed
    while count > 1 and is_enough(count - 1):
        count -= 1
    most = proposed + max(MOST_MOVES, proposed // 2)
    while count < most and not is_enough(count):
        count += 1
    return count if is_enough(count) else proposed


def expected(
    candidate: Candidate,
    workload: Workload,
    load: Load,
    objectives: Objectives,
    count: int,
    share: float,
    judge: Judge = closed_form,
) -> Predicted:
    """Return what is expected of ``count`` replicas that carry a share of a load; what the judge knows, it says."""
    return _expected(Same(candidate.station), Same(workload), rates_of(load, share), objectives, count, judge)


@lru_cache(maxsize=MEMO)
def _expected(
    same: Same[Station],
    work: Same[Workload],
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    replicas: int,
    judge: Judge,
) -> Predicted:
    prediction = predict(same.value, work.value, rates, replicas=replicas)
    (judged,) = judge(same.value, work.value, rates, objectives, (replicas,))
    percentile = objectives.percentile_ratio
    return Predicted(
        ttft_s=prediction.ttft_s(percentile) if judged.ttft_s is None else judged.ttft_s,
        itl_s=prediction.itl_s(percentile) if judged.itl_s is None else judged.itl_s,
        end_to_end_s=prediction.end_to_end_s(percentile) if judged.end_to_end_s is None else judged.end_to_end_s,
        utilisation_ratio=prediction.utilisation_ratio,
        kv_utilisation_ratio=prediction.kv_utilisation_ratio,
        mean_batch=prediction.mean_batch,
        capacity_per_s=prediction.capacity_per_s,
        attainment_ratio=judged.probability,
    )
