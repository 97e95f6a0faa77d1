"""A whole request: its first token, and then its others at a pace that differs from request to request.

The batch changes slowly, so a request that came to a full replica is slow for long, and short answers are not averaged
over many states. The first token is a gamma with its mean and variance here: most of a request is the rest. Equation
(9.15) of docs/model.md.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolwright.queueing.steady import Steady
from poolwright.queueing.ttft import TtftDistribution, gamma_cdf
from poolwright.queueing.workload import Moments

Array = NDArray[np.float64]

PACES: Final = ((-np.sqrt(3.0), 1.0 / 6.0), (0.0, 2.0 / 3.0), (np.sqrt(3.0), 1.0 / 6.0))
"""Nodes [standard deviations] and weights of Gauss-Hermite quadrature with three points. Source: Abramowitz and Stegun,
Handbook of Mathematical Functions (1964), table 25.10."""
LONGEST_S: Final = 1e5
"""[s] Pace in overload: no objective is that long."""


def whole_probability(ttft: TtftDistribution, state: Steady, moments: Moments, objective_s: ArrayLike) -> Array:
    """Return the share of requests that finish in time, in the state's shape."""
    goal = np.asarray(objective_s, dtype=np.float64)
    pace = np.where(np.isfinite(state.itl_s), state.itl_s, LONGEST_S)
    first, variance = np.where(np.isfinite(ttft.mean_s), ttft.mean_s, LONGEST_S), ttft.variance_s2
    found = np.zeros_like(pace)
    for later, share in zip(np.maximum(moments.output_bins - 1.0, 0.0), moments.bin_weights, strict=True):
        spread = _pace_spread_s(state, moments, pace, later)
        for node, weight in PACES:
            found += share * weight * gamma_cdf(goal - later * np.maximum(pace + node * spread, 0.0), first, variance)
    return np.where(state.is_stable, found, 0.0)


def _pace_spread_s(state: Steady, moments: Moments, pace: Array, later: float) -> Array:
    """Return the standard deviation of the mean pace of a request with so many later tokens [s]."""
    free = 1.0 - state.rho_prefill
    stay = np.maximum(later, 1.0) * pace
    # The batch forgets in the time of a mean stay, longer where load makes it stiff.
    passed = stay * (1.0 - state.rho) / np.maximum(free * moments.m * pace, 1e-12)
    kept = 2.0 * (passed - 1.0 + np.exp(-passed)) / np.maximum(passed, 1e-9) ** 2
    batch = np.clip(kept, 0.0, 1.0) * (state.slope_s / free) ** 2 * state.batch_variance
    prompts = state.rate_per_s * state.price_s**2 * moments.in2 * pace / (free**2 * stay) * pace
    return np.asarray(np.sqrt(batch + prompts))
