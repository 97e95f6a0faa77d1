"""Kubernetes' HorizontalPodAutoscaler, from its public definition, on three signals that people scale engines by.

Every 15 s: desired = ceil(current * metric / target), nothing within a tolerance of 10 %; pods that are not ready count
as idle where that raises and as on target where it lowers; the largest proposal of the last 5 minutes holds; at most
double or 4 more in 15 s. Source: Kubernetes documentation, Horizontal Pod Autoscaling, "Algorithm details", and the
defaults of ``behavior`` in autoscaling/v2.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies.fill import asked_for, filled
from poolwright.replay.policies.settings import settings_of

BUSY_TARGET: Final = 0.80
"""Share of time in which a device is busy [ratio]: Kubernetes' own default for CPU, which guides take over for GPUs."""
RUNNING_TARGET: Final = 0.80
"""Running requests over ``max_num_seqs`` [ratio]: the same default on the engine's own utilisation."""
QUEUE_TARGET: Final = 5.0
"""Waiting requests per replica [count]: Google's guide to autoscaling inference on GKE begins with 3 to 5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaSettings:
    """Settings; ``target`` 0 stands for the default of the signal.

    Attributes
    ----------
    target
        Value of the metric per replica.
    tolerance
        Deviation of metric / target from 1 within which nothing changes [ratio].
    sync_s, stabilisation_s
        Time between decisions, and how long a proposal holds against a lower one [s].
    growth_ratio, growth_pods
        Most that is added in ``sync_s``: the larger of a share and a number.
    min_replicas, max_replicas
        Bounds.
    """

    target: float = 0.0
    tolerance: float = 0.10
    sync_s: float = 15.0
    stabilisation_s: float = 300.0
    growth_ratio: float = 1.0
    growth_pods: int = 4
    min_replicas: int = 1
    max_replicas: int = 1000


def proposed(total: float, target: float, *, current: int, reporting: int, unready: int, tolerance: float) -> int:
    """Return the replicas that a metric summed over the pods that report asks for, before bounds.

    Parameters
    ----------
    total, target
        Sum of the metric over ``reporting`` pods, and what one pod should have.
    current
        Replicas in the specification.
    reporting, unready
        Pods with the metric, and pods without one (starting, or silent).
    tolerance
        Of metric / target around 1.

    Examples
    --------
    >>> proposed(30.0, 10.0, current=2, reporting=2, unready=0, tolerance=0.1)
    3
    >>> proposed(30.0, 10.0, current=3, reporting=2, unready=1, tolerance=0.1)
    3
    """
    if reporting == 0:
        return current
    ratio = total / (target * reporting)
    if abs(ratio - 1.0) <= tolerance:
        return current
    if unready == 0:
        return math.ceil(ratio * reporting - ROUNDING)
    # What does not report counts as idle on the way up, as on target on the way down; neither may turn the direction.
    pods = reporting + unready
    damped = total / (target * pods) if ratio > 1.0 else (total + target * unready) / (target * pods)
    if abs(damped - 1.0) <= tolerance or (damped > 1.0) != (ratio > 1.0):
        return current
    return math.ceil(damped * pods - ROUNDING)


ROUNDING: Final = 1e-9
"""Slack of a quotient that is a whole number but for rounding [1]."""


@dataclass(slots=True)
class Stabilised:
    """The part of an autoscaler after the metric: bounds, pace upwards, and the memory that slows the way down."""

    settings: HpaSettings
    _past: deque[tuple[float, int]] = field(default_factory=deque)

    def settled(self, proposal: int, current: int, now_s: float) -> int:
        """Return what is asked for, given a proposal of now."""
        own = self.settings
        self._past.append((now_s, proposal))
        while self._past[0][0] <= now_s - own.stabilisation_s:
            self._past.popleft()
        held = max(each for _, each in self._past)
        count = proposal if proposal >= current else min(current, held)
        pace = current + max(math.floor(own.growth_ratio * current), own.growth_pods)
        return max(own.min_replicas, min(count, pace, own.max_replicas))


@dataclass(slots=True)
class Hpa:
    """An autoscaler on one signal.

    Attributes
    ----------
    signal
        ``busy``, ``running`` or ``waiting``.
    settings
        With the target filled in.
    """

    signal: str
    settings: HpaSettings
    _after: Stabilised
    _decided_s: float = -math.inf

    @classmethod
    def on(cls, signal: str, default: float, given: Mapping[str, float]) -> "Hpa":
        """Return one on a signal with its default target and the settings given."""
        settings = settings_of(HpaSettings, f"hpa-{signal}", {"target": default, **given})
        return cls(signal, settings, Stabilised(settings))

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return what is asked for: nothing new between two syncs, or before the first scrape."""
        if now_s < self._decided_s + self.settings.sync_s or observed.seen_s < 0.0:
            return {}
        self._decided_s = now_s
        current = asked_for(observed.variants)
        if current == 0:
            return {}
        reporting = min(sum(each.reporting for each in observed.variants), observed.ready)
        count = proposed(
            _total(self.signal, observed),
            self.settings.target,
            current=current,
            reporting=reporting,
            unready=max(observed.coming - reporting, 0),
            tolerance=self.settings.tolerance,
        )
        return filled(observed.variants, self._after.settled(count, current, now_s))


def _total(signal: str, observed: Observed) -> float:
    """Return the signal summed over the pods that report it; requests at the gateway are no pod's."""
    if signal == "busy":
        return sum(each.busy_ratio * each.reporting for each in observed.variants)
    if signal == "running":
        return sum(each.running / each.max_num_seqs for each in observed.variants)
    return float(sum(each.waiting for each in observed.variants))


def hpa_busy(variants: tuple[FleetVariant, ...], objectives: Objectives, given: Mapping[str, float]) -> Hpa:
    """Return one on the share of time in which devices are busy."""
    del variants, objectives
    return Hpa.on("busy", BUSY_TARGET, given)


def hpa_running(variants: tuple[FleetVariant, ...], objectives: Objectives, given: Mapping[str, float]) -> Hpa:
    """Return one on running requests over the batch limit."""
    del variants, objectives
    return Hpa.on("running", RUNNING_TARGET, given)


def hpa_waiting(variants: tuple[FleetVariant, ...], objectives: Objectives, given: Mapping[str, float]) -> Hpa:
    """Return one on waiting requests per replica."""
    del variants, objectives
    return Hpa.on("waiting", QUEUE_TARGET, given)
