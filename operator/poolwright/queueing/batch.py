"""The batch as a random number: three equally likely sizes that stand for its distribution."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from poolwright.queueing.steady import Steady

Array = NDArray[np.float64]

LEVELS: Final = np.array([1.0 / 6.0, 0.5, 5.0 / 6.0])
"""Quantiles of equal weight: midpoints of thirds."""


def batch_nodes(state: Steady) -> Array:
    """Return batch sizes at ``LEVELS`` of a gamma with the batch's mean and variance, shape (3, ...).

    Never above the cap. The negative binomial of the theory and this gamma differ by under 2 % for means above 3.
    """
    scale = state.batch_variance / np.maximum(state.batch, 1e-9)
    shape = np.maximum(state.batch, 1e-9) / scale
    levels = LEVELS.reshape((3,) + (1,) * state.batch.ndim)
    return np.asarray(np.clip(gammaincinv(shape, levels) * scale, 0.0, state.sequences))
