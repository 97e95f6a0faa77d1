"""Knative's pod autoscaler on concurrency, from its public definition.

desired = ceil(mean concurrency over a window / target), over a stable window of 60 s and a panic window of a tenth of
it. At twice the ready pods' worth in the panic window it panics: it then never lowers, until a stable window has passed
without. At most 1000 times, at least half the ready pods in one decision. Source: Knative documentation, "Configuring
the Knative Pod Autoscaler" and config-autoscaler's defaults.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies.fill import filled
from poolwright.replay.policies.hpa import ROUNDING
from poolwright.replay.policies.settings import settings_of


@dataclass(frozen=True, slots=True, kw_only=True)
class KpaSettings:
    """Settings.

    Attributes
    ----------
    concurrency
        Requests that one pod may hold (``containerConcurrency``); 0: ``max_num_seqs`` of the first variant.
    target_ratio
        Share of it that is aimed at (``container-concurrency-target-percentage``).
    stable_s, panic_s
        Windows [s].
    panic_ratio
        Desired over ready pods at which it panics (``panic-threshold-percentage`` of 200).
    max_up_ratio, max_down_ratio
        Most and least of the ready pods in one decision, the latter as a divisor.
    min_replicas, max_replicas
        Bounds.
    """

    concurrency: float = 0.0
    target_ratio: float = 0.70
    stable_s: float = 60.0
    panic_s: float = 6.0
    panic_ratio: float = 2.0
    max_up_ratio: float = 1000.0
    max_down_ratio: float = 2.0
    min_replicas: int = 1
    max_replicas: int = 1000


@dataclass(slots=True)
class Kpa:
    """An autoscaler of one revision."""

    settings: KpaSettings
    target: float
    _seen: deque[tuple[float, float]] = field(default_factory=deque)
    _panicked_s: float | None = None
    _panic_count: int = 0

    @classmethod
    def made(cls, variants: tuple[FleetVariant, ...], objectives: Objectives, given: Mapping[str, float]) -> "Kpa":
        """Return one with the settings given."""
        del objectives
        own = settings_of(KpaSettings, "kpa", given)
        return cls(own, own.target_ratio * (own.concurrency or variants[0].max_num_seqs))

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return what is asked for; nothing before the first scrape."""
        if observed.seen_s < 0.0:
            return {}
        own = self.settings
        self._seen.append((observed.seen_s, float(observed.running + observed.waiting)))
        while self._seen[0][0] <= observed.seen_s - own.stable_s:
            self._seen.popleft()
        ready = max(observed.ready, 1)
        stable, panic = self._desired(own.stable_s, ready), self._desired(own.panic_s, ready)
        if panic >= own.panic_ratio * ready:
            self._panicked_s = now_s
        elif self._panicked_s is not None and now_s >= self._panicked_s + own.stable_s:
            self._panicked_s, self._panic_count = None, 0
        count = stable
        if self._panicked_s is not None:
            self._panic_count = count = max(self._panic_count, stable, panic, ready)
        return filled(observed.variants, max(own.min_replicas, min(count, own.max_replicas)))

    def _desired(self, window_s: float, ready: int) -> int:
        """Return what a window asks for, within the rates of change."""
        since_s = self._seen[-1][0] - window_s
        recent = [value for seen_s, value in self._seen if seen_s > since_s]
        count = math.ceil(sum(recent) / len(recent) / self.target - ROUNDING)
        least, most = math.floor(ready / self.settings.max_down_ratio), math.ceil(ready * self.settings.max_up_ratio)
        return max(least, min(count, most))
