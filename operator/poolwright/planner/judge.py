"""The judge that simulates: what requests would see on so many replicas of a kind, in the compiled kernel.

Every number of replicas serves the same requests, drawn from constants and stretched to the load (common random
numbers), so that verdicts differ by replicas and not by luck. What is simulated is a grid of rates, kept between plans;
a load is judged by a mixture of the nodes beside it where those agree, so that a load that moves a little mostly costs
no simulation. The closed form says where to look; where that is an overload that nothing could be mistaken about,
nothing is simulated. Equation (10.15) of docs/model.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from poolwright.planner.candidates import Same
from poolwright.planner.verify import Judged
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.predict import predict
from poolwright.queueing.station import Station
from poolwright.queueing.workload import Array, Arrivals, RateDistribution, Workload, rate_levels, request_weights
from poolwright.simulator.gaps import bins_s
from poolwright.simulator.sampled import Replica, Seen, Stream, replica_of, seen_by, stream_of

REQUESTS: Final = 12_000
"""Requests of one simulation: 20 to 30 ms on one core, and a probability of 95 % to within 0.5 %."""
TAIL: Final = 0.05
"""Share beyond the percentile that ``REQUESTS`` are for [ratio]: of a thinner tail fewer are seen, so more come."""
MOST_TAILS: Final = 2.0
"""Times as many that a thinner tail may ask for [1]: p99 costs twice as much as p95, not five times."""
CLOSER: Final = 4
"""Times as many where the first look is near the percentile, or the pool near saturation [1]."""
NEAR: Final = 0.3
"""Share of what the percentile leaves out within which a probability is near [ratio]: 93.5 to 96.5 % at 95 %."""
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
NODE_STEP: Final = 0.03
"""Distance of simulated rates [1, natural logarithm]: what one replica in thirty is worth."""
FLAT: Final = 0.2
"""Share of what the percentile leaves out by which two nodes may differ [ratio]: 1 % at 95 %. Between nodes that differ
by more may lie a cliff, which a chord would smear: there the rate itself is simulated."""
POINTS: Final = 400
"""Quantiles of times that are kept of a simulation [1]: a probability read off them is right to a thousandth."""
MEMO: Final = 4096
"""Simulations and replicas remembered: ten kilobytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """What a simulation at one rate said: shares within the objectives by name, and quantiles of times [s].

    In overload nobody is within anything, as if it lasted for ever.
    """

    shares: Mapping[str, float]
    requests: int = 0
    ttft_s: Array = field(default_factory=lambda: np.full(POINTS, math.inf))
    end_to_end_s: Array = field(default_factory=lambda: np.full(POINTS, math.inf))
    gaps: Array = field(default_factory=lambda: np.zeros(len(bins_s())))

    @property
    def probability(self) -> float:
        """The least at any objective."""
        return min(self.shares.values())


def simulated(
    station: Station,
    workload: Workload,
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    replicas: tuple[int, ...],
) -> tuple[Judged, ...]:
    """Return what a simulation says of each number of replicas."""
    levels, weights, _ = rate_levels(rates)
    shares = request_weights(levels, weights)
    return tuple(_judged(Same(station), Same(workload), levels, shares, objectives, count) for count in replicas)


def warm_up() -> None:
    """Load the kernel, or compile it where no machine code was kept: ten seconds that no first question waits for."""
    station = Station(
        step_time=lambda n, c, p: 1e-3 + 1e-6 * (n + p) + 0.0 * c,
        max_num_seqs=4,
        max_num_batched_tokens=64,
        kv_capacity_tokens=1024.0,
    )
    simulated(station, Workload.from_means(4.0, 2.0), Arrivals(rate_per_s=1.0), Objectives(ttft_s=1.0), (1,))


def _judged(
    station: Same[Station], work: Same[Workload], levels: Array, shares: Array, objectives: Objectives, count: int
) -> Judged:
    """Return the mixture of the nodes beside each level of rates."""
    percentile = objectives.percentile_ratio
    nodes: list[tuple[float, _Node]] = []
    for rate, share in zip(levels, shares, strict=True):
        beside = _beside(station, work, objectives, count, float(rate))
        seen = [each.probability for _, each in beside]
        if max(seen) - min(seen) > FLAT * (1.0 - percentile):
            beside = [(1.0, _node(station, work, objectives, count, float(rate)))]
        nodes += [(float(share) * part, each) for part, each in beside]
    return Judged(
        probability=min(sum(part * each.shares[name] for part, each in nodes) for name in nodes[0][1].shares),
        requests=max(each.requests for _, each in nodes),
        ttft_s=_percentile([(part, each.ttft_s) for part, each in nodes], percentile),
        itl_s=_gap_s([(part, each.gaps) for part, each in nodes], percentile),
        end_to_end_s=_percentile([(part, each.end_to_end_s) for part, each in nodes], percentile),
    )


def _beside(
    station: Same[Station], work: Same[Workload], objectives: Objectives, count: int, rate_per_s: float
) -> list[tuple[float, _Node]]:
    """Return the nodes beside a rate, each with its part."""
    place = math.log(rate_per_s) / NODE_STEP
    below = math.floor(place + ROUNDING)
    parts = ((below, below + 1.0 - place), (below + 1, place - below))
    return [
        (part, _node(station, work, objectives, count, math.exp(index * NODE_STEP)))
        for index, part in parts
        if part > ROUNDING
    ]


@lru_cache(maxsize=MEMO)
def _node(station: Same[Station], work: Same[Workload], objectives: Objectives, count: int, rate_per_s: float) -> _Node:
    """Simulate one rate, with more requests where that could change the verdict."""
    predicted = predict(station.value, work.value, Arrivals(rate_per_s=rate_per_s), replicas=count)
    if predicted.utilisation_ratio > HOPELESS:
        return _Node(shares=dict.fromkeys(objectives.stated, 0.0))
    pool = min(count, LARGEST)
    stay_s = predicted.ttft_mean_s + predicted.itl_mean_s * work.value.moments.m

    def look(requests: int) -> _Node:
        arrivals = _stream(work, requests).at(rate_per_s * pool / count)
        seen = seen_by(_replica(station, work), arrivals, pool, stay_s=stay_s)
        return _kept(seen, objectives, requests)

    goal = objectives.percentile_ratio
    least = int(REQUESTS * min(max(TAIL / (1.0 - goal), 1.0), MOST_TAILS))
    turns = min(int(TURNS * pool * predicted.mean_batch), CLOSER * least)
    first = look(max(least, turns))
    is_near = abs(first.probability - goal) < NEAR * (1.0 - goal)
    is_full = predicted.utilisation_ratio > FULL and first.probability >= goal
    return look(CLOSER * least) if (is_near or is_full) and first.requests < CLOSER * least else first


def _kept(seen: Seen, objectives: Objectives, requests: int) -> _Node:
    shares = seen.attainment(objectives)
    if seen.is_overloaded:
        return _Node(shares=shares, requests=requests)
    at = (np.arange(POINTS) + 0.5) / POINTS
    return _Node(
        shares=shares,
        requests=requests,
        ttft_s=np.quantile(seen.ttft_s, at),
        end_to_end_s=np.quantile(seen.end_to_end_s, at),
        gaps=seen.gaps / max(seen.gaps.sum(), 1),
    )


@lru_cache(maxsize=MEMO)
def _replica(same: Same[Station], work: Same[Workload]) -> Replica:
    return replica_of(same.value, work.value)


@lru_cache(maxsize=64)  # some megabytes
def _stream(work: Same[Workload], requests: int) -> Stream:
    return stream_of(work.value, requests, SEED, even=True)


def _gap_s(gaps: list[tuple[float, Array]], percentile_ratio: float) -> float:
    """Return a percentile of times between tokens [s]; infinite where that many are not served."""
    summed = np.cumsum(sum(part * each for part, each in gaps))
    at = int(np.searchsorted(summed, percentile_ratio - ROUNDING))
    return float(bins_s()[at]) if at < len(summed) else math.inf


def _percentile(times_s: list[tuple[float, Array]], percentile_ratio: float) -> float:
    """Return a percentile of times [s] of which each list has its share; infinite where that many are not served."""
    every = np.concatenate([each for _, each in times_s])
    weights = np.concatenate([np.full(len(each), part / len(each)) for part, each in times_s])
    order = np.argsort(every, kind="stable")
    at = int(np.searchsorted(np.cumsum(weights[order]), percentile_ratio - ROUNDING))
    return float(every[order[min(at, len(every) - 1)]])
