"""How many experts a batch touches, how uneven their load is, and what padding of small groups costs.

Equations (3.5) to (3.8) of docs/model.md. Weights and FLOP of one expert are counted in ``work``.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.perf.efficiency import Factor

Array = NDArray[np.float64]

SMALLEST_TILE_TOKENS: Final = 8.0
"""Rows of the smallest tile of grouped expert kernels [tokens]."""

LARGEST_TILE_TOKENS: Final = 64.0
"""Rows of the tile that grouped expert kernels use when experts are busy [tokens]: block sizes of 64 and 128 are tuned
for large batches (vLLM's fused-MoE configurations)."""


def touched_experts(draws: Array, experts: Array, chosen: Array, skew: Factor) -> Array:
    """Return the expected number of distinct experts that ``draws`` tokens choose.

    ``E (1 - (1 - k/E)^(s t))``, equation (3.5): exact for uniform routing (``s = 1``); skew below 1 stands for the
    fewer distinct choices of real routers.

    Parameters
    ----------
    draws
        Tokens ``t``, any shape.
    experts, chosen
        Routed experts ``E`` of a layer and choices ``k`` of a token, ``0 < k <= E``.
    skew
        Exponent ``s`` in (0, 1].

    >>> bool(abs(touched_experts(np.array(1.0), np.array(256.0), np.array(8.0), 1.0) - 8.0) < 1e-9)
    True
    """
    misses = np.log1p(-np.minimum(chosen / np.maximum(experts, 1.0), 1.0 - 1e-9))
    touched = -experts * np.expm1(skew * draws * misses)
    return np.asarray(np.maximum(touched, np.minimum(draws, 1.0) * np.minimum(chosen, experts)), dtype=np.float64)


def busiest_rank_factor(visits_per_rank: Array, groups: Array) -> Array:
    """Return load of the busiest of ``groups`` expert-parallel ranks over the mean load, equation (3.7).

    The expected maximum of Poisson loads, ``1 + sqrt(2 ln G / m)``, bounded by all visits falling on one rank.
    """
    spread = np.sqrt(2.0 * np.log(np.maximum(groups, 1.0)) / np.maximum(visits_per_rank, 1e-9))
    return np.minimum(1.0 + spread, np.maximum(groups, 1.0))


def padded_visits(visits: Array, touched: Array) -> Array:
    """Return rows that grouped kernels compute for ``visits`` over ``touched`` experts: half a tile more for each.

    The tile follows the mean rows of an expert between the smallest and the largest size, equation (3.8).
    """
    rows = visits / np.maximum(touched, 1e-9)
    tile = np.clip(rows, SMALLEST_TILE_TOKENS, LARGEST_TILE_TOKENS)
    return visits + 0.5 * tile * touched
