"""Tells the user: writes status when it differs from what is there, and an event for each new decision.

What is said comes from ``status`` and ``conditions``. A status that says the same costs no write.
"""

import logging
from datetime import datetime
from typing import Any, Final

from poolwright.api.inference_pool import InferencePool
from poolwright.api.pool_status import Decision, InferencePoolStatus
from poolwright.api.reasons import ConditionType
from poolwright.api.resource import API_VERSION
from poolwright.controller.cluster.kube import EVENTS, INFERENCE_POOLS, Kube, KubeError, Manifest

REPORTER: Final = "poolwright.io/operator"
"""``reportingController`` of events."""
LONGEST_NOTE: Final = 1024
"""Characters of an event's note that the API accepts (events.k8s.io/v1)."""

BAD: Final = {ConditionType.ACCEPTED: "False", ConditionType.SCALER_CONFLICT: "True"}
"""Conditions that a person must act on, and the status that is bad."""

log = logging.getLogger(__name__)


async def report(
    kube: Kube, pool: InferencePool, status: InferencePoolStatus, instance: str, now: datetime
) -> Manifest | None:
    """Write a pool's new status, and events for what changed in it; return the pool as it then is, if it was written.

    Raises
    ------
    KubeError
        Status could not be written. Events are told on a best-effort basis: no decision waits for them.
    """
    if status == pool.status:
        return None
    metadata = {"name": pool.metadata.name, "namespace": pool.metadata.namespace}
    body = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    written = await kube.apply(
        {"apiVersion": API_VERSION, "kind": INFERENCE_POOLS.kind, "metadata": metadata, "status": body},
        subresource="status",
    )
    for reason, note, is_warning in _news(pool.status, status):
        try:
            await kube.create(_event(pool, reason, note, now, instance, is_warning=is_warning))
        except KubeError as error:
            log.warning("event not written", extra={"pool": metadata, "reason": reason, "error": str(error)})
    return written


def _news(before: InferencePoolStatus, after: InferencePoolStatus) -> list[tuple[str, str, bool]]:
    """Return reason, note and severity of each new decision and of each condition that turned bad."""
    news = []
    now = {each.type: each for each in after.conditions}
    latest = after.history[0] if after.history else None
    if latest is not None and (not before.history or latest != before.history[0]):
        is_met = now.get(ConditionType.OBJECTIVES_MET)
        news.append((latest.reason, _decision_note(latest), is_met is not None and is_met.status == "False"))
    old = {each.type: (each.status, each.reason) for each in before.conditions}
    for kind, bad in BAD.items():
        each = now.get(kind)
        if each is not None and each.status == bad and old.get(kind) != (each.status, each.reason):
            news.append((each.reason, each.message, True))
    return news


def _decision_note(decision: Decision) -> str:
    return f"{decision.replicas} {'replica' if decision.replicas == 1 else 'replicas'}: {decision.message}"


def _event(
    pool: InferencePool, reason: str, note: str, now: datetime, instance: str, *, is_warning: bool
) -> dict[str, Any]:
    metadata = pool.metadata
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"generateName": f"{metadata.name[:50]}-", "namespace": metadata.namespace, "name": ""},
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": INFERENCE_POOLS.kind,
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
        },
        "reason": reason,
        "note": note[:LONGEST_NOTE],
        "type": "Warning" if is_warning else "Normal",
        "action": "Plan",
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": REPORTER,
        "reportingInstance": instance[:128],
    }
