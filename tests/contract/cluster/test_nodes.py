"""GPU nodes and the pods on them, as the scheduler and a client see them."""

import ipaddress
import socket
from typing import Any

import pytest
from kubernetes import client
from kubernetes.utils.quantity import parse_quantity

from localcluster.cluster import Cluster
from localcluster.nodes import NodeGroup, read_groups
from localcluster.operator_process import eventually

pytestmark = pytest.mark.cluster
FLEET = read_groups()


def pod(product: str, accelerators: int, **annotations: str) -> dict[str, Any]:
    """Return a pod as the operator would make it: on one product, tolerating the taint of GPU nodes."""
    expression = {"key": "nvidia.com/gpu.product", "operator": "In", "values": [product]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    limits = {"nvidia.com/gpu": str(accelerators)}
    return {
        "metadata": {"name": "engine", "annotations": annotations},
        "spec": {
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [{"name": "engine", "image": "engine", "resources": {"limits": limits}}],
        },
    }


def started(api: client.ApiClient, namespace: str, document: dict[str, Any], phase: str) -> dict[str, Any]:
    """Create a pod and return it as soon as it is in the phase."""
    core = client.CoreV1Api(api)
    eventually(
        "a service account",
        lambda: core.list_namespaced_service_account(namespace).items,
        lambda found: any(each.metadata.name == "default" for each in found),
    )
    core.create_namespaced_pod(namespace, document)
    return eventually(
        phase,
        lambda: dict(api.sanitize_for_serialization(core.read_namespaced_pod("engine", namespace))),
        lambda found: found["status"]["phase"] == phase,
    )


@pytest.mark.parametrize("group", FLEET, ids=lambda group: group.name)
def test_a_node_has_the_labels_capacity_and_taint_of_the_table(group: NodeGroup, api: client.ApiClient) -> None:
    selector = f"nvidia.com/gpu.product={group.product},poolwright.io/fake=true"
    found = eventually(
        "nodes without the taint of new nodes",
        lambda: api.sanitize_for_serialization(client.CoreV1Api(api).list_node(label_selector=selector))["items"],
        lambda nodes: all("node.kubernetes.io/not-ready" not in str(node["spec"]) for node in nodes),
    )
    assert [f"{group.name}-{index}" for index in range(group.count)] == sorted(
        node["metadata"]["name"] for node in found
    )
    for node in found:
        labels, capacity = node["metadata"]["labels"], node["status"]["capacity"]
        assert "true" == labels["nvidia.com/gpu.present"]
        assert str(group.accelerators) == labels["nvidia.com/gpu.count"] == capacity["nvidia.com/gpu"]
        assert str(group.memory_mebibytes) == labels["nvidia.com/gpu.memory"]
        assert str(group.cpu) == capacity["cpu"]
        assert parse_quantity(group.memory) == parse_quantity(capacity["memory"])  # 2048Gi is told as 2Ti
        assert capacity == node["status"]["allocatable"]
        taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
        assert [taint] == node["spec"]["taints"]


@pytest.mark.parametrize("group", [FLEET[0], FLEET[-1]], ids=lambda group: group.name)
def test_a_pod_that_asks_for_accelerators_gets_them_and_an_address_that_a_process_here_can_serve(
    group: NodeGroup, cluster: Cluster, api: client.ApiClient, namespace: str
) -> None:
    document = pod(group.product, group.accelerators, **{"poolwright.io/ready-after-ms": "100"})
    found = started(api, namespace, document, "Running")
    assert group.name == found["spec"]["nodeName"].rsplit("-", 1)[0]
    conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert "True" == conditions["Ready"]
    address = found["status"]["podIP"]
    assert ipaddress.ip_address(address) in cluster.pod_network
    with socket.create_server((address, 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_a_pod_that_asks_for_more_than_a_node_has_stays_pending(api: client.ApiClient, namespace: str) -> None:
    largest = FLEET[0]
    found = started(api, namespace, pod(largest.product, largest.accelerators + 1), "Pending")
    unscheduled = eventually(
        "a verdict of the scheduler",
        lambda: client.CoreV1Api(api).read_namespaced_pod("engine", namespace).status.conditions or (),
        lambda conditions: any(each.type == "PodScheduled" for each in conditions),
    )
    assert ["Unschedulable"] == [each.reason for each in unscheduled]
    assert "nodeName" not in found["spec"]


def test_a_pod_fails_whose_annotation_says_so(api: client.ApiClient, namespace: str) -> None:
    found = started(api, namespace, pod(FLEET[0].product, 1, **{"poolwright.io/fate": "fail"}), "Failed")
    status = found["status"]["containerStatuses"]
    assert [1] == [each["state"]["terminated"]["exitCode"] for each in status]
    assert [False] == [each["ready"] for each in status]
