"""What a tier's pods report, as the planner's signals: one arithmetic for readings scraped and readings queried.

Decides which pods count as reporting, what a quantity of the tier is, and when it is missing and why. Does not fetch
(``scrape_source``, ``prometheus_source``), does not judge single values (``reading``). A quantity is known when pods
that served at least half of the window report it; sums are then scaled to the pods that did not. The planner sees
``reporting_ratio`` and does not lower capacity while it is below one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Generic, Protocol, TypeVar

from poolwright.controller.cluster.pod_state import PodState, PoolRef
from poolwright.controller.signals.arrivals import dispersion
from poolwright.controller.signals.histogram import merged, quantile_s
from poolwright.controller.signals.pod_track import Latency, Level, Tokens, Track, Window
from poolwright.planner.snapshot import Known, Missing, MissingReason, Signal, TierSignals

MIN_REPORTING_RATIO: Final = 0.5
"""Least share of the tier that must report a quantity for it to be known [ratio]: below it most of the number would be
extrapolation."""

MIN_SPAN_RATIO: Final = 0.2
"""Least share of the asked window that must have passed since the tier began to serve [ratio]."""

EDGE_RATIO: Final = 0.25
"""Share of the window that shows a step [ratio]: two readings at least, and a step is seen in a quarter of the time."""

DISPERSION_WINDOWS: Final = 4.0
"""Windows that readings are kept for [count]: four of 60 s hold 16 intervals of a 15 s cycle."""

MAX_TOKENS: Final = 10_000_000.0
"""Longest mean prompt or answer believed [tokens]: the longest published context is 10 million."""

MIN_SERVED_S: Final = 1e-3
"""Least time a ready pod is credited with [s]: keeps shares positive when clocks disagree by a moment."""

SIGNALS: Final = tuple(field.name for field in fields(TierSignals))

MAX_DETAILS: Final = 3
"""Pods named in a detail [count]."""

Value = TypeVar("Value")


class MetricsSource(Protocol):
    """Where a tier's signals come from."""

    async def tier_signals(
        self, pool: PoolRef, tier: str, pods: Sequence[PodState], percentile_ratio: float
    ) -> TierSignals:
        """Return what a tier's ready pods report; failures are values, never exceptions."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reported(Generic[Value]):
    """Values of the pods that reported a quantity, each with the pod's share of the window, and the oldest's age.

    ``share_ratio`` is how much of the tier they make up.
    """

    values: tuple[tuple[Value, float], ...]
    share_ratio: float
    age_s: float


def tier_signals(tracks: Sequence[Track], window: Window, percentile_ratio: float) -> TierSignals:
    """Return the signals of a tier from the readings of its ready pods.

    Parameters
    ----------
    tracks
        One for every ready pod, also those that never answered.
    window
        The time looked at.
    percentile_ratio
        Percentile of TTFT and ITL, in (0, 1).
    """
    if not tracks:
        return all_missing(Missing(reason=MissingReason.NO_REPLICAS, detail="no ready pod"))
    edge_s = EDGE_RATIO * window.length_s
    edge = _rate_per_s(tracks, replace(window, length_s=edge_s))
    return TierSignals(
        arrivals_per_s=_arrivals_per_s(tracks, window),
        edge_per_s=edge,
        edge_s=edge if isinstance(edge, Missing) else Known(value=edge_s),
        dispersion=_dispersion(tracks, window),
        running=_level_total(tracks, window, "running"),
        waiting=_level_total(tracks, window, "waiting"),
        input_tokens_mean=_tokens_mean(tracks, window, "input_tokens"),
        output_tokens_mean=_tokens_mean(tracks, window, "output_tokens"),
        ttft_s=_percentile_s(tracks, window, "ttft", percentile_ratio),
        itl_s=_percentile_s(tracks, window, "itl", percentile_ratio),
        kv_utilisation_ratio=_kv_utilisation_ratio(tracks, window),
        reporting_ratio=_reporting_ratio(tracks, window),
    )


def all_missing(missing: Missing) -> TierSignals:
    """Return signals that are all missing for one reason."""
    return TierSignals(**dict.fromkeys(SIGNALS, missing))


def _arrivals_per_s(tracks: Sequence[Track], window: Window) -> Signal:
    """Return the tier's arrivals: pods' rates weighted by the share of the window that they served.

    Without the weights, a pod that has just become ready would be credited with a whole window of the old pods' load,
    the load would seem to double, and each scale-up would cause the next.
    """
    span_s = window.now_s - _start_s(tracks, window)
    if span_s < MIN_SPAN_RATIO * window.length_s:
        return Missing(reason=MissingReason.NOT_YET, detail=f"serving for {span_s:.0f} s of {window.length_s:.0f} s")
    return _rate_per_s(tracks, window)


def _rate_per_s(tracks: Sequence[Track], window: Window) -> Signal:
    found = _gathered(tracks, window, lambda track: track.arrivals_per_s(window))
    if isinstance(found, Missing):
        return found
    total = sum(rate_per_s * share for rate_per_s, share in found.values)
    return Known(value=total / found.share_ratio, age_s=found.age_s)


def _dispersion(tracks: Sequence[Track], window: Window) -> Signal:
    found = _gathered(tracks, window, Track.flow)
    return found if isinstance(found, Missing) else dispersion([flow for flow, _ in found.values], window.now_s)


def _level_total(tracks: Sequence[Track], window: Window, name: Level) -> Signal:
    found = _gathered(tracks, window, lambda track: track.level(name))
    if isinstance(found, Missing):
        return found
    mean = sum(value for value, _ in found.values) / len(found.values)
    return Known(value=mean * len(tracks), age_s=found.age_s)


def _kv_utilisation_ratio(tracks: Sequence[Track], window: Window) -> Signal:
    found = _gathered(tracks, window, lambda track: track.level("kv_utilisation_ratio"))
    if isinstance(found, Missing):
        return found
    return Known(value=sum(value for value, _ in found.values) / len(found.values), age_s=found.age_s)


def _tokens_mean(tracks: Sequence[Track], window: Window, name: Tokens) -> Signal:
    found = _gathered(tracks, window, lambda track: track.tokens(name, window))
    if isinstance(found, Missing):
        return found
    total = sum(tokens.total for tokens, _ in found.values)
    count = sum(tokens.count for tokens, _ in found.values)
    if count <= 0.0:
        return Missing(reason=MissingReason.NOT_YET, detail="no request finished in the window")
    if not count <= total <= MAX_TOKENS * count:
        detail = f"{name}: {total:g} tokens of {count:g} requests, must be 1 to {MAX_TOKENS:g} each"
        return Missing(reason=MissingReason.INVALID, detail=detail)
    return Known(value=total / count, age_s=found.age_s)


def _percentile_s(tracks: Sequence[Track], window: Window, name: Latency, percentile_ratio: float) -> Signal:
    found = _gathered(tracks, window, lambda track: track.latencies(name, window))
    if isinstance(found, Missing):
        return found
    histogram = merged([latencies for latencies, _ in found.values])
    if histogram.count <= 0.0:
        return Missing(reason=MissingReason.NOT_YET, detail=f"{name}: nothing measured in the window")
    return Known(value=quantile_s(histogram, percentile_ratio), age_s=found.age_s)


def _reporting_ratio(tracks: Sequence[Track], window: Window) -> Signal:
    return Known(value=sum(track.silence(window) is None for track in tracks) / len(tracks))


def _gathered(
    tracks: Sequence[Track], window: Window, value_of: Callable[[Track], Value | Missing]
) -> _Reported[Value] | Missing:
    """Return the values of the pods that have one, or why too few have."""
    start_s = _start_s(tracks, window)
    values: list[tuple[Value, float]] = []
    faults: list[Missing] = []
    age_s = 0.0
    for track in tracks:
        value = track.silence(window) or value_of(track)
        if isinstance(value, Missing):
            faults.append(value)
            continue
        values.append((value, _share(track, window, start_s)))
        age_s = max(age_s, window.now_s - track.readings[-1].time_s)
    reported = sum(share for _, share in values)
    served = sum(_share(track, window, start_s) for track in tracks)
    if not values or reported < MIN_REPORTING_RATIO * served:
        return _too_few(faults, len(tracks))
    return _Reported(values=tuple(values), share_ratio=reported / served, age_s=age_s)


def _start_s(tracks: Sequence[Track], window: Window) -> float:
    """Return when the tier began to serve inside the window: its start, unless every pod came later."""
    return max(window.start_s, min(_served_from_s(track, window) for track in tracks))


def _served_from_s(track: Track, window: Window) -> float:
    return window.start_s if track.ready_since_s is None else track.ready_since_s


def _share(track: Track, window: Window, start_s: float) -> float:
    """Return the share of the tier's time in the window that a pod served, never quite zero."""
    span_s = max(window.now_s - start_s, MIN_SERVED_S)
    served_s = min(max(window.now_s - _served_from_s(track, window), MIN_SERVED_S), span_s)
    return served_s / span_s


def _too_few(faults: Sequence[Missing], pods: int) -> Missing:
    """Return one reason for many: the common one where there is one, else that reports are partial."""
    reasons = Counter(fault.reason for fault in faults)
    named = "; ".join([fault.detail for fault in faults if fault.detail][:MAX_DETAILS])
    reason = next(iter(reasons)) if len(faults) == pods and len(reasons) == 1 else MissingReason.PARTIAL
    return Missing(reason=reason, detail=f"{len(faults)} of {pods} pods lack it: {named}")
