"""One pod's recent readings and what they say about a window of time: levels, rates, means and histograms.

Every answer is a value or the reason why there is none. What the tier as a whole does is in ``metrics_adapter``.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from poolwright.controller.signals.arrivals import Flow, flow_of
from poolwright.controller.signals.histogram import Histogram, increase
from poolwright.controller.signals.reading import CumulativeMean, Reading
from poolwright.planner.snapshot import NEVER_SEEN, Missing, MissingReason

MAX_RATE_PER_S: Final = 100_000.0
"""Most requests per second believed of one pod [1/s]: two orders above what any engine's HTTP front end parses."""

Level = Literal["running", "waiting", "kv_utilisation_ratio"]
Tokens = Literal["input_tokens", "output_tokens"]
Latency = Literal["ttft", "itl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The stretch of world time that is looked at: it ends at ``now_s`` and spans ``length_s`` [s].

    A pod whose last reading is older than ``stale_after_s`` does not report.
    """

    now_s: float
    length_s: float
    stale_after_s: float

    @property
    def start_s(self) -> float:
        """When it begins [world s]."""
        return self.now_s - self.length_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Readings of one ready pod, oldest first, and the fault of the latest attempt if it failed.

    ``ready_since_s`` is when it began to serve [world s], or None where that is unknown.
    """

    pod: str
    readings: tuple[Reading, ...] = ()
    ready_since_s: float | None = None
    fault: Missing | None = None

    def silence(self, window: Window) -> Missing | None:
        """Return why the pod does not report, or None when it does."""
        if not self.readings:
            return self.fault or NEVER_SEEN
        age_s = window.now_s - self.readings[-1].time_s
        if age_s <= window.stale_after_s:
            return None
        why = f"; {self.fault.detail}" if self.fault else ""
        return Missing(reason=MissingReason.STALE, detail=f"pod {self.pod}: last read {age_s:.0f} s ago{why}")

    def level(self, name: Level) -> float | Missing:
        """Return a gauge's latest value."""
        value: float | Missing = getattr(self.readings[-1], name)
        return value

    def flow(self) -> Flow | Missing:
        """Return the pod's accumulated arrivals over everything kept."""
        return flow_of(self.readings)

    def arrivals_per_s(self, window: Window) -> float | Missing:
        """Return the rate of arrivals over the window [1/s]."""
        flow = self.flow()
        if isinstance(flow, Missing):
            return flow
        rate_per_s = flow.rate_per_s(window.start_s)
        if rate_per_s is None:
            return self._single()
        if rate_per_s > MAX_RATE_PER_S:
            detail = f"pod {self.pod}: {rate_per_s:.3g} arrivals/s, at most {MAX_RATE_PER_S:g} is believed"
            return Missing(reason=MissingReason.INVALID, detail=detail)
        return rate_per_s

    def tokens(self, name: Tokens, window: Window) -> CumulativeMean | Missing:
        """Return tokens and requests counted in the window."""
        values: list[CumulativeMean | Missing] = [getattr(reading, name) for reading in self._in(window)]
        if isinstance(values[-1], Missing):
            return values[-1]
        known = [value for value in values if not isinstance(value, Missing)]
        if len(known) == 1:
            return self._single()
        steps = [_tokens_since(*pair) for pair in pairwise(known)]
        return CumulativeMean(total=sum(step.total for step in steps), count=sum(step.count for step in steps))

    def latencies(self, name: Latency, window: Window) -> Histogram | Missing:
        """Return the histogram of what was measured in the window; across a restart, of what came after it."""
        values: list[Histogram | Missing] = [getattr(reading, name) for reading in self._in(window)]
        if isinstance(values[-1], Missing):
            return values[-1]
        known = [value for value in values if not isinstance(value, Missing)]
        return self._single() if len(known) == 1 else increase(known[0], known[-1])

    def _in(self, window: Window) -> list[Reading]:
        """Return the readings of the window and the one that it begins with."""
        before = [reading for reading in self.readings if reading.time_s <= window.start_s]
        return before[-1:] + [reading for reading in self.readings if reading.time_s > window.start_s]

    def _single(self) -> Missing:
        return Missing(reason=MissingReason.NOT_YET, detail=f"pod {self.pod}: read once, a rate needs two readings")


def _tokens_since(earlier: CumulativeMean, later: CumulativeMean) -> CumulativeMean:
    if later.count < earlier.count or later.total < earlier.total:
        return later
    return CumulativeMean(total=later.total - earlier.total, count=later.count - earlier.count)
