"""Reading ``Outcome.gaps``: the share of tokens that came within an objective, percentiles of times between them."""

import numpy as np

from poolwright.simulator.layout import GAP_STEP, GAPS, LEAST_GAP_S, Floats, Integers


def share_within(gaps: Integers, objective_s: float) -> float:
    """Return the share of counted tokens that came within an objective; 1 where none was counted.

    Times inside a bin are spread evenly over it.
    """
    total = int(gaps.sum())
    if total == 0:
        return 1.0
    place = float(np.log(max(objective_s, LEAST_GAP_S) / LEAST_GAP_S)) / GAP_STEP
    whole = min(int(place), GAPS - 1)
    return float(gaps[:whole].sum() + min(place - whole, 1.0) * gaps[whole]) / total


def percentile_s(gaps: Integers, percentile_ratio: float) -> float:
    """Return the time between tokens at a percentile [s]; 0 where none was counted."""
    summed = np.cumsum(gaps)
    if summed[-1] == 0:
        return 0.0
    index = int(np.searchsorted(summed, percentile_ratio * summed[-1]))
    return float(bins_s()[index])


def mean_s(gaps: Integers) -> float:
    """Return the mean time between tokens [s]; 0 where none was counted."""
    total = int(gaps.sum())
    return float(gaps @ bins_s()) / total if total else 0.0


def bins_s() -> Floats:
    """Return the middle of each bin [s], shape (GAPS,)."""
    return np.asarray(LEAST_GAP_S * np.exp(GAP_STEP * (np.arange(GAPS) + 0.5)))
