"""Where a replica may run: node affinity, tolerations and spread, and whether a given node satisfies them.

One definition for the pods that are rendered and the nodes that are counted (``inventory``): a plan never counts on a
node that its pods would not be placed on.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from poolwright.hardware.accelerator import Accelerator

Json = dict[str, Any]

TAINT_EFFECTS: Final = ("NoSchedule", "NoExecute")
"""Taints that keep pods away."""


def node_terms(accelerator: Accelerator) -> list[Json]:
    """Return node selector terms, one of which a node must satisfy: one for each way of naming the accelerator.

    The first selector is the device plugin's product label. Nodes that carry it are matched by its value alone, since
    only it tells form factors, time slices and partitions apart; the others (clouds, Karpenter) speak for nodes that do
    not carry it, and let an autoscaler see what it has to create. Processors have no selector: any node will do.
    """
    if not accelerator.selectors:
        return []
    first, *others = accelerator.selectors
    absent = [{"key": key, "operator": "DoesNotExist"} for key in sorted(first.labels)]
    terms = [_expressions(first.labels)]
    terms += [
        _expressions(other.labels) + [each for each in absent if each["key"] not in other.labels] for other in others
    ]
    return [{"matchExpressions": term} for term in terms]


def admits(terms: Iterable[Mapping[str, Any]], node_labels: Mapping[str, str]) -> bool:
    """Return whether a node's labels satisfy one of the terms, as the scheduler judges it."""
    return any(all(_holds(each, node_labels) for each in term["matchExpressions"]) for term in terms)


def tolerates(tolerations: Sequence[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    """Return whether tolerations let a pod onto a node with this taint, as the scheduler judges it."""
    if taint.get("effect") not in TAINT_EFFECTS:
        return True
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def tolerations(accelerator: Accelerator, wanted: Sequence[Mapping[str, Any]] = ()) -> list[Json]:
    """Return tolerations: of the taint that accelerator nodes carry by convention, and what the user allowed.

    Node pools with accelerators are tainted with the resource's name (GKE, AKS and the device plugins' guides do so).
    """
    own = [{"key": accelerator.resource_name, "operator": "Exists", "effect": "NoSchedule"}]
    return own + [dict(each) for each in wanted if dict(each) not in own]


def _expressions(labels: Mapping[str, tuple[str, ...]]) -> list[Json]:
    return [{"key": key, "operator": "In", "values": list(labels[key])} for key in sorted(labels)]


def _holds(expression: Mapping[str, Any], node_labels: Mapping[str, str]) -> bool:
    value = node_labels.get(expression["key"])
    return value is None if expression["operator"] == "DoesNotExist" else value in expression["values"]


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
