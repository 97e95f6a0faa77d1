"""KEDA with a trigger on waiting requests, from its public definition.

A trigger is polled every 30 s; from one replica on, an HPA with the metric as a sum (``AverageValue``) decides: desired
= ceil(sum / threshold), nothing within its tolerance. At zero replicas any activity brings one; after a cooldown of
300 s without activity the last one goes, where ``min_replicas`` is 0. Source: KEDA documentation, "Scaling Deployments"
and "ScaledObject specification" (pollingInterval, cooldownPeriod, minReplicaCount).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies.fill import asked_for, filled
from poolwright.replay.policies.hpa import ROUNDING, HpaSettings, Stabilised
from poolwright.replay.policies.settings import settings_of

THRESHOLD: Final = 5.0
"""Waiting requests per replica [count]: the value that vLLM's production stack and KEDA's examples for it use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaSettings:
    """Settings.

    Attributes
    ----------
    threshold
        Waiting requests per replica.
    polling_s, cooldown_s
        Time between two looks at the trigger, and idle time before the last replica goes [s].
    tolerance, stabilisation_s
        Of the HPA underneath.
    min_replicas, max_replicas
        Bounds. KEDA's own default minimum is 0; guides for engines set 1, as a cold start takes minutes.
    """

    threshold: float = THRESHOLD
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    tolerance: float = 0.10
    stabilisation_s: float = 300.0
    min_replicas: int = 1
    max_replicas: int = 1000


@dataclass(slots=True)
class Keda:
    """A scaled object."""

    settings: KedaSettings
    _after: Stabilised
    _polled_s: float = -math.inf
    _active_s: float = 0.0

    @classmethod
    def made(cls, variants: tuple[FleetVariant, ...], objectives: Objectives, given: Mapping[str, float]) -> "Keda":
        """Return one with the settings given."""
        del variants, objectives
        own = settings_of(KedaSettings, "keda", given)
        least = max(own.min_replicas, 1)
        under = HpaSettings(stabilisation_s=own.stabilisation_s, min_replicas=least, max_replicas=own.max_replicas)
        return cls(own, Stabilised(under))

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return what is asked for: nothing new between two polls, or before the first scrape."""
        if now_s < self._polled_s + self.settings.polling_s or observed.seen_s < 0.0:
            return {}
        self._polled_s = now_s
        waiting, current = observed.waiting, asked_for(observed.variants)
        if waiting > 0:
            self._active_s = now_s
        if current == 0:
            return filled(observed.variants, 1 if waiting > 0 else 0)
        if self.settings.min_replicas == 0 and current == 1 and now_s - self._active_s >= self.settings.cooldown_s:
            return filled(observed.variants, 0)
        ratio = waiting / (self.settings.threshold * current)
        is_near = abs(ratio - 1.0) <= self.settings.tolerance
        proposal = current if is_near else math.ceil(waiting / self.settings.threshold - ROUNDING)
        return filled(observed.variants, self._after.settled(max(proposal, 1), current, now_s))
