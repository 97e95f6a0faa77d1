"""Facts about one pod, taken from its object: who it is, where it runs, whether it serves."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from poolwright.controller.objects import labels

Manifest = dict[str, Any]
"""A Kubernetes object as JSON."""

FINISHED_PHASES: Final = ("Succeeded", "Failed")
"""Phases of pods that hold nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRef:
    """Which pool."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """One pod that counts: neither finished nor on its way out.

    Attributes
    ----------
    uid, name, tier, variant
        Identity, and what its labels say it serves.
    address
        Pod IP, empty while it has none.
    node
        Node it is bound to, empty while it is not.
    is_ready, is_unschedulable
        From its conditions.
    created, ready_since
        Wall time, None where the API server has not said.
    """

    uid: str
    name: str
    tier: str = ""
    variant: str = ""
    address: str = ""
    node: str = ""
    is_ready: bool = False
    is_unschedulable: bool = False
    created: datetime | None = None
    ready_since: datetime | None = None


def counts(manifest: Manifest) -> bool:
    """Return whether a pod or Deployment is neither being deleted nor finished."""
    is_leaving = bool(manifest.get("metadata", {}).get("deletionTimestamp"))
    return not is_leaving and manifest.get("status", {}).get("phase") not in FINISHED_PHASES


def pod_state(pod: Manifest) -> PodState:
    """Return the facts of a pod that matter."""
    metadata, status = pod.get("metadata", {}), pod.get("status") or {}
    found = labels.labels_of(pod)
    ready, scheduled = condition(status, "Ready"), condition(status, "PodScheduled")
    is_ready = ready.get("status") == "True"
    return PodState(
        uid=metadata.get("uid", ""),
        name=metadata.get("name", ""),
        tier=found.get(labels.TIER, ""),
        variant=found.get(labels.VARIANT, ""),
        address=status.get("podIP") or "",
        node=pod.get("spec", {}).get("nodeName") or "",
        is_ready=is_ready,
        is_unschedulable=scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable",
        created=time_of(metadata.get("creationTimestamp")),
        ready_since=time_of(ready.get("lastTransitionTime")) if is_ready else None,
    )


def time_of(text: object) -> datetime | None:
    """Return a Kubernetes timestamp as a time with its zone, or None where there is none that reads as one."""
    try:
        parsed = datetime.fromisoformat(text) if isinstance(text, str) else text
    except ValueError:
        return None
    return parsed if isinstance(parsed, datetime) and parsed.tzinfo else None


def condition(status: Manifest, kind: str) -> Manifest:
    """Return a condition of a pod's or node's status, empty where it has none of that kind."""
    return next((each for each in status.get("conditions") or () if each.get("type") == kind), {})
