"""What the kernel says of a question when asked for long: the smallest number of replicas, and how sure that is."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from poolwright.queueing.predict import predict
from poolwright.queueing.sizing import smallest_replicas
from poolwright.queueing.workload import Arrivals, rate_levels, request_weights
from poolwright.simulator.sampled import Replica, replica_of, seen_by, stream_of
from queuereport.scenarios import Scenario

RUNS: Final = 5
"""Independent runs whose scatter gives the sampling error, at most."""
FEWEST_RUNS: Final = 2
"""Runs after which a share that is far from the percentile is left as it is."""
FAR: Final = (10.0, 0.01)
"""Standard errors, and share, that are far [1]."""
REQUESTS: Final = 50_000
"""Requests of one run: a quarter of a million in all where an answer is near."""
SURE: Final = 2.0
"""Standard errors between a probability and the percentile below which an answer is at the edge [1]."""
SEEDS: Final = 1000
"""First seed of the truth's requests; the planner's judge draws others."""
MOST_MOVES: Final = 16
"""Replicas beyond twice the proposal that are tried before a question is given up."""
LONGEST_STAY_S: Final = 600.0
"""[s] What an overloaded pool is given to fill up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A probability and its standard error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The smallest number, and shares within the objectives at it and at one fewer."""

    replicas: int
    shares: dict[int, Share]

    def is_at_the_edge(self, percentile_ratio: float) -> bool:
        """Return whether another run might have given another number."""
        near = (self.shares[count] for count in (self.replicas - 1, self.replicas) if count in self.shares)
        return any(abs(each.value - percentile_ratio) <= SURE * each.error for each in near)


def answer(scenario: Scenario, requests: int = REQUESTS) -> Answer | None:
    """Return the smallest number of replicas, beginning at what the closed form says, by common random numbers.

    None where no number does, up to twice what the closed form says and ``MOST_MOVES``.
    """
    replica = replica_of(scenario.station, scenario.workload)

    @cache
    def share(count: int) -> Share:
        return _share(scenario, replica, count, requests)

    goal = scenario.objectives.percentile_ratio
    count = smallest_replicas(scenario.station, scenario.workload, scenario.rates, scenario.objectives).replicas
    while count > 1 and share(count - 1).value >= goal:
        count -= 1
    most = MOST_MOVES + 2 * count
    while share(count).value < goal:
        count += 1
        if count > most:
            return None
    return Answer(replicas=count, shares={each: share(each) for each in (count - 1, count) if each >= 1})


def _share(scenario: Scenario, replica: Replica, count: int, requests: int) -> Share:
    levels, weights, _ = rate_levels(scenario.rates)
    shares = request_weights(levels, weights)
    stays = [stay_s(scenario, float(rate), count) for rate in levels]
    values: list[float] = []
    for run in range(RUNS):
        stream = stream_of(scenario.workload, requests, SEEDS + run)
        runs = [
            seen_by(replica, stream.at(float(rate)), count, stay_s=stay)
            for rate, stay in zip(levels, stays, strict=True)
        ]
        each = [seen.attainment(scenario.objectives) for seen in runs]
        values.append(min(float(shares @ [found[name] for found in each]) for name in each[0]))
        if len(values) >= FEWEST_RUNS and _is_far(values, scenario.objectives.percentile_ratio):
            break
    return Share(value=float(np.mean(values)), error=_error(values))


def _error(values: list[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _is_far(values: list[float], goal: float) -> bool:
    errors, share = FAR
    return abs(float(np.mean(values)) - goal) > max(errors * _error(values), share)


def stay_s(scenario: Scenario, rate_per_s: float, count: int) -> float:
    """Return about how long a request stays [s]."""
    found = predict(scenario.station, scenario.workload, Arrivals(rate_per_s=rate_per_s), replicas=count)
    return float(min(found.ttft_mean_s + found.itl_mean_s * scenario.workload.moments.m, LONGEST_STAY_S))
