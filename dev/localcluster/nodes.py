"""Fake GPU nodes: Node objects that kwok keeps alive, made from the table ``dev/nodes.yaml``."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes import client

TABLE: Final = Path(__file__).resolve().parent.parent / "nodes.yaml"
RESOURCE: Final = "nvidia.com/gpu"
FAKE_LABELS: Final = {"type": "kwok", "poolwright.io/fake": "true"}
"""Labels by which nodes of ours are told from others."""
GONE: Final = 404
ZONES: Final = ("zone-a", "zone-b", "zone-c")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """``count`` equal nodes with ``accelerators`` GPUs of one product each."""

    name: str
    count: int
    product: str
    accelerators: int
    memory_mebibytes: int
    cpu: int
    memory: str


def read_groups(path: Path = TABLE) -> tuple[NodeGroup, ...]:
    """Read the table."""
    rows = yaml.safe_load(path.read_text())
    return tuple(NodeGroup(memory_mebibytes=row.pop("memoryMebibytes"), **row) for row in rows)


def node_objects(groups: tuple[NodeGroup, ...]) -> list[dict[str, Any]]:
    """Return the Node objects of all groups."""
    return [_node(group, index) for group in groups for index in range(group.count)]


def _node(group: NodeGroup, index: int) -> dict[str, Any]:
    name = f"{group.name}-{index}"
    capacity = {"cpu": str(group.cpu), "memory": group.memory, "pods": "110", RESOURCE: str(group.accelerators)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                **FAKE_LABELS,
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": ZONES[index % len(ZONES)],
                "nvidia.com/gpu.present": "true",
                "nvidia.com/gpu.product": group.product,
                "nvidia.com/gpu.count": str(group.accelerators),
                "nvidia.com/gpu.memory": str(group.memory_mebibytes),
            },
        },
        "spec": {"taints": [{"key": RESOURCE, "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": capacity, "allocatable": capacity},
    }


def create_nodes(api: client.ApiClient, groups: tuple[NodeGroup, ...], created: list[str]) -> None:
    """Create every node that is not there yet; the names go to ``created`` one by one, for the case of a failure.

    A node of ours that nobody keeps ready was left by a run that was killed; it counts as created.
    """
    there = {node["metadata"]["name"]: node for node in _listed(api)}
    core: Any = client.CoreV1Api(api)
    for node in node_objects(groups):
        name = node["metadata"]["name"]
        if name not in there:
            core.create_node(node)
        elif _is_ready(there[name]) or not FAKE_LABELS.items() <= there[name]["metadata"]["labels"].items():
            continue
        created.append(name)


def delete_nodes(api: client.ApiClient, names: Iterable[str]) -> None:
    """Delete nodes, those among them that are gone already apart."""
    core = client.CoreV1Api(api)
    for name in names:
        try:
            core.delete_node(name)
        except client.ApiException as error:
            if error.status != GONE:
                raise


def give_capacity(api: client.ApiClient) -> None:
    """Give the nodes that are labelled with GPUs and have none as many as the label says.

    A kubelet keeps a foreign capacity and makes it allocatable with its next report.
    """
    core = client.CoreV1Api(api)
    for node in _listed(api):
        count = node["metadata"]["labels"].get(f"{RESOURCE}.count")
        if count is not None and RESOURCE not in (node["status"].get("capacity") or {}):
            core.patch_node_status(node["metadata"]["name"], {"status": {"capacity": {RESOURCE: count}}})


def are_ready(api: client.ApiClient, groups: tuple[NodeGroup, ...]) -> bool:
    """Return whether all nodes of the groups are ready.

    The control plane takes its taint not-ready away some seconds later; pods that come earlier wait for that.
    """
    ready = {node["metadata"]["name"] for node in _listed(api) if _is_ready(node)}
    return {node["metadata"]["name"] for node in node_objects(groups)} <= ready


def _is_ready(node: dict[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"].get("conditions") or ())


def _listed(api: client.ApiClient) -> list[dict[str, Any]]:
    listed = api.sanitize_for_serialization(client.CoreV1Api(api).list_node())
    return list(listed["items"])
