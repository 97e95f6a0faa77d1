"""Waiting for a place in the batch: rare below 85 % of load, everything near the cap.

The pool's R * B places are one birth-death chain, summed on a grid whose size does not depend on the number of places.
Equations (9.8) of docs/model.md.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from poolwright.queueing.steady import Steady
from poolwright.queueing.workload import Moments, Workload

Array = NDArray[np.float64]

GRID_POINTS: Final = 96
"""Points of the sum over states: 0.1 % of the exact sum at 10,000 places."""
MEMORY_RATIO: Final = 0.3
"""How fast the variance of departures forgets the work's own: fitted to simulation by the source of the formula."""
ROUNDS: Final = 4
"""Rounds between the wait and the variance that it depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotWait:
    """Probability of finding every place taken, and the mean wait then [s] (exponential)."""

    probability: Array
    mean_s: Array


def slot_wait(state: Steady, moments: Moments, workload: Workload) -> SlotWait:
    """Return the wait for a place in the batch."""
    places = state.replicas * state.sequences
    theta, probability, mean = np.ones_like(places), np.zeros_like(places), np.zeros_like(places)
    load = np.clip(state.rate_per_s / np.maximum(state.capacity_per_s, 1e-12), 1e-9, 1.0 - 1e-6)
    work = workload.work_cv2(state.price_s, state.itl_s)
    residence = state.sequences / np.maximum(state.capacity_per_s, 1e-12)
    below, at_cap = _chain(state, moments, places)
    variance = work
    for _ in range(ROUNDS):
        theta = -2.0 * np.log(load) / np.maximum(state.pool_dispersion + variance, 1e-6)
        tail = at_cap / -np.expm1(-theta)
        probability = tail / (below + tail)
        mean = 1.0 / (-np.expm1(-theta) * state.replicas * np.maximum(state.capacity_per_s, 1e-12))
        busy = probability * mean / (1.0 - load)
        forgotten = work + (1.0 - work) / (1.0 + MEMORY_RATIO * busy / residence)
        variance = np.where(work <= 1.0, forgotten, work)
    return SlotWait(probability=np.clip(probability, 0.0, 1.0), mean_s=mean)


def _chain(state: Steady, moments: Moments, places: Array) -> tuple[Array, Array]:
    """Return the weight of the states below the cap and that of the cap itself, up to a common factor."""
    free = 1.0 - state.rho_prefill
    slope = np.maximum(state.slope_s, 1e-9 * np.maximum(state.base_s, 1e-9))
    growth = np.maximum(state.rate_per_s, 1e-12) * moments.m * slope / free
    offset = state.replicas * state.base_s / slope
    k = np.linspace(0.0, 1.0, GRID_POINTS)[:, None] * places.ravel()
    log_weight = k * np.log(growth.ravel()) + gammaln(k + 1.0 + offset.ravel()) - gammaln(1.0 + offset.ravel())
    log_weight = (log_weight - gammaln(k + 1.0)) / np.maximum(state.pool_fluctuation.ravel(), 1e-3)
    weight = np.exp(log_weight - log_weight.max(axis=0))
    below = np.trapezoid(weight, k, axis=0)
    return below.reshape(places.shape), weight[-1].reshape(places.shape)
