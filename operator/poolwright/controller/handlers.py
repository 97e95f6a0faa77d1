"""What kopf calls: each event only updates the mirror and marks a pool as due (docs/adr/0001).

No change handlers, no timers, no finalizers: kopf watches, and nothing else.
"""

from typing import Any, Final

import kopf

from poolwright.api.resource import GROUP, VERSION
from poolwright.controller.cluster.kube import DEPLOYMENTS, INFERENCE_POOLS, PODS, ResourceKind
from poolwright.controller.cluster.pod_state import PoolRef
from poolwright.controller.objects import labels
from poolwright.controller.runtime import Runtime

BATCH_S: Final = 0.1
"""[wall s] Time in which events of one object are taken together."""
IDLE_S: Final = 1.0
"""[wall s] Time after which the task of a silent object ends: throughput is limited by tasks over this time."""
WATCH_S: Final = 60
"""[wall s] Life of one watch, after which it is opened anew: a stalled one is noticed within this time."""


def registry_for(run: Runtime) -> kopf.OperatorRegistry:
    """Return the handlers of one operator, in a registry of their own."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)  # type: ignore[misc, unused-ignore]
    def login(**kwargs: Any) -> Any:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(GROUP, VERSION, INFERENCE_POOLS.plural, registry=registry)
    async def pool_seen(event: Any, **_: Any) -> None:
        _seen(run, INFERENCE_POOLS, event)

    @kopf.on.event("apps", "v1", DEPLOYMENTS.plural, registry=registry, labels={labels.MANAGED_BY: labels.MANAGER})
    async def deployment_seen(event: Any, **_: Any) -> None:
        _seen(run, DEPLOYMENTS, event)

    @kopf.on.event("v1", PODS.plural, registry=registry)
    async def pod_seen(event: Any, **_: Any) -> None:
        _seen(run, PODS, event)

    return registry


def _seen(run: Runtime, kind: ResourceKind, event: Any) -> None:
    manifest = dict(event["object"])
    manifest["metadata"] = dict(manifest.get("metadata") or {})
    is_gone = event["type"] == "DELETED"
    before = run.mirror.pool(_ref(manifest)) if kind is INFERENCE_POOLS else None
    pool = run.mirror.drop(kind, manifest) if is_gone else run.mirror.put(kind, manifest)
    if pool is None or (before is not None and not is_gone and _generation(before) == _generation(manifest)):
        return  # our own status, or somebody's label: nothing to plan anew
    run.queue.add(pool)


def _ref(manifest: dict[str, Any]) -> PoolRef:
    return PoolRef(namespace=manifest["metadata"].get("namespace") or "", name=manifest["metadata"]["name"])


def _generation(manifest: dict[str, Any]) -> object:
    return manifest["metadata"].get("generation")


def settings_for() -> kopf.OperatorSettings:
    """Return kopf's settings: quick, quiet, and without rights that the chart does not give."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # no right to list definitions; the kinds are known
    settings.batching.batch_window = BATCH_S
    settings.batching.idle_timeout = IDLE_S
    settings.watching.server_timeout = WATCH_S
    settings.watching.client_timeout = WATCH_S + 10
    settings.watching.connect_timeout = 5
    settings.watching.reconnect_backoff = 1
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.execution.default_backoff = 5
    settings.peering.standalone = True
    return settings
