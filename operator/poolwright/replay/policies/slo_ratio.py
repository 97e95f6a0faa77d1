"""Control of the ratio of latencies to objectives: up above a threshold, down below another, nothing in between.

Pressure is the larger of P90 TTFT and P90 time per output token, each over its objective. Above 0.55 the fleet grows in
proportion (at least by one), below 0.40 it loses one; while replicas are on their way it does not grow again for the
same cause. Source: the threshold rule of SLO-driven autoscalers for disaggregated serving (up at 0.55, down at 0.40 of
max(P90 TTFT / SLO, P90 TPOT / SLO)); how far a step goes is not stated there and is ours, in its favour.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Latencies, Observed, merged
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies.fill import asked_for, filled
from poolwright.replay.policies.settings import settings_of

PERCENTILE: Final = 0.90
"""Percentile of latencies that is compared [ratio]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SloRatioSettings:
    """Settings.

    Attributes
    ----------
    up_ratio, down_ratio
        Pressure above which it grows, and below which it shrinks.
    most_growth_ratio
        Most of the present fleet in one step.
    window_s
        Time over which percentiles are taken [s].
    down_wait_s
        Time without growth before it shrinks, and between two steps down [s].
    min_replicas, max_replicas
        Bounds.
    """

    up_ratio: float = 0.55
    down_ratio: float = 0.40
    most_growth_ratio: float = 2.0
    window_s: float = 60.0
    down_wait_s: float = 60.0
    min_replicas: int = 1
    max_replicas: int = 1000


@dataclass(slots=True)
class SloRatio:
    """A controller with the latencies of its window."""

    settings: SloRatioSettings
    ttft_s: float
    tpot_s: float
    _seen: deque[tuple[float, Latencies, Latencies]] = field(default_factory=deque)
    _moved_s: float = -math.inf

    @classmethod
    def made(cls, variants: tuple[FleetVariant, ...], objectives: Objectives, given: Mapping[str, float]) -> "SloRatio":
        """Return one with the settings given; an objective that is not stated presses nobody."""
        del variants
        own = settings_of(SloRatioSettings, "slo-ratio", given)
        return cls(own, objectives.ttft_s or math.inf, objectives.itl_s or math.inf)

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return what is asked for; nothing before the first scrape."""
        if observed.seen_s < 0.0:
            return {}
        own = self.settings
        self._seen.append((observed.seen_s, observed.ttft, observed.tpot))
        while self._seen[0][0] <= observed.seen_s - own.window_s:
            self._seen.popleft()
        pressure, current = self._pressure(observed), asked_for(observed.variants)
        count = current
        if pressure > own.up_ratio:
            growth = min(pressure / own.up_ratio, own.most_growth_ratio)
            # From what serves: replicas on their way are the answer to the same pressure.
            count = max(current, math.ceil(max(observed.ready, 1) * growth))
            self._moved_s = now_s
        elif pressure < own.down_ratio and now_s - self._moved_s >= own.down_wait_s:
            count = current - 1
            self._moved_s = now_s
        return filled(observed.variants, max(own.min_replicas, min(count, own.max_replicas)))

    def _pressure(self, observed: Observed) -> float:
        """Return latencies over objectives; a queue whose requests got no first token at all is beyond every limit."""
        ttft_s = merged([ttft for _, ttft, _ in self._seen]).percentile_s(PERCENTILE)
        tpot_s = merged([tpot for _, _, tpot in self._seen]).percentile_s(PERCENTILE)
        if ttft_s is None:
            return math.inf if observed.waiting else 0.0
        return max(ttft_s / self.ttft_s, (tpot_s or 0.0) / self.tpot_s)
