"""Requests arriving at a pod: a counter where there is one, otherwise what left plus what stayed.

Completions alone hide overload: an engine at its limit completes the same number however many come. Where no arrival
counter exists (vLLM), arrivals in a window are d(finished) + d(running + waiting), exact up to requests refused at the
door. Pure; how readings are had is in ``scrape_source`` and ``prometheus_source``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from poolwright.controller.signals.reading import Reading
from poolwright.forecast.burst import index_of_dispersion
from poolwright.planner.snapshot import NEVER_SEEN, Known, Missing, MissingReason, Signal

MIN_INTERVALS: Final = 8
"""Fewest counting intervals that a dispersion is taken over [count]: the estimate of a Poisson stream then has a
standard deviation of sqrt(2 / 7), about half its value."""

MIN_COUNT_PER_INTERVAL: Final = 1.0
"""Fewest arrivals in a mean interval [count]: below it the ratio of variance to mean says nothing about bursts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Arrivals of one pod, accumulated from its first usable reading on: ascending times [s] and counts."""

    times_s: tuple[float, ...]
    counts: tuple[float, ...]

    def rate_per_s(self, since_s: float) -> float | None:
        """Return the mean rate [1/s] from the last reading at or before ``since_s`` on; None for a single reading."""
        index = max(int(np.searchsorted(self.times_s, since_s, side="right")) - 1, 0)
        span_s = self.times_s[-1] - self.times_s[index]
        # Aborted requests can leave the backlog without being counted as finished: never a negative rate.
        return max(self.counts[-1] - self.counts[index], 0.0) / span_s if span_s > 0.0 else None


@dataclass(frozen=True, slots=True)
class _Counted:
    """One reading as a counter and a backlog that together hold every request that ever arrived."""

    counter: float
    backlog: float

    def since(self, earlier: "_Counted") -> float:
        """Return arrivals since; a counter that went backwards restarted from zero, and its backlog is gone."""
        if self.counter < earlier.counter:
            return self.counter + self.backlog
        return self.counter - earlier.counter + self.backlog - earlier.backlog


def flow_of(readings: Sequence[Reading]) -> Flow | Missing:
    """Return a pod's accumulated arrivals from its readings, oldest first; what the latest one lacks is missing."""
    if not readings:
        return NEVER_SEEN
    has_counter = not isinstance(readings[-1].arrivals, Missing)
    latest = _counted(readings[-1], has_counter=has_counter)
    if isinstance(latest, Missing):
        return latest
    times_s: list[float] = []
    counts: list[float] = []
    previous: _Counted | None = None
    for reading in readings:
        counted = _counted(reading, has_counter=has_counter)
        if isinstance(counted, Missing):
            continue
        times_s.append(reading.time_s)
        counts.append(counts[-1] + counted.since(previous) if previous else 0.0)
        previous = counted
    return Flow(times_s=tuple(times_s), counts=tuple(counts))


def _counted(reading: Reading, *, has_counter: bool) -> _Counted | Missing:
    if isinstance(reading.arrivals, Missing) and reading.arrivals.reason is MissingReason.INVALID:
        return reading.arrivals
    if has_counter:
        return reading.arrivals if isinstance(reading.arrivals, Missing) else _Counted(reading.arrivals, 0.0)
    for value in (reading.finished, reading.running, reading.waiting):
        if isinstance(value, Missing):
            return value
    return _Counted(_number(reading.finished), _number(reading.running) + _number(reading.waiting))


def _number(value: float | Missing) -> float:
    return 0.0 if isinstance(value, Missing) else value


def dispersion(flows: Sequence[Flow], now_s: float) -> Signal:
    """Return the index of dispersion of a tier's counts per interval (1 is Poisson), where there are enough intervals.

    The pods' counts are summed on a common grid over the time that all of them were read; between readings arrivals
    are spread evenly, which errs low when pods are read at different moments.
    """
    if not flows:
        return NEVER_SEEN
    start_s = max(flow.times_s[0] for flow in flows)
    end_s = min(flow.times_s[-1] for flow in flows)
    intervals = min(sum(start_s <= time_s <= end_s for time_s in flow.times_s) for flow in flows) - 1
    if intervals < MIN_INTERVALS or end_s <= start_s:
        detail = f"{max(intervals, 0)} intervals read of all pods, need {MIN_INTERVALS}"
        return Missing(reason=MissingReason.NOT_YET, detail=detail)
    grid_s = np.linspace(start_s, end_s, intervals + 1)
    counts = np.diff(np.sum([np.interp(grid_s, flow.times_s, flow.counts) for flow in flows], axis=0))
    mean = float(counts.mean())
    if mean < MIN_COUNT_PER_INTERVAL:
        detail = f"{mean:.3g} arrivals an interval, need {MIN_COUNT_PER_INTERVAL:g}"
        return Missing(reason=MissingReason.NOT_YET, detail=detail)
    return Known(value=index_of_dispersion(counts.tolist()), age_s=max(now_s - end_s, 0.0))
