"""Time to first token: the residual step, queued prefill work, the request's own prefill, and the wait for a place.

Below about 85 % of load the tail is prefill work and not waiting for a place, so percentiles of the wait alone cure
nothing. Equations (9.9) of docs/model.md.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc

from poolwright.queueing.batch import batch_nodes
from poolwright.queueing.slots import SlotWait
from poolwright.queueing.steady import Steady
from poolwright.queueing.workload import Moments

Array = NDArray[np.float64]


class TtftDistribution:
    """Distribution of the time to first token in a steady state; arrays of the state's shape."""

    def __init__(self, state: Steady, moments: Moments, slots: SlotWait) -> None:
        batch = batch_nodes(state)
        decode = state.decode_s(batch)
        room = np.maximum(state.chunk - batch, 1.0)
        price = state.price_s + decode / room
        rate = state.rate_per_s
        self._own_s = _own_s(moments, decode, room, state.price_s)  # (bins, 3, ...)
        residual = _residual_s(state, moments, decode, room)
        mean, square = _prefill_wait(state, moments, price)
        self._mean_s = residual + mean
        self._variance_s2 = np.maximum(square - mean**2, 0.0) + (2.0 * residual) ** 2 / 12.0
        self._slots = slots
        self._is_open = state.is_stable & np.all(rate * price * moments.in1 < 1.0, axis=0)

    def probability(self, objective_s: ArrayLike) -> Array:
        """Return the share of requests whose first token comes within ``objective_s``; 0 in overload."""
        left = np.asarray(objective_s, dtype=np.float64) - self._own_s
        place, wait = self._slots.probability, self._slots.mean_s
        at_once = _gamma_cdf(left, self._mean_s, self._variance_s2)
        later = _gamma_cdf(left, self._mean_s + wait, self._variance_s2 + wait**2)
        whole = np.mean((1.0 - place) * at_once + place * later, axis=(0, 1))
        return np.where(self._is_open, np.clip(whole, 0.0, 1.0), 0.0)

    @property
    def mean_s(self) -> Array:
        """Mean [s]; infinite in overload."""
        mean = np.mean(self._own_s + self._mean_s, axis=(0, 1)) + self._slots.probability * self._slots.mean_s
        return np.where(self._is_open, mean, np.inf)


def _own_s(moments: Moments, decode: Array, room: Array, price: Array) -> Array:
    inputs = moments.input_bins.reshape((-1,) + (1,) * decode.ndim)
    return np.asarray(np.ceil(inputs / room) * decode + price * inputs)


def _residual_s(state: Steady, moments: Moments, decode: Array, room: Array) -> Array:
    """Return the mean rest of the step that a request finds running [s]."""
    lumps = state.rate_per_s * state.price_s**2 * moments.in2 / (1.0 - state.rho_prefill**2)
    return np.asarray(0.5 * np.minimum(decode / (1.0 - state.rho_prefill) + lumps, decode + state.price_s * room))


def _prefill_wait(state: Steady, moments: Moments, price: Array) -> tuple[Array, Array]:
    """Return first and second moment of the wait behind other prompts: M/G/1 with a correction for bursts."""
    rate, single = state.rate_per_s, state.replica_dispersion
    free = np.maximum(1.0 - rate * price * moments.in1, 1e-6)
    in2 = moments.in2 + np.maximum(single - 1.0, 0.0) * moments.in1**2
    mean = rate * price**2 * in2 / (2.0 * free) + np.maximum(single - 1.0, 0.0) / 2.0 * moments.in1 * price
    mean = mean * np.where(single < 1.0, (single + moments.ci2) / (1.0 + moments.ci2), 1.0)
    return mean, 2.0 * mean**2 + rate * price**3 * moments.in3 / (3.0 * free)


def _gamma_cdf(value: Array, mean: Array, variance: Array) -> Array:
    """Return P(X <= value) of a gamma with this mean and variance; 0 below 0."""
    scale = variance / np.maximum(mean, 1e-12)
    return np.asarray(
        gammainc(np.maximum(mean, 1e-12) / np.maximum(scale, 1e-15), np.maximum(value, 0.0) / np.maximum(scale, 1e-15))
    )
