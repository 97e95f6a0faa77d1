"""Token saturation: tokens held and queued against the tokens that caches hold, from its public definition.

Demand: tokens in the caches and the prompts that wait. Capacity of a replica: its cache times the share at which it
counts as saturated, or what it was seen to hold while requests queued, whichever is less. Up so far that demand is 0.85
of what is ready and coming; down so far that it stays below 0.70 of what is ready. Source: llm-d workload-variant-
autoscaler, saturation analyzer of the second version (scaleUpThreshold, scaleDownBoundary, kvCacheThreshold,
queueLengthThreshold and their defaults).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies.fill import asked_for, filled
from poolwright.replay.policies.hpa import ROUNDING
from poolwright.replay.policies.settings import settings_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturationSettings:
    """Settings.

    Attributes
    ----------
    up_ratio, down_ratio
        Demand over capacity above which replicas are added, and below which they are taken away.
    cache_ratio
        Share of a cache at which a replica counts as saturated.
    queue
        Waiting requests per replica at which what it holds is taken for all that it can.
    interval_s
        Time between decisions [s].
    min_replicas, max_replicas
        Bounds.
    """

    up_ratio: float = 0.85
    down_ratio: float = 0.70
    cache_ratio: float = 0.80
    queue: float = 5.0
    interval_s: float = 30.0
    min_replicas: int = 1
    max_replicas: int = 1000


@dataclass(slots=True)
class TokenSaturation:
    """An analyzer with what it saw replicas hold when they were full."""

    settings: SaturationSettings
    _held_tokens: float | None = None
    _input_tokens: float = 512.0
    _decided_s: float = -math.inf

    @classmethod
    def made(
        cls, variants: tuple[FleetVariant, ...], objectives: Objectives, given: Mapping[str, float]
    ) -> "TokenSaturation":
        """Return one with the settings given."""
        del variants, objectives
        return cls(settings_of(SaturationSettings, "token-saturation", given))

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return what is asked for; nothing before the first scrape or between decisions."""
        own = self.settings
        if now_s < self._decided_s + own.interval_s or observed.seen_s < 0.0 or observed.ready == 0:
            return {}
        self._decided_s = now_s
        self._look(observed)
        demand = sum(each.kv_used_ratio * each.kv_tokens * each.reporting for each in observed.variants)
        demand += observed.waiting * self._input_tokens
        each_holds = self._capacity(observed)
        current = asked_for(observed.variants)
        short = demand / own.up_ratio - each_holds * observed.coming
        spare = each_holds * observed.ready - demand / own.down_ratio
        if short > 0.0:
            current += math.ceil(short / each_holds - ROUNDING)
        elif spare > 0.0 and observed.coming == observed.ready:
            current -= math.floor(spare / each_holds)
        return filled(observed.variants, max(own.min_replicas, min(current, own.max_replicas)))

    def _look(self, observed: Observed) -> None:
        """Remember mean prompts, and what full replicas hold."""
        finished = sum(each.finished for each in observed.variants)
        if finished:
            self._input_tokens = sum(each.finished_input_tokens for each in observed.variants) / finished
        reporting = sum(each.reporting for each in observed.variants)
        if reporting and observed.waiting >= self.settings.queue * reporting:
            held = sum(each.kv_used_ratio * each.kv_tokens * each.reporting for each in observed.variants)
            self._held_tokens = held / reporting

    def _capacity(self, observed: Observed) -> float:
        """Return what one replica holds [tokens]: of several variants their mean by number."""
        by_cache = sum(each.kv_tokens * each.ready for each in observed.variants) / observed.ready
        most = self.settings.cache_ratio * by_cache
        return max(1.0, most if self._held_tokens is None else min(most, self._held_tokens))
