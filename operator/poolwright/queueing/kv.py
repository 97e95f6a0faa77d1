"""How full the KV cache is: running sequences, prompts in prefill, and their fluctuation. Equation (9.12)."""

import numpy as np
from numpy.typing import NDArray

from poolwright.queueing.steady import Steady
from poolwright.queueing.workload import Moments

Array = NDArray[np.float64]


def kv_utilisation(state: Steady, moments: Moments, kv_capacity_tokens: float, block_tokens: int) -> Array:
    """Return the mean share of the cache in use, capped at 1."""
    free = 1.0 - state.rho_prefill
    drift = state.context_slope_s * moments.sc2 / (free * np.maximum(state.itl_s, 1e-9))
    price = state.price_s + state.decode_s(state.batch) / np.maximum(state.chunk - state.batch, 1.0)
    prefilling = state.rate_per_s * (price * moments.in2 / 2.0 + moments.in1 * state.itl_s)
    used = state.batch * (moments.c + drift + block_tokens / 2.0) + prefilling
    return np.asarray(np.clip(used / max(kv_capacity_tokens, 1.0), 0.0, 1.0))
