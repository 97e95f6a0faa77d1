"""The single entry point: from a station, a workload and arrivals to probabilities and percentiles of a pool.

Feasible iff the probability at the objective is at least the percentile: no root finding; percentiles are for display.
Overload is a value (probability 0, infinite times), never an error.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.queueing.itl import ItlDistribution
from poolwright.queueing.kv import kv_utilisation
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.slots import slot_wait
from poolwright.queueing.station import Capacity, Station, capacity
from poolwright.queueing.steady import Limits, Routing, steady
from poolwright.queueing.step_grid import StepGrid
from poolwright.queueing.ttft import TtftDistribution
from poolwright.queueing.whole import LONGEST_S, whole_probability
from poolwright.queueing.workload import Arrivals, RateDistribution, Workload, rate_levels, request_weights

Array = NDArray[np.float64]

EDGE: Final = 0.9
"""Load above which the closed form is 30-50 % off either way [ratio]: such a prediction says so."""


class Prediction:
    """What to expect of a pool; made by ``predict``."""

    def __init__(
        self,
        station: Station,
        workload: Workload,
        rates_per_s: Array,
        weights: Array,
        *,
        replicas: int,
        dispersion: float,
        routing: Routing,
        grid: StepGrid,
    ) -> None:
        moments = workload.moments
        limits = Limits(
            max_num_seqs=float(station.max_num_seqs),
            max_num_batched_tokens=float(station.max_num_batched_tokens),
            kv_capacity_tokens=station.kv_capacity_tokens,
            block_tokens=station.block_tokens,
        )
        rates = rates_per_s / replicas
        state = steady(grid, moments, limits, rates, replicas=replicas, dispersion=dispersion, routing=routing)
        self._weights = request_weights(rates_per_s, weights)
        self._state, self._moments, self._station, self._workload = state, moments, station, workload
        self._grid, self._replicas = grid, replicas
        self._mean_rate = float(np.average(rates_per_s, weights=weights))
        self._time_weights = weights / weights.sum()

    @cached_property
    def _ttft(self) -> TtftDistribution:
        return TtftDistribution(self._state, self._moments, slot_wait(self._state, self._moments, self._workload))

    @cached_property
    def _itl(self) -> ItlDistribution:
        return ItlDistribution(self._state, self._moments)

    @cached_property
    def capacity(self) -> Capacity:
        """Sustainable rate of one replica and what bounds it."""
        return capacity(self._station, self._workload, self._grid)

    @property
    def capacity_per_s(self) -> float:
        """Sustainable rate of the whole pool [1/s]."""
        return self.capacity.rate_per_s * self._replicas

    @property
    def utilisation_ratio(self) -> float:
        """Arrivals over what the pool sustains; above 1 in overload, infinite without capacity."""
        if self.capacity_per_s <= 0.0:
            return float("inf") if self._mean_rate > 0.0 else 0.0
        return self._mean_rate / self.capacity_per_s

    @property
    def at_edge(self) -> bool:
        """Whether the load is so high that the closed form should not be trusted alone."""
        return self.utilisation_ratio > EDGE

    @property
    def mean_batch(self) -> float:
        """Mean sequences in a replica's batch."""
        return self._over_time(self._state.batch)

    @property
    def kv_utilisation_ratio(self) -> float:
        """Mean share of a replica's KV cache in use."""
        station = self._station
        used = kv_utilisation(self._state, self._moments, station.kv_capacity_tokens, station.block_tokens)
        return self._over_time(used)

    @property
    def ttft_mean_s(self) -> float:
        """Mean time to first token [s]."""
        return self._over_requests(self._ttft.mean_s)

    @property
    def itl_mean_s(self) -> float:
        """Mean time between tokens [s]."""
        return self._over_requests(self._itl.mean_s)

    def ttft_probability(self, objective_s: float) -> float:
        """Return the share of requests whose first token comes in time."""
        return self._over_requests(self._ttft.probability(objective_s))

    def itl_probability(self, objective_s: float) -> float:
        """Return the share of tokens that come in time."""
        return self._over_requests(self._itl.probability(objective_s))

    def end_to_end_probability(self, objective_s: float) -> float:
        """Return the share of requests that finish in time: first token, then later ones at its pace."""
        return self._over_requests(whole_probability(self._ttft, self._state, self._moments, objective_s))

    def ttft_s(self, percentile_ratio: float) -> float:
        """Return the time to first token at a percentile [s]; infinite in overload."""
        return _percentile(self.ttft_probability, percentile_ratio)

    def itl_s(self, percentile_ratio: float) -> float:
        """Return the time between tokens at a percentile [s]; infinite in overload."""
        return _percentile(self.itl_probability, percentile_ratio)

    def end_to_end_s(self, percentile_ratio: float) -> float:
        """Return the time of a whole request at a percentile [s]; infinite in overload."""
        return _percentile(self.end_to_end_probability, percentile_ratio)

    def attainment(self, objectives: Objectives) -> dict[str, float]:
        """Return the probability at each stated objective, by its name."""
        stated = {
            "ttft": (objectives.ttft_s, self.ttft_probability),
            "itl": (objectives.itl_s, self.itl_probability),
            "end_to_end": (objectives.end_to_end_s, self.end_to_end_probability),
        }
        return {name: at(value) for name, (value, at) in stated.items() if value is not None}

    def meets(self, objectives: Objectives) -> bool:
        """Return whether every stated objective holds at the percentile."""
        return min(self.attainment(objectives).values()) >= objectives.percentile_ratio

    def _over_requests(self, values: Array) -> float:
        finite = np.where(self._weights > 0.0, values, 0.0)
        return float(np.dot(finite, self._weights))

    def _over_time(self, values: Array) -> float:
        return float(np.dot(values, self._time_weights))


def predict(
    station: Station,
    workload: Workload,
    rates: Arrivals | RateDistribution,
    *,
    replicas: int,
    routing: Routing = Routing.LEAST_REQUESTS,
    grid: StepGrid | None = None,
) -> Prediction:
    """Return what to expect of ``replicas`` equal replicas.

    Parameters
    ----------
    station, workload
        One replica, and the requests.
    rates
        Arrivals of the whole pool: one rate with a dispersion, or a distribution of rates.
    replicas
        Size of the pool, at least 1.
    routing
        How arrivals are spread.
    grid
        ``station.grid(workload)`` where it is at hand already, or that of larger limits.

    Raises
    ------
    ValueError
        ``replicas`` below 1.
    """
    if replicas < 1:
        raise ValueError(f"replicas is {replicas}, must be at least 1")
    levels, weights, dispersion = rate_levels(rates)
    return Prediction(
        station,
        workload,
        levels,
        weights,
        replicas=replicas,
        dispersion=dispersion,
        routing=routing,
        grid=grid or station.grid(workload),
    )


def _percentile(probability: Callable[[float], float], percentile_ratio: float) -> float:
    """Return the least value with at least this probability, by bisection in its logarithm."""
    low, high = 1e-5, LONGEST_S
    if probability(high) < percentile_ratio:
        return float("inf")
    while high / low > 1.001:  # noqa: PLR2004 - 0.1 % is finer than any display
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if probability(middle) >= percentile_ratio else (middle, high)
    return high
