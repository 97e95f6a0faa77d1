"""Demand at the moment when replicas ordered now begin to serve.

Predicts the last value and corrects it by how wrong that was before: the quantile of the ratio seen / predicted one
horizon later. Knows no seasons or trends (on replayed traces neither paid for itself). What remains after growth is
bounded, and how long history is kept: the constants below. Formula: docs/model.md section 10.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from poolwright.forecast.quantile import upper_quantile

QUANTILE: Final = 0.95
"""Share of horizons in which demand may not outgrow the prediction [ratio]: one minute in twenty at risk, before
stabilisation of scale-down covers most of those. Higher costs replicas, lower costs objectives."""

RECENT_S: Final = 300.0
"""Windows that count as the present [s]: long enough for twenty windows of 15 s, short against a cold start and a
descent. Errs high for this long after a fall, which stabilisation would do anyway."""

MAX_GROWTH_RATIO: Final = 2.0
"""Most that demand is believed to grow over one horizon [ratio]: a doubling within minutes is the steepest ramp of the
published day-scale traces; beyond it a plan would chase single bursts that no cold start can catch."""

MIN_LEVEL_PER_S: Final = 0.1
"""Rates below this [1/s] say nothing about growth: one request more or less in a window moves the ratio by tenths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Demand ahead of now [1/s] and the three figures it came from.

    ``growth_ratio`` is 1 and ``pairs`` counts what there was while history is too short to judge growth.
    """

    rate_per_s: float
    recent_per_s: float
    growth_ratio: float
    pairs: int


def demand_ahead(windows: Sequence[tuple[float, float]], *, rate_per_s: float, now_s: float, horizon_s: float) -> Ahead:
    """Return the demand to plan for: the largest of now, now times growth, and the high windows of the present.

    Parameters
    ----------
    windows
        ``(time [s], rate [1/s])`` of past windows, oldest first; the window of now is ``rate_per_s``.
    rate_per_s
        Demand now [1/s], at least 0.
    now_s, horizon_s
        The moment, and how far ahead [s] (cold start and one metric period), both finite, the latter positive.

    Returns
    -------
    Ahead
        With ``rate_per_s`` at least the present one.

    Notes
    -----
    Nondecreasing in ``rate_per_s`` for equal windows. A single step of any height occupies one horizon of pairs, so
    with ``1 / (1 - QUANTILE)`` horizons of history it stays beyond the quantile: growth is 1 until then.
    """
    recent = [rate for time_s, rate in windows if now_s - RECENT_S <= time_s <= now_s]
    recent_per_s = upper_quantile([*recent, rate_per_s], QUANTILE)
    growths = growth_ratios(windows, horizon_s)
    long_enough = bool(growths) and windows[-1][0] - windows[0][0] >= history_s(horizon_s)
    growth = min(max(upper_quantile(growths, QUANTILE), 1.0), MAX_GROWTH_RATIO) if long_enough else 1.0
    ahead_per_s = max(rate_per_s * growth, recent_per_s)
    return Ahead(rate_per_s=ahead_per_s, recent_per_s=recent_per_s, growth_ratio=growth, pairs=len(growths))


def history_s(horizon_s: float) -> float:
    """Return how much history judging growth needs [s]: so many horizons that one step is rarer than the quantile.

    >>> round(history_s(120.0))
    2520
    """
    return horizon_s * (1.0 + 1.0 / (1.0 - QUANTILE))


def growth_ratios(windows: Sequence[tuple[float, float]], horizon_s: float) -> list[float]:
    """Return seen over predicted, one horizon after every window that has a successor that late.

    >>> growth_ratios([(0.0, 2.0), (60.0, 3.0), (120.0, 3.0)], 60.0)
    [1.5, 1.0]
    """
    times_s = [time_s for time_s, _ in windows]
    ratios = []
    for time_s, rate in windows:
        later = bisect_left(times_s, time_s + horizon_s)
        if later < len(windows) and rate >= MIN_LEVEL_PER_S:
            ratios.append(windows[later][1] / rate)
    return ratios
