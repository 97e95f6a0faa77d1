"""Cache that sessions hold between turns against cache for batches: the largest rate at which both fit.

Equation (12.14) of docs/model.md.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from poolwright.queueing.sizing import CHUNKS, MOST_SEQUENCES
from poolwright.queueing.station import kv_limit, rates_at_limits
from poolwright.queueing.step_grid import StepTime, step_grid
from poolwright.queueing.workload import Workload

ROUNDS: Final = 8
"""Halvings of the interval of rates: too much is set aside by one part in 256 of the most that a replica could hold."""


def held_tokens(sustained_per_s: Callable[[float], float], kv_tokens: float, held_token_s: float) -> float:
    """Return tokens of the cache that batches must not count on.

    Parameters
    ----------
    sustained_per_s
        Rate that a replica sustains with so many tokens of cache for its batches [1/s]: more tokens, no lower rate.
    kv_tokens
        All the cache of a replica [tokens].
    held_token_s
        Tokens times seconds that each request leaves behind.

    Returns
    -------
    tokens
        In [0, kv_tokens]: what is left sustains no rate that would hold more.

    Notes
    -----
    Little's law: a rate l holds ``l held_token_s`` tokens.
    """
    if held_token_s <= 0.0:
        return 0.0
    low, high = 0.0, min(sustained_per_s(kv_tokens), kv_tokens / held_token_s)
    for _ in range(ROUNDS):
        middle = (low + high) / 2.0
        is_sustained = sustained_per_s(kv_tokens - middle * held_token_s) >= middle
        low, high = (middle, high) if is_sustained else (low, middle)
    return high * held_token_s


def most_sustained(
    step_time: StepTime, workload: Workload, kv_tokens: float, block_tokens: int
) -> Callable[[float], float]:
    """Return the rate [1/s] that a replica sustains with its best limits, by tokens of cache up to ``kv_tokens``.

    Whatever limits the objectives lead to sustain no more, so what this rate holds is enough for them.
    """
    moments = workload.moments

    def fits(tokens: float) -> float:
        return min(kv_limit(moments, max(tokens, 0.0), block_tokens), float(MOST_SEQUENCES))

    chunks = np.array(CHUNKS, dtype=np.float64)
    grid = step_grid(
        step_time,
        context_tokens=moments.c,
        max_sequences=max(fits(kv_tokens), 1.0),
        max_prefill_tokens=float(CHUNKS[-1]),
    )

    def sustained_per_s(tokens: float) -> float:
        sequences = fits(tokens)
        if sequences < 1.0:
            return 0.0
        return float(np.max(np.minimum(*rates_at_limits(grid, moments, sequences, chunks))))

    return sustained_per_s
