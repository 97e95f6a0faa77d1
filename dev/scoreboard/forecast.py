"""Forecasts of demand at the cold-start horizon on held-out days: pinball loss, and what their errors would cost.

All forecasters give a 95 % quantile of the rate one horizon ahead: a point forecast times the 95 % quantile of
seen / predicted on the first days, which nothing later changes; ours is what ``forecast.ahead`` says as it goes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from poolwright.forecast.ahead import QUANTILE, demand_ahead, history_s
from poolwright.replay.bound import demand_of
from poolwright.replay.source import Source
from poolwright.simulator.layout import Floats

WINDOW_S: Final = 60.0
HORIZON_S: Final = 120.0
"""[s] Two windows: a cold start."""
DAY: Final = 1440
"""Windows of a day [count]."""
AHEAD: Final = round(HORIZON_S / WINDOW_S)
HOLT_LEVEL, HOLT_TREND = 0.3, 0.05
"""Smoothing of level and trend of Holt's method (1957): the middle of what is customary for minutes."""

Forecaster = Callable[[Floats], Floats]
"""Rates by window to point forecasts for ``AHEAD`` windows after each, of the same shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Pinball loss over the mean rate, share of windows above the forecast, and mean of forecast / seen."""

    name: str
    pinball: float
    exceeded_ratio: float
    planned_ratio: float


def last_value(rates: Floats) -> Floats:
    """Return the window before."""
    return rates


def mean_of_five(rates: Floats) -> Floats:
    """Return the mean of the last five windows."""
    summed = np.cumsum(np.concatenate((np.full(5, rates[0]), rates)))
    return np.asarray((summed[5:] - summed[:-5]) / 5.0)


def seasonal(rates: Floats) -> Floats:
    """Return what came at the same time of the day before; the last value on the first day."""
    found = rates.copy()
    found[DAY - AHEAD :] = rates[: len(rates) - DAY + AHEAD]
    return found


def seasonal_growth(rates: Floats) -> Floats:
    """Return the last value times the growth over the horizon at this time of the day before, of half-hour means."""
    smooth = np.convolve(rates, np.full(30, 1.0 / 30.0), mode="same")
    found = rates.copy()
    before = np.arange(DAY, len(rates)) - DAY
    found[DAY:] = rates[DAY:] * smooth[before + AHEAD] / np.maximum(smooth[before], 1e-9)
    return found


def holt(rates: Floats) -> Floats:
    """Return level and trend by exponential smoothing."""
    level, trend = float(rates[0]), 0.0
    found = np.empty_like(rates)
    for place, rate in enumerate(rates.tolist()):
        before = level
        level = HOLT_LEVEL * rate + (1.0 - HOLT_LEVEL) * (level + trend)
        trend = HOLT_TREND * (level - before) + (1.0 - HOLT_TREND) * trend
        found[place] = max(level + AHEAD * trend, 0.0)
    return found


FORECASTERS: Final[dict[str, Forecaster]] = {
    "last value": last_value,
    "mean of 5 minutes": mean_of_five,
    "seasonal-naive": seasonal,
    "last value times yesterday's growth": seasonal_growth,
    "Holt": holt,
}


def ours(rates: Floats) -> Floats:
    """Return what the planner would plan for, window by window."""
    kept = round(history_s(HORIZON_S) / WINDOW_S) + 2
    times = np.arange(len(rates)) * WINDOW_S
    found = np.empty_like(rates)
    for place, rate in enumerate(rates.tolist()):
        first = max(place - kept, 0)
        windows = list(zip(times[first : place + 1].tolist(), rates[first : place + 1].tolist(), strict=True))
        ahead = demand_ahead(windows, rate_per_s=rate, now_s=float(times[place]), horizon_s=HORIZON_S)
        found[place] = ahead.rate_per_s
    return found


def qualities(source: Source, days: int, train_days: int) -> Sequence[Quality]:
    """Return every forecaster's quality on the days after the first ones."""
    rates = demand_of(source, until_s=days * DAY * WINDOW_S).rates_per_s
    split = train_days * DAY
    found = []
    for name, forecaster in FORECASTERS.items():
        points = np.maximum(forecaster(rates), 1e-9)
        ratios = rates[AHEAD:split] / points[: split - AHEAD]
        # The first day has no day before.
        factor = float(np.quantile(ratios[DAY:] if train_days > 1 else ratios, QUANTILE))
        found.append(_quality(name, factor * points[split:-AHEAD], rates[split + AHEAD :]))
    planned = ours(rates[split - DAY :])[DAY:]
    found.append(_quality("ours", planned[:-AHEAD], rates[split + AHEAD :]))
    return found


def _quality(name: str, forecast: Floats, seen: Floats) -> Quality:
    error = seen - forecast
    pinball = np.maximum(QUANTILE * error, (QUANTILE - 1.0) * error)
    return Quality(
        name=name,
        pinball=float(pinball.mean() / seen.mean()),
        exceeded_ratio=float((error > 0.0).mean()),
        planned_ratio=float(forecast.sum() / seen.sum()),
    )
