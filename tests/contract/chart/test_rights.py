"""Rights: no secrets, no wildcard, nothing beyond the watched namespaces, and a stolen token is worth little."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from localcluster.cluster import Cluster
from poolwright.cli.install import RELEASE, Installed, install_chart

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
Render = Callable[..., list[Json]]

WIDEST = ("clusterWide=true", "podMonitor.enabled=true")

NEVER = [
    ("create", "pods"),
    ("create", "pods/exec"),
    ("create", "pods/portforward"),
    ("get", "pods/log"),
    ("get", "secrets"),
    ("list", "secrets"),
    ("watch", "secrets"),
    ("create", "secrets"),
    ("create", "serviceaccounts/token"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("patch", "roles.rbac.authorization.k8s.io"),
    ("patch", "inferencepools.poolwright.io"),
    ("delete", "inferencepools.poolwright.io"),
    ("create", "daemonsets.apps"),
    ("create", "jobs.batch"),
    ("patch", "namespaces"),
    ("patch", "nodes"),
    ("delete", "nodes"),
]

NEEDED = [
    ("list", "inferencepools.poolwright.io"),
    ("watch", "inferencepools.poolwright.io"),
    ("patch", "inferencepools.poolwright.io/status"),
    ("patch", "deployments.apps"),
    ("delete", "deployments.apps"),
    ("patch", "services"),
    ("patch", "poddisruptionbudgets.policy"),
    ("patch", "networkpolicies.networking.k8s.io"),
    ("watch", "pods"),
    ("create", "leases.coordination.k8s.io"),
    ("create", "events.events.k8s.io"),
    ("list", "nodes"),
    ("list", "fleetpolicies.poolwright.io"),
    ("list", "acceleratorprofiles.poolwright.io"),
]


@pytest.fixture
def installed(
    cluster: Cluster, helm: Path, chart: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Installed:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return install_chart(chart, namespace, tmp_path, helm=str(helm))


@pytest.mark.parametrize("sets", [(), WIDEST], ids=["as shipped", "watching everything"])
def test_no_rule_names_secrets_or_a_wildcard(render: Render, sets: tuple[str, ...]) -> None:
    rules = [rule for role in roles(render(*sets)) for rule in role["rules"]]

    assert [] != rules
    assert [] == [rule for rule in rules if "*" in rule["apiGroups"] + rule["resources"] + rule["verbs"]]
    assert [] == [rule for rule in rules if "secrets" in rule["resources"] and "" in rule["apiGroups"]]


def test_as_shipped_only_reads_reach_beyond_the_release_s_namespace(render: Render) -> None:
    cluster_wide = [role for role in roles(render()) if role["kind"] == "ClusterRole"]
    namespaces = {role["metadata"]["namespace"] for role in roles(render()) if role["kind"] == "Role"}

    assert {"inference"} == namespaces
    assert ["poolwright-inference-reader"] == [role["metadata"]["name"] for role in cluster_wide]
    assert {"list"} == {verb for rule in cluster_wide[0]["rules"] for verb in rule["verbs"]}
    assert {"acceleratorprofiles", "fleetpolicies", "nodes"} == {
        resource for rule in cluster_wide[0]["rules"] for resource in rule["resources"]
    }


def test_without_cluster_scoped_reads_there_is_no_cluster_role(render: Render) -> None:
    kinds = {each["kind"] for each in render("rbac.clusterScopedReads=false")}

    assert set() == kinds & {"ClusterRole", "ClusterRoleBinding"}


def test_rights_follow_the_watched_namespaces_and_the_lease_stays_at_home(render: Render) -> None:
    named = roles(render("watchNamespaces={team-a,team-b}"))

    assert {("poolwright-leader", "inference"), ("poolwright", "team-a"), ("poolwright", "team-b")} == {
        (role["metadata"]["name"], role["metadata"]["namespace"]) for role in named if role["kind"] == "Role"
    }


def test_only_watching_everything_gives_writing_rights_everywhere(render: Render) -> None:
    named = {role["metadata"]["name"]: role for role in roles(render("clusterWide=true"))}

    assert {"poolwright-leader", "poolwright-inference", "poolwright-inference-reader"} == set(named)
    assert "ClusterRole" == named["poolwright-inference"]["kind"]


def test_every_binding_gives_a_role_that_is_there_to_the_operator_alone(render: Render) -> None:
    objects = render("clusterWide=true")
    there = {(role["kind"], role["metadata"]["name"]) for role in roles(objects)}
    bindings = [each for each in objects if each["kind"].endswith("RoleBinding")]

    assert there == {(each["roleRef"]["kind"], each["roleRef"]["name"]) for each in bindings}
    for each in bindings:
        assert [{"kind": "ServiceAccount", "name": "poolwright", "namespace": "inference"}] == each["subjects"]


def test_rights_on_pod_monitors_come_only_with_pod_monitors(render: Render) -> None:
    without, with_them = render(), render("podMonitor.enabled=true")

    assert "podmonitors" not in str(roles(without))
    assert "podmonitors" in str(roles(with_them))


def test_helm_installs_the_chart_and_runs_nothing(api: client.ApiClient, installed: Installed) -> None:
    deployment = client.AppsV1Api(api).read_namespaced_deployment(RELEASE, installed.namespace)

    assert 0 == deployment.spec.replicas


def test_helm_installs_every_optional_object(
    cluster: Cluster, helm: Path, chart: Path, namespace: str, pod_monitors: None
) -> None:
    del pod_monitors
    sets = ["--set", "replicas=0,clusterWide=true,podMonitor.enabled=true,podMonitor.labels.release=monitoring"]
    arguments = [RELEASE, str(chart), "--namespace", namespace, "--skip-crds", *sets]
    done = subprocess.run([helm, "install", *arguments], env=cluster.env(), check=False, capture_output=True, text=True)
    there = kubectl(cluster, "--namespace", namespace, "get", "podmonitors,networkpolicies", "--output=name")
    gone = subprocess.run(
        [helm, "uninstall", RELEASE, "--namespace", namespace, "--wait"],
        env=cluster.env(),
        check=False,
        capture_output=True,
        text=True,
    )

    assert 0 == done.returncode, done.stderr
    assert [
        "podmonitor.monitoring.coreos.com/poolwright",
        "networkpolicy.networking.k8s.io/poolwright",
    ] == there.split()
    assert 0 == gone.returncode, gone.stderr
    assert "" == kubectl(cluster, "get", "clusterroles", f"poolwright-{namespace}", "--ignore-not-found")


def test_the_operator_s_pods_pass_the_restricted_pod_security_standard(
    cluster: Cluster, render: Render, namespace: str
) -> None:
    kubectl(cluster, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    kubectl(cluster, "--namespace", namespace, "wait", "--for=create", "serviceaccount/default")
    deployment = next(each for each in render(namespace=namespace) if each["kind"] == "Deployment")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "as-the-deployment-makes-it", "namespace": namespace},
        "spec": deployment["spec"]["template"]["spec"] | {"serviceAccountName": "default"},
    }

    said = kubectl(cluster, "create", "--dry-run=server", "-f", "-", text=json.dumps(pod))

    assert "created (server dry run)" in said


def test_the_operator_may_do_what_reconciling_needs_and_nothing_worse(cluster: Cluster, installed: Installed) -> None:
    denied = [pair for pair in NEEDED if not may(cluster, installed, *pair)]
    granted = [pair for pair in NEVER if may(cluster, installed, *pair)]

    assert [] == denied
    assert [] == granted


def test_another_namespace_is_out_of_the_operator_s_reach(cluster: Cluster, installed: Installed) -> None:
    pairs = [("list", "inferencepools.poolwright.io"), ("list", "pods"), ("patch", "deployments.apps")]

    assert [] == [pair for pair in pairs if may(cluster, installed, *pair, namespace="default")]


def test_only_the_operator_s_own_lease_can_be_taken(cluster: Cluster, installed: Installed) -> None:
    assert may(cluster, installed, "update", f"leases.coordination.k8s.io/{RELEASE}")
    assert not may(cluster, installed, "update", "leases.coordination.k8s.io/somebody-else")


def roles(objects: list[Json]) -> list[Json]:
    return [each for each in objects if each["kind"] in ("Role", "ClusterRole")]


def may(cluster: Cluster, installed: Installed, verb: str, resource: str, namespace: str = "") -> bool:
    """Ask the API server, with the operator's own token."""
    name, _, sub = resource.partition("/")
    is_named = sub in (RELEASE, "somebody-else")
    arguments = [verb, resource if is_named else name, *([f"--subresource={sub}"] if sub and not is_named else [])]
    done = subprocess.run(
        [cluster.kubectl, "auth", "can-i", *arguments, "--namespace", namespace or installed.namespace],
        env={**cluster.env(), "KUBECONFIG": str(installed.kubeconfig)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() in ("yes", "no"), done.stderr
    return done.stdout.strip() == "yes"


def kubectl(cluster: Cluster, *arguments: str, text: str = "") -> str:
    return subprocess.run(
        [cluster.kubectl, *arguments], env=cluster.env(), check=True, capture_output=True, text=True, input=text
    ).stdout
