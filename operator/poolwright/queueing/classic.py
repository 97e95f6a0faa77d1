"""Textbook queues, exactly: birth-death chains, and M/M/1, M/M/c and M/M/c/K as their special cases.

The formulas that plans are made with are elsewhere (``predict``); these are what they are held against where both
apply. References: Kleinrock, Queueing Systems I (1975), chapter 3; Erlang (1917).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TAIL: Final = 1e-16
"""Probability below which the states of an unlimited queue are left out [1]: below the rounding of a sum to one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A birth-death chain in steady state.

    Attributes
    ----------
    probabilities
        Of 0, 1, 2 ... requests present, summing to 1.
    arrival_per_s
        Offered rate [1/s]; what comes to a full system is lost.
    servers
        Requests that are served at once.
    """

    probabilities: Array
    arrival_per_s: float
    servers: int

    @property
    def loss_probability(self) -> float:
        """Share of arrivals that find the system full."""
        return float(self.probabilities[-1])

    @property
    def throughput_per_s(self) -> float:
        """Arrivals that are taken [1/s]."""
        return self.arrival_per_s * (1.0 - self.loss_probability)

    @property
    def mean_in_service(self) -> float:
        """Mean requests being served."""
        present = np.arange(len(self.probabilities))
        return float(np.dot(np.minimum(present, self.servers), self.probabilities))

    @property
    def mean_waiting(self) -> float:
        """Mean requests that wait."""
        present = np.arange(len(self.probabilities))
        return float(np.dot(np.maximum(present - self.servers, 0), self.probabilities))

    @property
    def mean_wait_s(self) -> float:
        """Mean time in the queue of a request that is taken [s], by Little's law."""
        return self.mean_waiting / self.throughput_per_s

    @property
    def mean_sojourn_s(self) -> float:
        """Mean time in the system of a request that is taken [s], by Little's law."""
        return (self.mean_waiting + self.mean_in_service) / self.throughput_per_s


def birth_death(arrival_per_s: float, service_per_s: Sequence[float] | Array, servers: int) -> Chain:
    """Return the steady state of a chain.

    Parameters
    ----------
    arrival_per_s
        Poisson arrivals [1/s], > 0.
    service_per_s
        Total rate at which 1, 2 ... K requests present leave [1/s], each > 0, shape (K,).
    servers
        Requests served at once; the others wait.

    Notes
    -----
    Detailed balance, in logarithms: exact for any load and length.
    """
    rates = np.asarray(service_per_s, dtype=np.float64)
    if not arrival_per_s > 0.0 or rates.size == 0 or not np.all(rates > 0.0):
        raise ValueError(f"arrival_per_s is {arrival_per_s} and service_per_s {rates}: all must be positive")
    logarithms = np.concatenate(([0.0], np.cumsum(np.log(arrival_per_s) - np.log(rates))))
    weights = np.exp(logarithms - logarithms.max())
    return Chain(probabilities=weights / weights.sum(), arrival_per_s=arrival_per_s, servers=servers)


def mmck(arrival_per_s: float, service_per_s: float, servers: int, places: int) -> Chain:
    """Return M/M/c/K: ``servers`` of rate ``service_per_s`` each, and ``places`` in all, those in service included."""
    present = np.arange(1, places + 1)
    return birth_death(arrival_per_s, service_per_s * np.minimum(present, servers), servers)


def mmc(arrival_per_s: float, service_per_s: float, servers: int) -> Chain:
    """Return M/M/c: as M/M/c/K with so many places that none is ever missed.

    Raises
    ------
    ValueError
        The load is 1 or more: there is no steady state.
    """
    load = arrival_per_s / (service_per_s * servers)
    if not load < 1.0:
        raise ValueError(f"the load is {load}, must be below 1")
    places = servers + int(np.ceil(np.log(TAIL) / np.log(load))) + 1 if load > 0.0 else servers + 1
    return mmck(arrival_per_s, service_per_s, servers, places)


def mm1(arrival_per_s: float, service_per_s: float) -> Chain:
    """Return M/M/1.

    >>> round(mm1(1.0, 2.0).mean_sojourn_s, 9)
    1.0
    """
    return mmc(arrival_per_s, service_per_s, 1)
