"""What the demo shows: the last moments of a pool as a table, and what the whole run cost against a static fleet."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.explain import ms_text
from poolwright.replay.traces import Trace
from poolwright.units import (
    MICROSECONDS_PER_SECOND,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    percent_from_ratio,
    s_from_ms,
)

ROWS: Final = 14
"""Moments in the live table."""
PEAK_WINDOW_S: Final = 60.0
"""[s] Window whose largest rate a static fleet must carry: what an operator sees who plans for the peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A pool's status at one moment; absent numbers are None."""

    replicas: int
    ready: int
    runs_on: str
    planned_per_s: float
    ttft_s: float | None
    itl_s: float | None
    usd_per_h: float | None
    reason: str
    message: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Moment":
        """Return the moment that a resource's status shows."""
        status = document.get("status") or {}
        plan = status.get("plan") or []
        tier = (status.get("tiers") or [{}])[0]
        main: Mapping[str, Any] = max(plan, key=lambda each: each["replicas"], default={})
        limits = f"{main['maxNumSeqs']}/{main['maxNumBatchedTokens']}" if main else ""
        cost = status.get("usdPerHour") or ""
        return cls(
            replicas=status.get("replicas", 0),
            ready=status.get("readyReplicas", 0),
            runs_on=" + ".join(f"{each['replicas']} {_short(each)}" for each in plan)
            + (f" {limits}" if limits else ""),
            planned_per_s=tier.get("plannedRequestsPerMinute", 0) / SECONDS_PER_MINUTE,
            ttft_s=s_from_ms(main["ttftMilliseconds"]) if "ttftMilliseconds" in main else None,
            itl_s=main["itlMicroseconds"] / MICROSECONDS_PER_SECOND if "itlMicroseconds" in main else None,
            usd_per_h=float(cost) if cost else None,
            reason=tier.get("reason", ""),
            message=tier.get("message", ""),
        )


def _short(variant: Mapping[str, Any]) -> str:
    degree = variant["tensorParallel"]
    return f"{variant['accelerator']}{f'-tp{degree}' if degree > 1 else ''} {variant['weightFormat']}"


@dataclass(slots=True)
class View:
    """Collects what is decided and what is served."""

    minutes: float
    speed: float
    now_s: float = 0.0
    last: Mapping[str, Any] = field(default_factory=dict)
    spent_usd: float = 0.0
    peak_usd_per_h: float = 0.0
    most_ready: int = 0
    changes: int = 0
    reasons: set[str] = field(default_factory=set)
    _rate_per_s: float = 0.0
    _rows: deque[tuple[str, ...]] = field(default_factory=lambda: deque(maxlen=ROWS))
    _previous: Moment | None = None

    def served(self, line: Mapping[str, Any]) -> None:
        """Take one line of the twin."""
        before_s, before = self.now_s, self.last.get("arrived", 0)
        elapsed_s = line["time_s"] - before_s
        if elapsed_s > 0.0:
            self._rate_per_s = (line["arrived"] - before) / elapsed_s
            self.spent_usd += self._cost(line, self.last)
        self.now_s, self.last = line["time_s"], line

    def _cost(self, line: Mapping[str, Any], before: Mapping[str, Any]) -> float:
        """Return what accelerators with a ready replica cost since the last line [$]."""
        catalogue = load_catalogue()
        earlier = before.get("replica_seconds", {})
        return sum(
            float(seconds - earlier.get(name, 0.0)) * (catalogue.accelerator(name).price_usd_per_s or 0.0)
            for name, seconds in line["replica_seconds"].items()
        )

    def seen(self, moment: Moment) -> None:
        """Take the pool's status of now."""
        self.peak_usd_per_h = max(self.peak_usd_per_h, moment.usd_per_h or 0.0)
        self.most_ready = max(self.most_ready, moment.ready)
        if moment.reason:
            self.reasons.add(moment.reason)
        if self._previous is not None and moment.replicas != self._previous.replicas:
            self.changes += 1
        self._previous = moment
        tiers = list(self.last.get("tiers", {}).values())
        ttft, itl = (tiers[0]["ttft_s"], tiers[0]["itl_s"]) if tiers else (None, None)
        self._rows.append(
            (
                f"{int(self.now_s // 60):02d}:{int(self.now_s % 60):02d}",
                f"{self._rate_per_s:.1f}",
                f"{moment.planned_per_s:.1f}",
                f"{moment.replicas}/{moment.ready}",
                moment.runs_on,
                f"{_ms(moment.ttft_s)} / {_ms(ttft)}",
                f"{_ms(moment.itl_s)} / {_ms(itl)}",
                "?" if moment.usd_per_h is None else f"{moment.usd_per_h:.2f}",
                moment.reason,
            )
        )

    def table(self) -> Group:
        """Return the last moments, under a bar of progress."""
        table = Table(box=None, pad_edge=False, title=self._bar_text())
        for name in ("time", "load/s", "planned/s", "wanted/ready", "runs on (limits)"):
            table.add_column(name, justify="left" if name.startswith("runs") else "right")
        for name in ("TTFT predicted / seen", "ITL predicted / seen", "$/h", "reason"):
            table.add_column(name, justify="left" if name == "reason" else "right")
        for row in self._rows:
            table.add_row(*row)
        bar = ProgressBar(total=self.minutes * SECONDS_PER_MINUTE, completed=self.now_s, width=60)
        return Group(table, bar)

    def _bar_text(self) -> str:
        return f"{self.now_s / 60.0:.0f} of {self.minutes:.0f} minutes of traffic, {self.speed:g} times as fast"

    def line(self) -> str:
        """Return the last moment as one line, where the output is no terminal."""
        names = ("time", "load", "planned", "wanted/ready", "runs on", "ttft", "itl", "$/h", "reason")
        return "  ".join(f"{name} {value}" for name, value in zip(names, self._rows[-1], strict=True))

    def summary(self, played: Trace) -> list[str]:
        """Return what was served and what it cost, against as many replicas as the peak took, all the time."""
        hours = self.now_s / SECONDS_PER_HOUR
        tiers = self.last.get("tiers", {})
        static_usd = self.peak_usd_per_h * hours
        peak = peak_rate(played)
        lines = [
            "",
            (
                f"{self.last.get('arrived', 0)} requests in {hours:.2f} h, {self.last.get('finished', 0)} served, "
                f"{self.last.get('shed', 0)} refused while queues were full; "
                f"mean {len(played) / played.duration_s:.1f}/s, busiest minute {peak:.1f}/s"
            ),
        ]
        lines += [
            f"{name}: {percent_from_ratio(each['attainment_ratio']):.2f} % of first tokens and "
            f"{percent_from_ratio(each['token_attainment_ratio']):.2f} % of later tokens within the objectives"
            for name, each in tiers.items()
        ]
        lines.append(
            f"replicas changed {self.changes} times, at most {self.most_ready} served; "
            f"reasons given: {', '.join(sorted(self.reasons))}"
        )
        if static_usd > 0.0:
            saving = percent_from_ratio(1.0 - self.spent_usd / static_usd)
            lines.append(
                f"cost {self.spent_usd:.2f} $ for accelerators that served; a static fleet for the dearest plan "
                f"({self.peak_usd_per_h:.2f} $/h) {static_usd:.2f} $: {saving:.0f} % saved"
            )
        return lines


def peak_rate(played: Trace) -> float:
    """Return the requests per second of the busiest minute."""
    counts = np.bincount((played.arrivals_s // PEAK_WINDOW_S).astype(np.int64))
    return float(counts.max() / PEAK_WINDOW_S)


def _ms(value_s: float | None) -> str:
    return "-" if value_s is None else ms_text(value_s)
