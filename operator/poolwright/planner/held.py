"""Cache that sessions hold between turns against cache for batches: the largest rate at which both fit.

Equation (12.14) of docs/model.md.
"""

from collections.abc import Callable
from typing import Final

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
