"""Which cluster CLUSTER names: an unknown one, one that runs already, and kind as far as it goes without containers."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from localcluster.build import binary
from localcluster.cluster import KIND_CONFIG, Cluster
from localcluster.nodes import RESOURCE, read_groups
from localcluster.processes import StartError

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def first() -> Iterator[Cluster]:
    """A cluster that these tests may take nodes from."""
    made = Cluster("embedded")
    yield made
    made.stop()


@pytest.fixture
def core(first: Cluster) -> Iterator[client.CoreV1Api]:
    with first.api() as api:
        yield client.CoreV1Api(api)


def nodes(core: client.CoreV1Api) -> dict[str, Any]:
    return {
        node["metadata"]["name"]: node for node in core.api_client.sanitize_for_serialization(core.list_node())["items"]
    }


def test_an_unknown_kind_is_refused_with_the_choices() -> None:
    with pytest.raises(StartError) as refused:
        Cluster("nonsense")
    assert "CLUSTER is 'nonsense', must be one of embedded, kind, current" == str(refused.value)


def test_two_clusters_at_a_time_share_neither_port_nor_pod_network_and_both_answer(
    cluster: Cluster, first: Cluster
) -> None:
    hosts, networks = set(), set()
    for each in (cluster, first):
        with each.api() as api:
            hosts.add(api.configuration.host)
            assert {f"h100-{index}" for index in range(4)} <= set(nodes(client.CoreV1Api(api)))
        networks.add(each.pod_network)
    assert 2 == len(hosts)
    assert 2 == len(networks)


def test_one_that_joins_adds_what_is_missing_and_takes_only_that_away(
    first: Cluster, core: client.CoreV1Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(nodes(core))
    core.delete_node("l4-3")
    monkeypatch.setenv("KUBECONFIG", str(first.kubeconfig))
    joined = Cluster("current")
    assert first.kubeconfig == joined.kubeconfig
    assert before == set(nodes(core))
    joined.stop()
    assert before - {"l4-3"} == set(nodes(core))
    assert not joined.folder.exists()


def test_joining_says_which_kubeconfig_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(nowhere))
    with pytest.raises(StartError, match=f"CLUSTER=current: no cluster answers as {nowhere} says: Invalid kube-config"):
        Cluster("current")


def test_joining_says_that_nobody_answers(first: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = yaml.safe_load(first.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    deaf = tmp_path / "config"
    deaf.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(deaf))
    with pytest.raises(StartError, match=f"CLUSTER=current: no cluster answers as {deaf} says: .*refused"):
        Cluster("current")


def test_kind_says_that_it_needs_a_container_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    binary("kind")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StartError, match=r"CLUSTER=kind needs a container engine; `kind get` said:\n.*not found"):
        Cluster("kind")


def config() -> dict[str, Any]:
    return dict(yaml.safe_load(KIND_CONFIG.read_text()))


def kind_says(path: Path, tmp_path: Path) -> str:
    """Return what kind says to a config on a machine whose container engine has the image and cannot do more."""
    engine = tmp_path / "docker"
    information = '{"CgroupDriver":"systemd","CgroupVersion":"2","MemoryLimit":true,"PidsLimit":true,"CPUShares":true}'
    engine.write_text(f"#!/bin/sh\ncase \"$1\" in info) echo '{information}';; ps|inspect) ;; *) exit 1;; esac\n")
    engine.chmod(0o755)
    command = [str(binary("kind")), "create", "cluster", "--config", str(path)]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "KIND_EXPERIMENTAL_PROVIDER": "docker"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stderr


def test_kind_accepts_the_configuration(tmp_path: Path) -> None:
    said = kind_says(KIND_CONFIG, tmp_path)
    assert 'Creating cluster "poolwright"' in said
    assert "failed to ensure docker network" in said  # all before it went well


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        pytest.param("lables", {}, "field lables not found in type v1alpha4.Node", id="an unknown field"),
        pytest.param(
            "role", "servant", 'invalid configuration for node 1: "servant" is not a valid node role', id="role"
        ),
    ],
)
def test_kind_would_say_so_if_the_configuration_had(field: str, value: object, message: str, tmp_path: Path) -> None:
    changed = config()
    changed["nodes"][1][field] = value
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(changed))
    assert message in kind_says(path, tmp_path)


def test_workers_carry_labels_of_accelerators_that_the_fleet_has_too() -> None:
    fleet = {group.product: group for group in read_groups()}
    workers = [node["labels"] for node in config()["nodes"] if node["role"] == "worker"]
    assert 2 == len(workers)
    for labels in workers:
        group = fleet[labels["nvidia.com/gpu.product"]]
        assert str(group.accelerators) == labels["nvidia.com/gpu.count"]
        assert str(group.memory_mebibytes) == labels["nvidia.com/gpu.memory"]
        assert "true" == labels["nvidia.com/gpu.present"]


def test_a_kind_cluster_is_made_from_the_configuration_and_its_workers_get_accelerators(
    first: Cluster, core: client.CoreV1Api, programs: Callable[..., Mapping[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control plane stands for kind's; everything on our side of the command line is what runs with kind."""
    names = {}
    for index, node in enumerate(each for each in config()["nodes"] if each["role"] == "worker"):
        names[f"kind-worker-{index}"] = node["labels"][f"{RESOURCE}.count"]
        core.create_node({"metadata": {"name": f"kind-worker-{index}", "labels": node["labels"]}})
    asked = first.folder / "asked"
    script = f'echo "$@" >> {asked}\ntest "$2" != kubeconfig || cat {first.kubeconfig}'
    for name, value in programs(kind=script).items():
        monkeypatch.setenv(name, value)
    made = Cluster("kind")
    found = nodes(core)
    made.stop()
    for name in names:
        core.delete_node(name)
    assert [
        "get clusters",
        f"create cluster --name poolwright --config {KIND_CONFIG} --wait 180s",
        "get kubeconfig --name poolwright",
    ] == asked.read_text().splitlines()
    assert names == {name: found[name]["status"]["capacity"][RESOURCE] for name in names}
    assert "8" == found["h100-0"]["status"]["capacity"][RESOURCE]
