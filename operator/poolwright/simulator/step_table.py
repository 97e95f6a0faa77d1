"""A step law as a table: the performance model evaluated once on a grid, then looked up between its points.

A simulation asks for the time of one step millions of times; the model is vectorised, and slow for one. Linear
interpolation in decode sequences, their mean context and prefill tokens, on grids that are fine where the law bends.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

StepLaw = Callable[[ArrayLike, ArrayLike, ArrayLike], NDArray[np.float64]]
"""(decode sequences, mean context tokens, prefill tokens), broadcasting, to seconds."""


def _grid(largest: int, points: int) -> tuple[float, ...]:
    """Return 0, 1 and then whole numbers in roughly geometric steps up to ``largest``."""
    steps = np.geomspace(1.0, max(largest, 2), points)
    return (0.0, *np.unique(np.round(steps)).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTable:
    """Step times [s] by (sequences, context, prefill), shape of ``times_s`` the lengths of the three grids."""

    sequences: tuple[float, ...]
    contexts: tuple[float, ...]
    prefills: tuple[float, ...]
    times_s: tuple[tuple[tuple[float, ...], ...], ...]

    @classmethod
    def of(
        cls, law: StepLaw, *, max_num_seqs: int, max_context_tokens: int, max_num_batched_tokens: int, points: int = 24
    ) -> "StepTable":
        """Evaluate a law on a grid of about ``points`` in each direction."""
        grids = tuple(_grid(largest, points) for largest in (max_num_seqs, max_context_tokens, max_num_batched_tokens))
        sequences, contexts, prefills = (np.array(grid) for grid in grids)
        times = np.broadcast_to(
            law(sequences[:, None, None], contexts[None, :, None], prefills[None, None, :]),
            (len(sequences), len(contexts), len(prefills)),
        )
        return cls(
            sequences=grids[0],
            contexts=grids[1],
            prefills=grids[2],
            times_s=tuple(tuple(tuple(row) for row in plane) for plane in times.tolist()),
        )

    def step_time_s(self, sequences: float, context_tokens: float, prefill_tokens: float) -> float:
        """Return the time of one step [s]; beyond the grid its last cell goes on."""
        i, u = _place(self.sequences, sequences)
        j, v = _place(self.contexts, context_tokens)
        k, w = _place(self.prefills, prefill_tokens)
        low, high = self.times_s[i], self.times_s[i + 1]
        return (1.0 - u) * _between(low, j, v, k, w) + u * _between(high, j, v, k, w)


def _place(grid: tuple[float, ...], value: float) -> tuple[int, float]:
    """Return the cell of a value and how far into it the value lies."""
    index = min(max(bisect_right(grid, value) - 1, 0), len(grid) - 2)
    return index, (value - grid[index]) / (grid[index + 1] - grid[index])


def _between(plane: tuple[tuple[float, ...], ...], j: int, v: float, k: int, w: float) -> float:
    near, far = plane[j], plane[j + 1]
    return (1.0 - v) * ((1.0 - w) * near[k] + w * near[k + 1]) + v * ((1.0 - w) * far[k] + w * far[k + 1])
