"""Other ways to size the same pool, as published planners and people do."""

import math

import numpy as np

from poolwright.queueing.classic import birth_death
from poolwright.queueing.station import Station, capacity
from poolwright.queueing.workload import rate_levels
from queuereport.scenarios import Scenario

BUSY = 0.8
"""Utilisation that the rule of thumb allows [ratio]."""
QUEUE_RATIO = 4
"""Places in the queue of the published chain, in batches."""
MOST = 512


def by_utilisation(scenario: Scenario) -> int:
    """Return the fewest replicas that are at most 80 % loaded."""
    sustained = capacity(scenario.station, scenario.workload).rate_per_s
    return max(math.ceil(_mean_rate(scenario) / (BUSY * sustained)), 1)


def by_means(scenario: Scenario) -> int:
    """Return the fewest replicas whose mean times meet the objectives in the published birth-death chain.

    Mean lengths only, one replica under its share of the load, a batch that serves faster the fuller it is.
    """
    rate = _mean_rate(scenario)
    for count in range(1, MOST + 1):
        if _means_meet(scenario, rate / count):
            return count
    return MOST


def _mean_rate(scenario: Scenario) -> float:
    levels, weights, _ = rate_levels(scenario.rates)
    return float(np.average(levels, weights=weights))


def _means_meet(scenario: Scenario, rate_per_s: float) -> bool:
    station, goal = scenario.station, scenario.objectives
    inputs, outputs = scenario.workload.mean_input, scenario.workload.mean_output
    places = station.max_num_seqs * (1 + QUEUE_RATIO)
    batch = np.minimum(np.arange(1, places + 1), station.max_num_seqs).astype(np.float64)
    steps, prefills = _times_s(station, batch, inputs, outputs)
    service = batch / (prefills + outputs * steps)
    if rate_per_s >= 0.999 * float(service[-1]):
        return False
    chain = birth_death(rate_per_s, service, station.max_num_seqs)
    mean = np.array([max(chain.mean_in_service, 1.0)])
    step, prefill = (float(each[0]) for each in _times_s(station, mean, inputs, outputs))
    first = chain.mean_wait_s + prefill + step
    met = (
        goal.ttft_s is None or first <= goal.ttft_s,
        goal.itl_s is None or step <= goal.itl_s,
        goal.end_to_end_s is None or first + outputs * step <= goal.end_to_end_s,
    )
    return all(met)


def _times_s(station: Station, batch: np.ndarray, inputs: float, outputs: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean step and the step with a whole prompt [s]: prompts are spread evenly over the steps."""
    context = np.full_like(batch, inputs + outputs / 2.0)
    steps = station.step_time(batch, context, batch * inputs / (outputs + 1.0))
    return steps, steps + station.step_time(batch, context, np.full_like(batch, inputs)) - station.step_time(
        batch, context, np.zeros_like(batch)
    )
