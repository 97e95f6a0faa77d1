"""Latency histograms over a window: increases between two readings, sums over pods, and a percentile.

A percentile from buckets is an estimate between two bounds. vLLM's default buckets for inter-token latency begin at 10
and 25 ms, so one bucket often holds nearly everything; there the mean (``_sum / _count``) places the values inside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite
from typing import Final

import numpy as np

COARSE_SHARE_RATIO: Final = 0.5
"""A bucket that holds more than this share of all values is too coarse for straight interpolation [ratio]. Below it
the mean says little about one bucket, because the other buckets' means are unknown as well."""

MEAN_MARGIN_RATIO: Final = 0.02
"""A bucket's mean is kept this far from its bounds [ratio of its width]: the mean is itself estimated, and on a bound
the curve would put every value there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Cumulative counts at ascending upper bounds, the last of them infinite, and the sum of all values.

    Attributes
    ----------
    bounds
        Upper bounds [s], ascending, ending with infinity.
    counts
        Values at or below each bound, never falling.
    total
        Sum of the values [s].
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    total: float

    @property
    def count(self) -> float:
        """Number of values."""
        return self.counts[-1]


def is_well_formed(histogram: Histogram) -> bool:
    """Return whether positive bounds ascend to infinity, counts never fall and all is finite and not negative."""
    bounds, counts = histogram.bounds, histogram.counts
    return (
        len(bounds) == len(counts) > 1
        and bounds[-1] == inf
        and bounds[0] > 0.0
        and all(low < high for low, high in pairwise(bounds))
        and all(isfinite(count) and count >= 0.0 for count in counts)
        and all(low <= high for low, high in pairwise(counts))
        and isfinite(histogram.total)
        and histogram.total >= 0.0
    )


def increase(earlier: Histogram, later: Histogram) -> Histogram:
    """Return what was added between two readings of one pod; a restart in between counts from zero."""
    restarted = later.bounds != earlier.bounds or any(
        now < before for now, before in zip(later.counts, earlier.counts, strict=True)
    )
    if restarted or later.total < earlier.total:
        return later
    # Differences of cumulative counts stay cumulative only if no bucket shrank; a hostile page is levelled here.
    counts = np.maximum.accumulate(np.subtract(later.counts, earlier.counts))
    return Histogram(bounds=later.bounds, counts=tuple(counts.tolist()), total=later.total - earlier.total)


def merged(histograms: Sequence[Histogram]) -> Histogram:
    """Return the sum over pods; where bounds differ, a pod's values are spread evenly inside its own buckets."""
    edges = sorted({bound for histogram in histograms for bound in histogram.bounds[:-1]})
    counts = np.zeros(len(edges) + 1)
    for histogram in histograms:
        finite = histogram.bounds[:-1]
        counts[:-1] += np.interp(edges, (0.0, *finite), (0.0, *histogram.counts[:-1]))
        counts[-1] += histogram.count
    total = sum(histogram.total for histogram in histograms)
    return Histogram(bounds=(*edges, inf), counts=tuple(counts.tolist()), total=total)


def quantile_s(histogram: Histogram, percentile_ratio: float) -> float:
    """Return an estimate of a percentile [s] of a histogram that is not empty.

    Linear inside the bucket, as Prometheus' ``histogram_quantile``; in a bucket that holds most values the curve
    ``low + (high - low) u**k`` replaces the line, with ``k`` such that its mean is the bucket's mean (``k = 1`` is the
    line). Above the last finite bound that bound is returned: the truth is at least as high.
    """
    rank = percentile_ratio * histogram.count
    index = int(np.searchsorted(histogram.counts, rank, side="left"))
    if index >= len(histogram.bounds) - 1:
        return histogram.bounds[-2]
    low, high = _edges(histogram, index)
    below = histogram.counts[index - 1] if index else 0.0
    inside = histogram.counts[index] - below
    position = (rank - below) / inside if inside > 0.0 else 1.0
    if inside > COARSE_SHARE_RATIO * histogram.count:
        position **= _curvature(histogram, index)
    return float(low + (high - low) * position)


def _edges(histogram: Histogram, index: int) -> tuple[float, float]:
    return (histogram.bounds[index - 1] if index else 0.0), histogram.bounds[index]


def _curvature(histogram: Histogram, index: int) -> float:
    """Return ``k`` of the curve whose mean is the bucket's: a mean at share m of the width has ``k = 1 / m - 1``."""
    masses = np.diff((0.0, *histogram.counts))
    uppers = np.array((*histogram.bounds[:-1], histogram.bounds[-2]))
    lowers = np.array((0.0, *uppers[:-1]))
    elsewhere = float(np.dot(masses, (uppers + lowers) / 2.0) - masses[index] * (uppers[index] + lowers[index]) / 2.0)
    mean = (histogram.total - elsewhere) / masses[index]
    low, high = _edges(histogram, index)
    share = min(max((mean - low) / (high - low), MEAN_MARGIN_RATIO), 1.0 - MEAN_MARGIN_RATIO)
    return float(1.0 / share - 1.0)
