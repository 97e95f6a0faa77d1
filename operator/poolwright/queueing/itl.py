"""Time between tokens, per token: a decode step, and now and then one that also carries prefill.

Its 95th percentile jumps when the share of steps with prefill passes 5 %: test the probability at the objective, not
the percentile. Equations (9.10) of docs/model.md.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc

from poolwright.queueing.batch import batch_nodes
from poolwright.queueing.steady import Steady
from poolwright.queueing.workload import Moments

Array = NDArray[np.float64]

MOST_PROMPTS: Final = 8
"""Prompts in one step that are told apart; more fill the chunk anyway."""
ROUNDS: Final = 30
"""Bisections of the intensity: 1e-6 of its largest value."""
MOST_INTENSITY: Final = 64.0
"""Largest mean number of prompts in a step that is searched."""


class ItlDistribution:
    """Distribution of the time between tokens in a steady state; arrays of the state's shape."""

    def __init__(self, state: Steady, moments: Moments) -> None:
        self._state = state
        self._moments = moments
        batch = batch_nodes(state)
        self._batch = batch  # (3, ...)
        self._decode_s = state.decode_s(batch)
        self._room = np.maximum(state.chunk - batch, 1.0)
        self._weights = np.maximum(batch, 1e-9)
        wanted = state.beside * state.rate_per_s * moments.in1 * self._decode_s / (1.0 - state.rho_prefill)
        self._intensity = self._solve(np.minimum(wanted, self._room * (1.0 - 1e-6)))

    def probability(self, objective_s: ArrayLike) -> Array:
        """Return the share of tokens that come within ``objective_s`` of the one before; 0 in overload."""
        spare = np.asarray(objective_s, dtype=np.float64) - self._decode_s
        # Not by the mean price: where prompts are few, a step with one is dear, and with more hardly dearer.
        tokens = self._state.grid.prefill_within(self._batch, objective_s)
        within = np.exp(-self._intensity) * np.ones_like(spare)
        for count, share in self._shares():
            within = within + share * self._at_most(count, tokens)
        within = np.where(tokens >= self._room, 1.0, np.where(spare < 0.0, 0.0, within))
        mixed = np.sum(within * self._weights, axis=0) / np.sum(self._weights, axis=0)
        return np.where(self._state.is_stable, np.clip(mixed, 0.0, 1.0), 0.0)

    @property
    def mean_s(self) -> Array:
        """Mean [s]; infinite in overload."""
        return np.where(self._state.is_stable, self._state.itl_s, np.inf)

    def _shares(self) -> list[tuple[int, Array]]:
        """Return the probability of each number of prompts in a step, the last one with all above it."""
        shares, left, share = [], -np.expm1(-self._intensity), np.exp(-self._intensity)
        for count in range(1, MOST_PROMPTS):
            share = share * self._intensity / count
            shares.append((count, share))
            left = left - share
        return [*shares, (MOST_PROMPTS, np.maximum(left, 0.0))]

    def _at_most(self, count: int, tokens: Array) -> Array:
        """Return P(prefill tokens of ``count`` prompts <= tokens) before the chunk cuts them off."""
        if count == 1:
            bins = self._moments.input_bins.reshape((-1,) + (1,) * tokens.ndim)
            return self._over_bins(bins <= tokens)
        shape, scale = self._gamma(count)
        return np.asarray(gammainc(shape, np.maximum(tokens, 0.0) / scale))

    def _over_bins(self, values: ArrayLike) -> Array:
        return np.asarray(np.tensordot(self._moments.bin_weights, np.asarray(values, dtype=np.float64), axes=1))

    def _gamma(self, count: int) -> tuple[float, float]:
        spread = max(self._moments.ci2, 1e-6)
        return count / spread, self._moments.in1 * spread

    def _cut_mean(self, count: int) -> Array:
        """Return E[min(room, prefill tokens of ``count`` prompts)]."""
        if count == 1:
            bins = self._moments.input_bins.reshape((-1,) + (1,) * self._room.ndim)
            return self._over_bins(np.minimum(bins, self._room))
        shape, scale = self._gamma(count)
        cut = self._room / scale
        return np.asarray(shape * scale * gammainc(shape + 1.0, cut) + self._room * (1.0 - gammainc(shape, cut)))

    def _solve(self, wanted: Array) -> Array:
        """Return the mean number of prompts in a step for which steps carry ``wanted`` tokens on average."""
        means = [self._cut_mean(count) for count in range(1, MOST_PROMPTS + 1)]
        low, high = np.zeros_like(wanted), np.full_like(wanted, MOST_INTENSITY)
        for _ in range(ROUNDS):
            self._intensity = 0.5 * (low + high)
            carried = np.sum([share * mean for (_, share), mean in zip(self._shares(), means, strict=True)], axis=0)
            is_less = carried < wanted
            low, high = np.where(is_less, self._intensity, low), np.where(is_less, high, self._intensity)
        return np.asarray(0.5 * (low + high))
