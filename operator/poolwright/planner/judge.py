"""The judge that simulates: what requests would see on so many replicas of a kind, in the compiled kernel.

Every number of replicas serves the same requests, drawn from constants and stretched to the load (common random
numbers), so that verdicts differ by replicas and not by luck. The closed form says where to look; where that is an
overload that nothing could be mistaken about, nothing is simulated. Equation (10.15) of docs/model.md.
"""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from poolwright.planner.candidates import Same
from poolwright.planner.verify import Judged
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.predict import Prediction, predict
from poolwright.queueing.station import Station
from poolwright.queueing.workload import Array, Arrivals, RateDistribution, Workload, rate_levels, request_weights
from poolwright.simulator.gaps import bins_s
from poolwright.simulator.layout import Integers
from poolwright.simulator.sampled import Replica, Seen, Stream, replica_of, seen_by, stream_of

REQUESTS: Final = 12_000
"""Requests of one simulation: 20 to 30 ms on one core, and a probability of 95 % to within 0.5 %."""
CLOSER: Final = 4
"""Times as many where the first look is near the percentile, or the pool near saturation [1]."""
NEAR: Final = 0.3
"""Share of what the percentile leaves out within which a probability is near [ratio]: 93.5 to 96.5 % at 95 %."""
FEWEST: Final = 2_000
"""Requests of a level of rates that few requests come at: its weight is small."""
TURNS: Final = 8.0
"""Times that the requests in a pool must be replaced by others at least [1]: before, it remembers that it was empty."""
SEED: Final = 20_230_911
"""Of the requests: any number does; this one is a date."""
LARGEST: Final = 32
"""Replicas above which a pool is judged by so many of them under their share of the load: what pooling gains beyond is
below 1 %, and the error is on the side of more replicas."""
HOPELESS: Final = 1.05
"""Load above which nothing is simulated [ratio]: capacities of the closed form are right within a few percent."""
FULL: Final = 0.93
"""Load above which queues take longer to build up than the first look lasts [ratio]."""
ROUNDING: Final = 1e-9
"""Slack of sums of shares [1]."""
MEMO: Final = 4096
"""Judgements and replicas remembered."""


def simulated(
    station: Station,
    workload: Workload,
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    replicas: tuple[int, ...],
) -> tuple[Judged, ...]:
    """Return what a simulation says of each number of replicas."""
    return tuple(_judged(Same(station), Same(workload), rates, objectives, count) for count in replicas)


@lru_cache(maxsize=MEMO)
def _judged(
    same: Same[Station],
    work: Same[Workload],
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    count: int,
) -> Judged:
    station, workload = same.value, work.value
    levels, weights, _ = rate_levels(rates)
    pool = min(count, LARGEST)
    predicted = [predict(station, workload, Arrivals(rate_per_s=float(rate)), replicas=count) for rate in levels]
    shares = request_weights(levels, weights)
    if all(each.utilisation_ratio > HOPELESS for each in predicted):
        return OVERLOADED
    replica = _replica(same, work)

    def look(requests: int) -> Judged:
        runs = [
            None
            if each.utilisation_ratio > HOPELESS
            else _run(replica, work, float(rate) * pool / count, pool, _enough(each, pool, requests, part), each)
            for rate, part, each in zip(levels, shares, predicted, strict=True)
        ]
        return _summed(runs, shares, objectives, requests)

    first = look(REQUESTS)
    goal = objectives.percentile_ratio
    is_near = abs(first.probability - goal) < NEAR * (1.0 - goal)
    is_full = any(FULL < each.utilisation_ratio <= HOPELESS for each in predicted) and first.probability >= goal
    return look(CLOSER * REQUESTS) if is_near or is_full else first


def _enough(predicted: Prediction, pool: int, requests: int, part: float) -> int:
    """Return how many requests a level of rates needs: its part, but all of them where queues build up slowly."""
    if predicted.utilisation_ratio > FULL:
        return requests
    turns = int(TURNS * pool * predicted.mean_batch)
    return min(max(int(requests * part), turns, FEWEST), CLOSER * REQUESTS)


def _run(replica: Replica, work: Same[Workload], rate: float, pool: int, requests: int, predicted: Prediction) -> Seen:
    stay_s = predicted.ttft_mean_s + predicted.itl_mean_s * work.value.moments.m
    return seen_by(replica, _stream(work, requests).at(rate), pool, stay_s=stay_s)


@lru_cache(maxsize=MEMO)
def _replica(same: Same[Station], work: Same[Workload]) -> Replica:
    return replica_of(same.value, work.value)


@lru_cache(maxsize=64)  # some megabytes
def _stream(work: Same[Workload], requests: int) -> Stream:
    return stream_of(work.value, requests, SEED, even=True)


def _summed(runs: list[Seen | None], shares: Array, objectives: Objectives, requests: int) -> Judged:
    """Return probability and percentiles over levels of rates, each by its share of requests."""
    served = [(float(part), each) for part, each in zip(shares, runs, strict=True) if each is not None]
    found = [(part, each.attainment(objectives)) for part, each in served]
    percentile = objectives.percentile_ratio
    served = [(part, each) for part, each in served if not each.is_overloaded]
    if not served:
        return replace(OVERLOADED, requests=requests)
    return Judged(
        probability=min(sum(part * each[name] for part, each in found) for name in found[0][1]),
        requests=requests,
        ttft_s=_percentile([(part, each.ttft_s) for part, each in served], percentile),
        itl_s=_gap_s([(part, each.gaps) for part, each in served], percentile),
        end_to_end_s=_percentile([(part, each.end_to_end_s) for part, each in served], percentile),
    )


def _gap_s(gaps: list[tuple[float, Integers]], percentile_ratio: float) -> float:
    """Return a percentile of times between tokens [s]; infinite where that many are not served."""
    summed = np.cumsum(np.sum([part * each / max(each.sum(), 1) for part, each in gaps], axis=0))
    at = int(np.searchsorted(summed, percentile_ratio - ROUNDING))
    return float(bins_s()[at]) if at < len(summed) else math.inf


def _percentile(times_s: list[tuple[float, Array]], percentile_ratio: float) -> float:
    """Return a percentile of times [s] of which each list has its share; infinite where that many are not served."""
    every = np.concatenate([each for _, each in times_s])
    weights = np.concatenate([np.full(len(each), part / len(each)) for part, each in times_s])
    order = np.argsort(every)
    at = int(np.searchsorted(np.cumsum(weights[order]), percentile_ratio - ROUNDING))
    return float(every[order[at]]) if at < len(every) else math.inf


OVERLOADED: Final = Judged(probability=0.0, ttft_s=math.inf, itl_s=math.inf, end_to_end_s=math.inf)
"""What nobody need simulate."""
