"""Fake GPU nodes: Node objects that kwok keeps alive, made from the table ``dev/nodes.yaml``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes import client

TABLE: Final = Path(__file__).resolve().parent.parent / "nodes.yaml"
RESOURCE: Final = "nvidia.com/gpu"
FAKE_LABELS: Final = {"type": "kwok", "poolwright.io/fake": "true"}
"""Labels by which our own nodes are found again: nothing else is ever deleted."""
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


def create_nodes(api: client.ApiClient, groups: tuple[NodeGroup, ...]) -> None:
    """Create every node that is not there yet."""
    there = {node["metadata"]["name"] for node in _listed(api)}
    core: Any = client.CoreV1Api(api)
    for node in node_objects(groups):
        if node["metadata"]["name"] not in there:
            core.create_node(node)


def delete_nodes(api: client.ApiClient) -> None:
    """Delete the nodes that ``create_nodes`` made, and no other."""
    selector = ",".join(f"{key}={value}" for key, value in FAKE_LABELS.items())
    client.CoreV1Api(api).delete_collection_node(label_selector=selector)


def are_ready(api: client.ApiClient, groups: tuple[NodeGroup, ...]) -> bool:
    """Return whether all nodes of the groups are ready."""
    ready = {
        node["metadata"]["name"]
        for node in _listed(api)
        for condition in node["status"].get("conditions") or ()
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    return {node["metadata"]["name"] for node in node_objects(groups)} <= ready


def _listed(api: client.ApiClient) -> list[dict[str, Any]]:
    listed = api.sanitize_for_serialization(client.CoreV1Api(api).list_node())
    return list(listed["items"])
