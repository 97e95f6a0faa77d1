"""What planning remembers from one cycle to the next: a history in, the history with this cycle's sights out.

Pruned and thinned, so that it neither grows nor depends on how often planning runs. Replanning at the same moment on
the same snapshot remembers the same.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from poolwright.forecast.ahead import RECENT_S, history_s
from poolwright.planner.signal import MAX_RATE_PER_S, MAX_REQUESTS, MAX_TOKENS, believed, number_or
from poolwright.planner.snapshot import History, Known, Missing, Snapshot, TierSignals, Wanted

WINDOW_S: Final = 10.0
"""Shortest distance between remembered rates [s]: the lower end of the windows over which real traffic is bursty.
Faster cycles keep the larger rate, which errs high."""

PACE_WINDOW_S: Final = 60.0
"""Window of ``max_change_per_minute`` [s]."""

Rates = tuple[tuple[float, str, float], ...]


def windows_of(history: History, tier: str) -> tuple[tuple[float, float], ...]:
    """Return ``(time_s, rate_per_s)`` of a tier's remembered windows, oldest first."""
    return tuple((time_s, rate) for time_s, name, rate in history.rates if name == tier)


def last_known_max(history: History, tier: str) -> float | None:
    """Return the largest rate [1/s] of the last stretch of windows that was seen of a tier, or None if never seen."""
    windows = windows_of(history, tier)
    return max(rate for time_s, rate in windows if time_s >= windows[-1][0] - RECENT_S) if windows else None


def last_lengths(history: History, tier: str) -> tuple[float, float] | None:
    """Return mean input and output tokens last seen of a tier, or None if never seen."""
    return next(((inputs, outputs) for name, inputs, outputs in history.lengths if name == tier), None)


def last_dispersion(history: History, tier: str) -> float | None:
    """Return the index of dispersion last seen of a tier, or None if never seen."""
    return dict(history.dispersions).get(tier)


def last_busy_s(history: History, tier: str) -> float | None:
    """Return when a tier last had demand (or was first seen), or None if never seen."""
    return dict(history.busy).get(tier)


def remembered(
    history: History, tiers: Sequence[str], snapshot: Snapshot, *, horizon_s: float, now_s: float
) -> History:
    """Return the history with what this snapshot shows, forgetting what is too old or lies in the future."""
    rates = tuple(each for each in history.rates if now_s - history_s(horizon_s) - WINDOW_S <= each[0] <= now_s)
    lengths = {name: (inputs, outputs) for name, inputs, outputs in history.lengths if name in tiers}
    dispersions = {name: value for name, value in history.dispersions if name in tiers}
    busy = {name: time_s for name, time_s in history.busy if name in tiers and time_s <= now_s}
    for tier in sorted(tiers):
        signals = snapshot.signals(tier)
        rates = _with_rate(rates, tier, signals, now_s)
        lengths.update(_seen_lengths(tier, signals))
        dispersion = believed(signals.dispersion, minimum=0.0, maximum=MAX_REQUESTS)
        if isinstance(dispersion, Known):
            dispersions[tier] = dispersion.value
        if is_busy(signals) or tier not in busy:
            busy[tier] = now_s
    is_any_busy = any(is_busy(snapshot.signals(tier)) for tier in tiers)
    return replace(
        history,
        rates=rates,
        removed=tuple(each for each in history.removed if now_s - PACE_WINDOW_S < each[0] <= now_s),
        last_busy_s=now_s if is_any_busy else history.last_busy_s,
        lengths=tuple((name, *lengths[name]) for name in sorted(lengths)),
        dispersions=tuple(sorted(dispersions.items())),
        busy=tuple(sorted(busy.items())),
    )


def is_busy(signals: TierSignals) -> bool:
    """Return whether a tier has demand or may have: unknown arrivals are not idleness."""
    arrivals = believed(signals.arrivals_per_s, minimum=0.0, maximum=MAX_RATE_PER_S)
    if isinstance(arrivals, Missing):
        return True
    present = [number_or(each, 0.0, maximum=MAX_REQUESTS) for each in (signals.running, signals.waiting)]
    return arrivals.value > 0.0 or any(count > 0.0 for count in present)


def _with_rate(rates: Rates, tier: str, signals: TierSignals, now_s: float) -> Rates:
    arrivals = believed(signals.arrivals_per_s, minimum=0.0, maximum=MAX_RATE_PER_S)
    if isinstance(arrivals, Missing):
        return rates
    own = [each for each in rates if each[1] == tier]
    if not own or now_s - own[-1][0] >= WINDOW_S:
        return (*rates, (now_s, tier, arrivals.value))
    merged = (own[-1][0], tier, max(own[-1][2], arrivals.value))
    return tuple(merged if each == own[-1] else each for each in rates)


def _seen_lengths(tier: str, signals: TierSignals) -> dict[str, tuple[float, float]]:
    inputs = believed(signals.input_tokens_mean, minimum=1.0, maximum=MAX_TOKENS)
    outputs = believed(signals.output_tokens_mean, minimum=1.0, maximum=MAX_TOKENS)
    if isinstance(inputs, Known) and isinstance(outputs, Known):
        return {tier: (inputs.value, outputs.value)}
    return {}


def with_wanted(history: History, wanted: Sequence[tuple[str, int]], *, window_s: float, now_s: float) -> History:
    """Return the history with what the model wanted now, and of each tier the last wish before the window."""
    entries: list[Wanted] = []
    for tier, replicas in sorted(wanted):
        own = [each for each in history.wanted if each.tier == tier and each.time_s < now_s]
        older = [each for each in own if each.time_s <= now_s - window_s]
        entries += older[-1:]
        entries += [each for each in own if each.time_s > now_s - window_s]
        entries.append(Wanted(time_s=now_s, tier=tier, replicas=replicas))
    return replace(history, wanted=tuple(sorted(entries, key=lambda each: (each.time_s, each.tier))))
