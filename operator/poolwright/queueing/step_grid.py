"""A step law on a grid, at the mean context of a workload: what the closed forms look up thousands of times.

The law comes in as a function (decode sequences, mean context, prefill tokens) -> seconds, so that ``queueing`` need
not know where it comes from. Roofline steps are not affine: the formulas take secants of this grid at their operating
point.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
StepTime = Callable[[Array, Array, Array], Array]
"""(decode sequences, mean context tokens, prefill tokens), broadcasting, to seconds."""

POINTS: Final = 28
"""Grid points in each direction: geometric, so neighbours differ by a third at most up to 1,000."""

HALVINGS: Final = 5
"""Halvings that find one of ``POINTS`` cells [1]."""

CONTEXT_STEP_RATIO: Final = 0.25
"""Relative step of context over which its slope is taken [ratio]: KV traffic is linear in context, windows apart."""


@dataclass(frozen=True)
class StepGrid:
    """Step times [s] by decode sequences and prefill tokens, and the slope in context.

    Attributes
    ----------
    sequences, prefills
        Grid points, ascending from 0, shapes (n,) and (p,).
    times_s
        Shape (n, p).
    context_slopes_s
        Seconds per token of context summed over the batch, by sequences, shape (n,).
    """

    sequences: Array
    prefills: Array
    times_s: Array
    context_slopes_s: Array

    def seconds(self, sequences: Array, prefill: Array) -> Array:
        """Return step times [s] by linear interpolation, going on beyond the grid."""
        i, u = _cells(self.sequences, sequences)
        j, v = _cells(self.prefills, prefill)
        t = self.times_s
        return np.asarray(
            (1.0 - u) * ((1.0 - v) * t[i, j] + v * t[i, j + 1]) + u * ((1.0 - v) * t[i + 1, j] + v * t[i + 1, j + 1])
        )

    def decode_s(self, sequences: Array) -> Array:
        """Return step times without prefill [s]."""
        i, u = _cells(self.sequences, sequences)
        column = self.times_s[:, 0]
        return np.asarray(column[i] + u * (column[i + 1] - column[i]))

    def prefill_within(self, sequences: Array, seconds: ArrayLike) -> Array:
        """Return how many prefill tokens a step of so many sequences carries in a time; negative where none fits."""
        i, u = _cells(self.sequences, sequences)
        goal = np.asarray(seconds, dtype=np.float64)

        def time_s(index: NDArray[np.intp]) -> Array:
            return np.asarray((1.0 - u) * self.times_s[i, index] + u * self.times_s[i + 1, index])

        low, high = np.zeros_like(i), np.full_like(i, len(self.prefills) - 1)
        for _ in range(HALVINGS):
            middle = (low + high) // 2
            fits = time_s(middle) <= goal
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        low = np.minimum(low, len(self.prefills) - 2)
        first, left = time_s(low), self.prefills[low]
        width = self.prefills[low + 1] - left
        return np.asarray(left + (goal - first) / np.maximum(time_s(low + 1) - first, 1e-15) * width)

    def context_slope_s(self, sequences: Array) -> Array:
        """Return seconds per token of summed context."""
        return np.asarray(np.interp(sequences, self.sequences, self.context_slopes_s))


def step_grid(
    step_time: StepTime, *, context_tokens: float, max_sequences: float, max_prefill_tokens: float
) -> StepGrid:
    """Evaluate a law once, at and a little above the mean context."""
    sequences, prefills = _points(max_sequences), _points(max_prefill_tokens)
    context = np.full((1, 1), max(context_tokens, 1.0))
    none = np.zeros((1, 1))
    times = np.broadcast_to(step_time(sequences[:, None], context, prefills[None, :]), (len(sequences), len(prefills)))
    longer = step_time(sequences[:, None], context * (1.0 + CONTEXT_STEP_RATIO), none)
    more_tokens = np.maximum(sequences, 1.0) * context[0, 0] * CONTEXT_STEP_RATIO
    slopes = np.maximum(np.broadcast_to(longer, (len(sequences), 1))[:, 0] - times[:, 0], 0.0) / more_tokens
    slopes[0] = slopes[min(1, len(slopes) - 1)]
    return StepGrid(sequences, prefills, np.asarray(times, dtype=np.float64), slopes)


def _points(largest: float) -> Array:
    points = np.geomspace(1.0, max(largest, 2.0), POINTS)
    return np.concatenate(([0.0], points))


def _cells(grid: Array, values: Array) -> tuple[NDArray[np.intp], Array]:
    # grid[0] is 0 and no value is below it: only the upper end needs care.
    index = np.minimum(grid.searchsorted(values, side="right") - 1, len(grid) - 2)
    left = grid[index]
    return index, (values - left) / (grid[index + 1] - left)
