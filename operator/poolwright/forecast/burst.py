"""Rates inside one planning period: a few weighted levels that stand for arrivals burstier than Poisson.

Percentiles are taken over this distribution, Poisson within each level. Where the level itself goes is ``ahead``.
Formula: docs/model.md section 10.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

COUNT_WINDOW_S: Final = 15.0
"""Length of the windows whose counts give the index of dispersion [s]: one reading of the pods' counters. Real traffic
is overdispersed between 10 and 60 s; within it gaps look Poisson."""

MAX_SQUARED_CV: Final = 1.0
"""Most relative variance of rates that is believed [ratio]: the levels then span a factor of 18; more would be another
traffic, and a hostile reading."""

LEVELS: Final = ((-math.sqrt(3.0), 1.0 / 6.0), (0.0, 2.0 / 3.0), (math.sqrt(3.0), 1.0 / 6.0))
"""Nodes [standard deviations] and weights of Gauss-Hermite quadrature with three points: exact for polynomials of the
normal up to degree five. Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), table 25.10."""


STEP_SIGMAS: Final = 3.0
"""A difference of neighbouring counts beyond so many standard deviations of the others is a step [1]: one, of any
height, is the forecast's business and says nothing about bursts."""


def index_of_dispersion(counts: Sequence[float]) -> float:
    """Return variance over mean of counts in equal windows (1 is Poisson), whatever their level does slowly or once.

    Half the mean squared difference of neighbours is the variance; a trend adds nearly nothing to it, and one step is
    left out. Around the mean, a doubling inside the windows would look like bursts of hundreds.

    Parameters
    ----------
    counts
        At least three, of positive mean.

    References
    ----------
    J. von Neumann et al., The mean square successive difference (1941), doi:10.1214/aoms/1177731746.

    Examples
    --------
    >>> index_of_dispersion([10.0, 14.0, 10.0, 14.0])
    0.6666666666666666
    >>> index_of_dispersion([10.0, 10.0, 10.0, 50.0, 50.0, 50.0])
    0.0
    """
    squares = sorted((later - one) ** 2 for one, later in pairwise(counts))
    others = sum(squares[:-1]) / (len(squares) - 1)
    kept = squares[:-1] if squares[-1] > STEP_SIGMAS**2 * others else squares
    return sum(kept) / len(kept) / 2.0 * len(counts) / sum(counts)


def rate_levels(rate_per_s: float, dispersion: float | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return rates [1/s] and their weights (which sum to 1) with mean ``rate_per_s`` and the dispersion seen.

    Parameters
    ----------
    rate_per_s
        Mean rate [1/s], at least 0.
    dispersion
        Variance over mean of counts in ``COUNT_WINDOW_S`` (1 is Poisson), or None where it was not seen.

    Notes
    -----
    Variance of the rate is ``rate * (dispersion - 1) / window`` beyond Poisson; the levels are those of a lognormal.
    Without dispersion, or below Poisson, one level.

    >>> rate_levels(10.0, None)
    ((10.0,), (1.0,))
    """
    if dispersion is None or dispersion <= 1.0 or rate_per_s <= 0.0:
        return (rate_per_s,), (1.0,)
    squared_cv = min((dispersion - 1.0) / (rate_per_s * COUNT_WINDOW_S), MAX_SQUARED_CV)
    sigma = math.sqrt(math.log1p(squared_cv))
    shape = [math.exp(sigma * node) for node, _ in LEVELS]
    weights = tuple(weight for _, weight in LEVELS)
    mean = sum(weight * each for weight, each in zip(weights, shape, strict=True))
    return tuple(rate_per_s * each / mean for each in shape), weights
