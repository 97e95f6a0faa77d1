"""What a person with kubectl sees and does: columns, explanations, scale, and a status that only its writer writes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from localcluster.cluster import Cluster
from poolwright.api.resource import GROUP, VERSION

pytestmark = pytest.mark.cluster

Json = dict[str, Any]

CONDITION = {
    "type": "ObjectivesMet",
    "status": "True",
    "reason": "Planned",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


@pytest.fixture
def pool(custom: client.CustomObjectsApi, namespace: str, chat: Json) -> Json:
    """Where the pool ``chat`` is, as the API's methods want it."""
    there = {"group": GROUP, "version": VERSION, "plural": "inferencepools", "namespace": namespace}
    custom.create_namespaced_custom_object(**there, body=chat)
    return {**there, "name": "chat"}


def test_get_prints_what_is_wanted_what_is_there_what_it_costs_and_what_binds(
    cluster: Cluster, custom: client.CustomObjectsApi, pool: Json, namespace: str
) -> None:
    status = {"replicas": 3, "readyReplicas": 2, "usdPerHour": "12.40", "binding": "ITL", "conditions": [CONDITION]}
    custom.patch_namespaced_custom_object_status(**pool, body={"status": status})

    header, row = kubectl(cluster, "--namespace", namespace, "get", "ipool").splitlines()

    assert ["NAME", "MODE", "DESIRED", "READY", "$/H", "OBJECTIVES", "BINDING", "AGE"] == header.split()
    assert ["chat", "Auto", "3", "2", "12.40", "True", "ITL"] == row.split()[:-1]


@pytest.mark.parametrize("name", ["ipool", "inferencepools", "inferencepools.poolwright.io", "poolwright"])
def test_a_pool_is_found_by_its_short_name_its_full_name_and_its_category(
    cluster: Cluster, pool: Json, namespace: str, name: str
) -> None:
    said = kubectl(cluster, "--namespace", namespace, "get", name, "--output=name")

    assert [f"inferencepool.poolwright.io/{pool['name']}"] == said.split()


def test_scale_pins_the_number_of_replicas(
    cluster: Cluster, custom: client.CustomObjectsApi, pool: Json, namespace: str
) -> None:
    kubectl(cluster, "--namespace", namespace, "scale", "ipool/chat", "--replicas=7")

    assert 7 == custom.get_namespaced_custom_object(**pool)["spec"]["scaling"]["replicas"]


def test_a_scale_beyond_the_bounds_is_refused_with_the_bounds_names(
    cluster: Cluster, pool: Json, namespace: str
) -> None:
    # The default of maxReplicas is 64.
    said = failure(cluster, "--namespace", pool["namespace"], "scale", "ipool/chat", "--replicas=65")

    assert namespace == pool["namespace"]
    assert "scaling.replicas must be from scaling.minReplicas to scaling.maxReplicas" in said


def test_an_autoscaler_finds_replicas_and_selector_in_the_scale_of_a_pinned_pool(
    custom: client.CustomObjectsApi, pool: Json
) -> None:
    selector = "app.kubernetes.io/managed-by=poolwright,poolwright.io/pool=chat"
    custom.patch_namespaced_custom_object(**pool, body={"spec": {"scaling": {"replicas": 4}}})
    custom.patch_namespaced_custom_object_status(**pool, body={"status": {"replicas": 3, "selector": selector}})

    scale = custom.get_namespaced_custom_object_scale(**pool)

    assert {"replicas": 4} == scale["spec"]
    assert {"replicas": 3, "selector": selector} == scale["status"]


def test_an_autoscaler_finds_no_scale_to_fight_over_while_nobody_pinned_the_pool(
    custom: client.CustomObjectsApi, pool: Json
) -> None:
    with pytest.raises(ApiException, match=r"spec replicas field .* does not exist"):
        custom.get_namespaced_custom_object_scale(**pool)


def test_a_write_to_the_spec_leaves_the_status_and_a_write_to_the_status_leaves_the_spec(
    custom: client.CustomObjectsApi, pool: Json
) -> None:
    custom.patch_namespaced_custom_object_status(**pool, body={"status": {"replicas": 3}, "spec": {"mode": "Paused"}})
    custom.patch_namespaced_custom_object(**pool, body={"status": {"replicas": 9}, "spec": {"mode": "Recommend"}})

    stored = custom.get_namespaced_custom_object(**pool)

    assert 3 == stored["status"]["replicas"]
    assert "Recommend" == stored["spec"]["mode"]
    # Two generations: created, and the one change of the spec.
    assert 2 == stored["metadata"]["generation"]


def test_a_status_is_typed_too(cluster: Cluster, pool: Json) -> None:
    patch = json.dumps({"status": {"conditions": [{**CONDITION, "status": "Perhaps"}]}})

    said = failure(
        cluster,
        *("--namespace", pool["namespace"], "patch", "ipool", "chat", "--subresource=status"),
        *("--type=merge", "--patch", patch),
    )

    assert "status.conditions[0].status" in said
    assert "Perhaps" in said


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("ipool", "A pool of inference engines that is sized, placed and explained."),
        ("ipool.spec.tiers", "Latency tiers."),
        ("ipool.spec.tiers.objectives.ttftMilliseconds", "Time to first token."),
        ("ipool.spec.pod.memory", "Memory request and limit with its unit, such as 64Gi."),
        ("ipool.status.binding", "Binding constraint of the most important tier."),
        ("fleetpolicy.spec.maxReplicas", "Most replicas of one pool."),
        ("acceleratorprofile.spec.tdpWatts", "<integer>"),
    ],
)
def test_explain_says_what_a_field_means(cluster: Cluster, path: str, words: str) -> None:
    assert words in kubectl(cluster, "explain", path)


def test_explain_lists_the_fields_of_a_tier_with_their_types(cluster: Cluster) -> None:
    said = kubectl(cluster, "explain", "ipool.spec.tiers").split("FIELDS:")[1]

    fields = {words[0]: words[1] for line in said.splitlines() if "\t<" in line and (words := line.split())}
    assert {"name": "<string>", "objectives": "<Object>", "priority": "<integer>", "workload": "<Object>"} == fields


@pytest.mark.parametrize("kind", ["inferencepools", "fleetpolicies", "acceleratorprofiles"])
def test_every_field_of_a_spec_is_explained(cluster: Cluster, kind: str) -> None:
    crd = json.loads(kubectl(cluster, "get", "crd", f"{kind}.{GROUP}", "--output=json"))

    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

    assert [] == unexplained("spec", schema)


def test_a_table_of_fleet_policies_shows_their_ceiling(cluster: Cluster, tmp_path: Path) -> None:
    policy = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "FleetPolicy",
        "metadata": {"name": "contract-columns"},
        "spec": {"maxReplicas": 12, "namespaceSelector": {"contract": "columns"}},
    }
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    kubectl(cluster, "apply", "-f", str(file))

    said = kubectl(cluster, "get", "fleet", "contract-columns", "--no-headers").split()
    kubectl(cluster, "delete", "-f", str(file))

    assert ["contract-columns", "12"] == said[:2]


def unexplained(path: str, schema: Json) -> list[str]:
    """Return the paths of fields that say nothing of themselves."""
    missing = [] if schema.get("description") else [path]
    for name, each in schema.get("properties", {}).items():
        missing += unexplained(f"{path}.{name}", each)
    if "properties" in schema.get("items", {}):
        missing += unexplained(f"{path}[]", schema["items"])
    return missing


def kubectl(cluster: Cluster, *arguments: str) -> str:
    done = _kubectl(cluster, *arguments)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def failure(cluster: Cluster, *arguments: str) -> str:
    """Return kubectl's words; that it fails is part of what is claimed."""
    done = _kubectl(cluster, *arguments)
    assert 0 != done.returncode, done.stdout
    return done.stderr


def _kubectl(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([cluster.kubectl, *arguments], env=cluster.env(), check=False, capture_output=True, text=True)
