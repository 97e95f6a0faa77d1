"""Every right that the chart gives is used in a pool's life, and nothing more is asked for: read from the audit log."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from localcluster.cluster import Cluster
from localcluster.operator_process import OperatorProcess, eventually
from localcluster.pool_space import PoolSpace
from poolwright.cli.install import RELEASE, Installed

pytestmark = pytest.mark.cluster

Right = tuple[str, str]
FORBIDDEN = 403

UNSEEN: dict[Right, str] = {
    ("create", "deployments"): "asked by the API server when an apply creates",
    ("create", "networkpolicies"): "as above",
    ("create", "poddisruptionbudgets"): "as above",
    ("create", "services"): "as above",
    ("update", "inferencepools/finalizers"): "asked by the API server for owners that block deletion",
    ("delete", "networkpolicies"): "used when a release names policies otherwise; a pool always has one",
}
"""Rights that the log does not show in a pool's life, and why the chart gives them."""

LASTING = {("watch", each) for each in ("deployments", "inferencepools", "pods")}
"""Watches are logged when they end, after a minute: whether they show depends on how long the run has taken."""


def test_a_pool_s_life_uses_every_right_and_is_refused_nothing(
    cluster: Cluster, installed: Installed, space: PoolSpace, pool: Callable[..., str], operator: OperatorProcess
) -> None:
    if cluster.audit_log is None:
        pytest.skip("only the embedded control plane's audit log can be read")
    tiers = [
        {"name": name, "objectives": {"ttftMilliseconds": 2000, "itlMilliseconds": 100}} for name in ("one", "two")
    ]
    name = pool(tiers=tiers, accelerators=[{"name": "l4"}])
    space.until(name, "Ready")
    space.patch(name, tiers=tiers[:1])
    # A tier that goes takes its Service, disruption budget and Deployment with it.
    eventually("one tier", lambda: space.owned(name), lambda owned: len(owned) == 4)

    def asked() -> list[dict[str, Any]]:
        account = f"system:serviceaccount:{installed.namespace}:{RELEASE}"
        lines = (cluster.audit_log or cluster.folder).read_text().splitlines()
        records = [json.loads(line) for line in lines]
        return [each for each in records if each["user"]["username"] == account and "objectRef" in each]

    used = {right_of(each) for each in asked()}
    granted = rights(cluster, space, installed)
    refused = [each for each in asked() if each["responseStatus"]["code"] == FORBIDDEN]

    assert [] == [(*right_of(each), each["responseStatus"].get("message")) for each in refused]
    assert set() == used - granted
    assert set(UNSEEN) == granted - used - LASTING
    assert granted >= LASTING
    assert operator.is_running()


def right_of(record: dict[str, Any]) -> Right:
    reference = record["objectRef"]
    sub = f"/{reference['subresource']}" if reference.get("subresource") else ""
    return record["verb"], reference.get("resource", "") + sub


def rights(cluster: Cluster, space: PoolSpace, installed: Installed) -> set[Right]:
    """Return verb and resource of every rule that the chart's roles contain."""
    del cluster
    named = [
        f"role/{RELEASE}",
        f"role/{RELEASE}-leader",
        f"clusterrole/{RELEASE}-{installed.namespace}-reader",
    ]
    roles = [yaml.safe_load(space.kubectl("get", each, "--output=yaml")) for each in named]
    return {
        (verb, resource)
        for role in roles
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
