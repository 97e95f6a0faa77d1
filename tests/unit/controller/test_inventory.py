"""What of the cluster a pool may count on: nodes it could run on, less what others asked for."""

from typing import Any

import pytest

from poolwright.controller.cluster.inventory import inventory_of
from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.snapshot import Inventory

CATALOGUE = load_catalogue()
PRODUCT = "nvidia.com/gpu.product"
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
TEAM_TAINT = {"key": "team", "value": "a", "effect": "NoSchedule"}
DISK_TAINT = {"key": "node.kubernetes.io/disk-pressure", "effect": "PreferNoSchedule"}
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def node(
    name: str = "n",
    product: str = "NVIDIA-L4",
    gpus: object = "4",
    *,
    is_ready: str = "True",
    taints: tuple[dict[str, str], ...] = (),
    is_cordoned: bool = False,
    resource: str = "nvidia.com/gpu",
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {PRODUCT: product}},
        "spec": {"taints": list(taints), **({"unschedulable": True} if is_cordoned else {})},
        "status": {"allocatable": {resource: gpus}, "conditions": [{"type": "Ready", "status": is_ready}]},
    }


def pod(node_name: str, gpus: object, phase: str = "Running") -> dict[str, Any]:
    container = {"name": "engine", "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": gpus}}}
    return {"spec": {"nodeName": node_name, "containers": [container]}, "status": {"phase": phase}}


def l4(nodes: list[dict[str, Any]], pods: tuple[dict[str, Any], ...] = (), **more: Any) -> tuple[int, int]:
    """Total and free L4s."""
    found = inventory_of(nodes, pods, CATALOGUE, more.get("pending", {}), more.get("tolerations", ()))
    return dict(found.total).get("l4", 0), dict(found.free).get("l4", 0)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param(node(), (4, 4), id="a ready node has all of them"),
        pytest.param(node(taints=(TAINT,)), (4, 4), id="the accelerators' own taint is tolerated"),
        pytest.param(node(taints=(DISK_TAINT,)), (4, 4), id="a taint that only discourages does not count"),
        pytest.param(node(is_cordoned=True, taints=(CORDON,)), (4, 0), id="a cordoned node has nothing free"),
        pytest.param(node(is_ready="False"), (0, 0), id="a node that is not ready has nothing"),
        pytest.param(node(is_ready="Unknown"), (0, 0), id="nor has one that is silent"),
        pytest.param(node(taints=(TEAM_TAINT,)), (0, 0), id="nor one whose taint is not tolerated"),
        pytest.param(node(gpus="0"), (0, 0), id="a node whose device plugin is gone has nothing"),
        pytest.param(node(gpus="many"), (0, 0), id="an unreadable quantity is nothing"),
        pytest.param(node(gpus="-4"), (0, 0), id="a negative quantity is nothing"),
        pytest.param(node(resource="amd.com/gpu"), (0, 0), id="another vendor's resource is nothing"),
        pytest.param(node(product="NVIDIA-L4-SHARED"), (0, 0), id="a time slice is not the accelerator"),
    ],
)
def test_what_one_node_has(made: dict[str, Any], expected: tuple[int, int]) -> None:
    assert expected == l4([made])


def test_what_pods_on_the_node_asked_for_is_not_free_until_they_have_finished() -> None:
    pods = (pod("n", "1"), pod("n", "2", phase="Succeeded"), pod("other", "4"))
    assert (4, 3) == l4([node()], pods)


def test_more_asked_for_than_there_is_leaves_nothing_and_never_less() -> None:
    assert (4, 0) == l4([node()], (pod("n", "9"),))
    assert (4, 0) == l4([node()], pending={"l4": 9})


def test_pods_that_wait_for_a_node_have_their_accelerators_spoken_for() -> None:
    assert (8, 5) == l4([node("a"), node("b")], pending={"l4": 3})


def test_a_taint_that_the_pool_tolerates_opens_the_node() -> None:
    toleration = {"key": "team", "operator": "Equal", "value": "a", "effect": "NoSchedule"}
    assert (4, 4) == l4([node(taints=(TAINT, TEAM_TAINT))], tolerations=(toleration,))


def test_form_factors_are_counted_apart() -> None:
    nodes = [
        node("a", "NVIDIA-H100-80GB-HBM3", "8"),
        node("b", "NVIDIA-H100-PCIe", "4"),
        node("c", "NVIDIA-H100-NVL", "2"),
    ]
    counts = (("h100-nvl", 2), ("h100-pcie", 4), ("h100-sxm", 8))
    assert Inventory(total=counts, free=counts) == inventory_of(nodes, (), CATALOGUE, {})
