"""Accelerators that nodes have and that nobody has asked for, by catalogue name.

Counts what a pool's pods could be placed on (``placement``); how much of it a plan may use is the planner's matter.
What cannot be seen (pods of other namespaces in namespaced mode) counts as free: pods then stay unschedulable and the
snapshot says so.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from kubernetes.utils.quantity import parse_quantity

from poolwright.controller.cluster.pod_state import FINISHED_PHASES, Manifest, condition
from poolwright.controller.objects import placement
from poolwright.hardware.accelerator import Accelerator
from poolwright.hardware.catalogue import Catalogue
from poolwright.planner.snapshot import Inventory

CORDON_TAINT: Final = "node.kubernetes.io/unschedulable"
"""Taint that ``kubectl cordon`` sets beside the node's ``unschedulable`` field."""


def inventory_of(
    nodes: Iterable[Manifest],
    pods: Iterable[Manifest],
    catalogue: Catalogue,
    pending: Mapping[str, int],
    extra_tolerations: Sequence[Mapping[str, Any]] = (),
) -> Inventory:
    """Return total and free accelerators.

    Parameters
    ----------
    nodes
        Every node. Those that are not ready, or that the pool's pods do not tolerate, have nothing; cordoned ones have
        nothing free.
    pods
        Every visible pod: what those on a node ask for is not free.
    catalogue
        Names accelerators from node labels.
    pending
        Accelerators that pods which are on no node yet have asked for, by catalogue name.
    extra_tolerations
        What the pool's pods tolerate besides accelerator taints.
    """
    asked = _asked(pods)
    total: Counter[str] = Counter()
    free: Counter[str] = Counter()
    for node in nodes:
        accelerator = catalogue.accelerator_of_node(node["metadata"].get("labels") or {})
        if accelerator is None or not _is_usable(node, accelerator, extra_tolerations):
            continue
        has = _allocatable(node, accelerator)
        total[accelerator.name] += has // accelerator.resource_units
        if not node.get("spec", {}).get("unschedulable"):
            left = max(has - asked[node["metadata"]["name"], accelerator.resource_name], 0)
            free[accelerator.name] += left // accelerator.resource_units
    left_over = ((name, max(count - pending.get(name, 0), 0)) for name, count in free.items())
    return Inventory(total=tuple(sorted(total.items())), free=tuple(sorted(left_over)))


def _is_usable(node: Manifest, accelerator: Accelerator, extra_tolerations: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the pool's pods could run on a node, space apart."""
    tolerations = placement.tolerations(accelerator, extra_tolerations)
    taints = node.get("spec", {}).get("taints") or ()
    return (
        condition(node.get("status") or {}, "Ready").get("status") == "True"
        and placement.admits(placement.node_terms(accelerator), node["metadata"].get("labels") or {})
        # A cordoned node carries a taint of its own; it is judged by its field.
        and all(placement.tolerates(tolerations, taint) for taint in taints if taint.get("key") != CORDON_TAINT)
    )


def _allocatable(node: Manifest, accelerator: Accelerator) -> int:
    status = node.get("status") or {}
    return _whole((status.get("allocatable") or {}).get(accelerator.resource_name))


def _asked(pods: Iterable[Manifest]) -> Counter[tuple[str, str]]:
    """Return what pods ask for, by node and resource; init containers run before and are not added."""
    asked: Counter[tuple[str, str]] = Counter()
    for pod in pods:
        node = pod.get("spec", {}).get("nodeName")
        if not node or pod.get("status", {}).get("phase") in FINISHED_PHASES:
            continue
        for container in pod["spec"].get("containers") or ():
            for resource, quantity in ((container.get("resources") or {}).get("requests") or {}).items():
                if "/" in resource:
                    asked[node, resource] += _whole(quantity)
    return asked


def _whole(quantity: object) -> int:
    """Return a quantity of whole devices; one that does not read as such is nothing."""
    try:
        return max(int(Decimal(parse_quantity(quantity or "0"))), 0)
    except (ValueError, ArithmeticError):
        return 0
