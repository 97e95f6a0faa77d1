"""Everything that one running operator has: client, mirror, facts, queue, metrics, memory; built once."""

import asyncio
from dataclasses import dataclass, field

from poolwright.controller.clock import Clock
from poolwright.controller.cluster.facts import FactsCache
from poolwright.controller.cluster.kube import Kube
from poolwright.controller.cluster.mirror import Mirror
from poolwright.controller.cluster.pod_state import PoolRef
from poolwright.controller.fleet import Fleets
from poolwright.controller.lease import Lease
from poolwright.controller.objects.workload import ManifestOptions
from poolwright.controller.reporting.telemetry import Telemetry
from poolwright.controller.settings import Settings
from poolwright.controller.signals.metrics_adapter import MetricsSource
from poolwright.controller.signals.prometheus_source import PrometheusSource
from poolwright.controller.work_queue import WorkQueue
from poolwright.planner.outcome import Plan
from poolwright.planner.policy import PoolPolicy
from poolwright.planner.snapshot import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Objects that the cluster held exactly as wanted at a time [wall s], and the Deployments it then had."""

    digest: str
    deployments: tuple[tuple[str, str], ...]
    at_s: float


@dataclass(slots=True, kw_only=True)
class Memory:
    """What is kept of one pool between two passes; after a restart it begins anew, and nothing is lowered on it.

    ``policy`` is the translated spec, valid for one generation and one version of the facts; ``applied`` spares looking
    at objects that nobody changed.
    """

    history: History = field(default_factory=History)
    policy: PoolPolicy | None = None
    policy_version: object = None
    applied: Settled | None = None
    plan: Plan | None = None


@dataclass(slots=True, kw_only=True)
class Runtime:
    """The parts of one operator.

    Attributes
    ----------
    metrics
        Where signals come from.
    fleets
        What pools that share accelerators or budgets last asked for.
    prometheus
        Where user's queries are asked; None where no server is configured.
    synced
        Whether everything has been listed since the watches last broke.
    unsynced
        Set when a watch broke: the next list is due at once.
    trouble
        Why it cannot work now, for readiness; empty when it can.
    """

    settings: Settings
    clock: Clock
    kube: Kube
    lease: Lease
    mirror: Mirror
    facts: FactsCache
    queue: WorkQueue[PoolRef]
    telemetry: Telemetry
    metrics: MetricsSource
    options: ManifestOptions
    prometheus: PrometheusSource | None = None
    fleets: Fleets = field(default_factory=Fleets)
    memories: dict[PoolRef, Memory] = field(default_factory=dict)
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    unsynced: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: str = "starting"
    passes: int = 0

    def forget(self, pool: PoolRef) -> None:
        """Drop everything kept of a pool that is gone; its objects go with their owner reference."""
        self.memories.pop(pool, None)
        self.fleets.forget(pool)
        self.telemetry.forget(pool)
        self.queue.forget(pool)
        forget = getattr(self.metrics, "forget", None)
        if forget is not None:
            forget(pool)
