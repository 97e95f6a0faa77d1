"""Empirical quantiles that name a value that was really seen.

Decides nothing; ``ahead`` uses it for windows and for errors of prediction.
"""

import math
from collections.abc import Sequence


def upper_quantile(values: Sequence[float], ratio: float) -> float:
    """Return the smallest of ``values`` that at least a share ``ratio`` of them does not exceed.

    Parameters
    ----------
    values
        At least one finite value, in any order and unit.
    ratio
        Share in (0, 1].

    Returns
    -------
    float
        One of ``values``: the inverse of the empirical distribution, never interpolated, so it errs high.

    Raises
    ------
    ValueError
        No values, or a ratio outside (0, 1].

    References
    ----------
    R. J. Hyndman and Y. Fan, Sample Quantiles in Statistical Packages (1996), definition 1, doi:10.2307/2684934.

    Examples
    --------
    >>> upper_quantile([3.0, 1.0, 2.0, 4.0], 0.5)
    2.0
    """
    if not values or not 0.0 < ratio <= 1.0:
        raise ValueError(f"quantile {ratio} of {len(values)} values; need at least one value and a ratio in (0, 1]")
    return sorted(values)[math.ceil(ratio * len(values)) - 1]
