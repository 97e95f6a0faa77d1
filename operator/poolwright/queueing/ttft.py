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
        room = np.maximum(state.chunk - batch, 1.0)
        price = state.grid.seconds(batch, room) / room
        rate = state.rate_per_s
        self._own_s = _own_s(state, moments, batch, room)  # (bins, 3, ...)
        found, more_s = _found_s(state, moments, batch, room)
        mean, variance = _prefill_wait(state, moments, price)
        beside, beside_variance = _same_step(state, moments, found, more_s)
        is_behind = mean > beside
        self._weights = moments.bin_weights
        self._mean_s = 0.5 * found + np.where(is_behind, mean, beside)
        self._variance_s2 = np.where(is_behind, variance, beside_variance) + found**2 / 12.0
        self._slots = slots
        self._is_open = state.is_stable & np.all(rate * price * moments.in1 < 1.0, axis=0)

    def probability(self, objective_s: ArrayLike) -> Array:
        """Return the share of requests whose first token comes within ``objective_s``; 0 in overload."""
        left = np.asarray(objective_s, dtype=np.float64) - self._own_s
        place, wait = self._slots.probability, self._slots.mean_s
        at_once = gamma_cdf(left, self._mean_s, self._variance_s2)
        later = gamma_cdf(left, self._mean_s + wait, self._variance_s2 + wait**2)
        whole = self._mixed((1.0 - place) * at_once + place * later)
        return np.where(self._is_open, np.clip(whole, 0.0, 1.0), 0.0)

    @property
    def mean_s(self) -> Array:
        """Mean [s]; infinite in overload."""
        mean = self._mixed(self._own_s + self._mean_s) + self._slots.probability * self._slots.mean_s
        return np.where(self._is_open, mean, np.inf)

    @property
    def variance_s2(self) -> Array:
        """Variance [s^2] of those that are served."""
        place, wait = self._slots.probability, self._slots.mean_s
        middle = self._own_s + self._mean_s
        square = self._mixed(middle**2 + self._variance_s2)
        return np.asarray(np.maximum(square - self._mixed(middle) ** 2, 0.0) + place * (2.0 - place) * wait**2)

    def _mixed(self, values: Array) -> Array:
        """Return the mean over prompt lengths and batches."""
        return np.asarray(np.tensordot(self._weights, values, axes=1).mean(axis=0))


def _own_s(state: Steady, moments: Moments, batch: Array, room: Array) -> Array:
    """Return the time of the steps that compute a request's own prompt [s], by prompt lengths."""
    inputs = moments.input_bins.reshape((-1,) + (1,) * batch.ndim)
    full = np.ceil(inputs / room) - 1.0
    return np.asarray(full * state.grid.seconds(batch, room) + state.grid.seconds(batch, inputs - full * room))


def _found_s(state: Steady, moments: Moments, batch: Array, room: Array) -> tuple[Array, Array]:
    """Return the mean length of the step that a request finds running [s], and what a token more costs in one [s].

    Long steps are found more often: E T^2 / E T, over steps without prefill and with one prompt or more.
    """
    decode = state.decode_s(batch)
    came = state.rate_per_s * decode / (1.0 - state.rho_prefill)
    with_prefill = np.maximum(-np.expm1(-came), 1e-12)
    lump = np.clip(came * moments.in1 / with_prefill, 1.0, room)
    spread = np.maximum((came * moments.in2 + (came * moments.in1) ** 2) / with_prefill - lump**2, 0.0)
    mixed = state.grid.seconds(batch, lump)
    further = np.minimum(lump + np.sqrt(spread), room)
    # From the lump upwards: what any prefill costs is in the step already.
    more_s = np.maximum(state.grid.seconds(batch, further) - mixed, 0.0) / np.maximum(np.sqrt(spread), 1.0)
    square = (1.0 - with_prefill) * decode**2 + with_prefill * (mixed**2 + more_s**2 * spread)
    return square / ((1.0 - with_prefill) * decode + with_prefill * mixed), more_s


def _same_step(state: Steady, moments: Moments, found: Array, more_s: Array) -> tuple[Array, Array]:
    """Return mean and variance of the prefill of those who share a request's step: all who came in the step before."""
    others = np.maximum(state.rate_per_s * found + state.replica_dispersion - 1.0, 0.0)
    spread = others * more_s**2 * moments.in2 + (state.rate_per_s * more_s * moments.in1 * found) ** 2 / 12.0
    return others * more_s * moments.in1, spread


def _prefill_wait(state: Steady, moments: Moments, price: Array) -> tuple[Array, Array]:
    """Return mean and variance of the wait behind other prompts: M/G/1 with a correction for bursts."""
    rate, single = state.rate_per_s, state.replica_dispersion
    free = np.maximum(1.0 - rate * price * moments.in1, 1e-6)
    in2 = moments.in2 + np.maximum(single - 1.0, 0.0) * moments.in1**2
    mean = rate * price**2 * in2 / (2.0 * free) + np.maximum(single - 1.0, 0.0) / 2.0 * moments.in1 * price
    # A replica that computes a prompt has a request more than others, and is chosen less.
    mean = mean * state.beside * _evenness(single, 1.0 - free, moments.ci2)
    return mean, mean**2 + state.beside * rate * price**3 * moments.in3 / (3.0 * free)


def _evenness(dispersion: Array, load: Array, service_cv2: float) -> Array:
    """Return by how much the wait is shorter where arrivals are more even than Poisson [ratio]; 1 where they are not.

    Kraemer and Langenbach-Belz (1976), approximate formulae for the delay in GI/G/1, 8th International Teletraffic
    Congress.
    """
    even = np.minimum(dispersion, 1.0)
    cv2 = np.maximum(even + service_cv2, 1e-6)
    rare = np.exp(-2.0 * (1.0 - load) / (3.0 * np.maximum(load, 1e-6)) * (1.0 - even) ** 2 / cv2)
    return np.asarray(cv2 / (1.0 + service_cv2) * rare)


def gamma_cdf(value: Array, mean: Array, variance: Array) -> Array:
    """Return P(X <= value) of a gamma with this mean and variance; 0 below 0."""
    scale = variance / np.maximum(mean, 1e-12)
    return np.asarray(
        gammainc(np.maximum(mean, 1e-12) / np.maximum(scale, 1e-15), np.maximum(value, 0.0) / np.maximum(scale, 1e-15))
    )
