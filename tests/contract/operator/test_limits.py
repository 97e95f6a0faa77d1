"""What keeps a pool from growing or moving: quotas, budgets, profiles; and how quickly it follows its demand."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from kubernetes import client

from localcluster.operator_process import OperatorProcess, eventually
from localcluster.pool_space import PoolSpace

pytestmark = pytest.mark.cluster

H100 = [{"name": "h100-sxm"}]
CHANCE = 20.0


@pytest.fixture
def fleet(spaces: tuple[PoolSpace, PoolSpace]) -> Iterator[Callable[..., None]]:
    """Makes the FleetPolicy of the second namespace."""
    green = spaces[1]
    name = f"policy-{green.namespace}"

    def make(**spec: object) -> None:
        spec = {"namespaceSelector": {"team": green.namespace}, **spec}
        green.write(
            {"apiVersion": "poolwright.io/v1alpha1", "kind": "FleetPolicy", "metadata": {"name": name}, "spec": spec}
        )

    yield make
    green.kubectl("delete", "fleetpolicy", name, "--ignore-not-found")


def test_a_quota_wins_over_a_minimum_and_both_are_named(
    spaces: tuple[PoolSpace, PoolSpace], pool: Callable[..., str], fleet: Callable[..., None]
) -> None:
    green = spaces[1]
    fleet(accelerators=[{"accelerator": "l4", "maxAccelerators": 2}])
    name = pool(where=green, scaling={"minReplicas": 5})

    limited = green.until(name, "CapacityLimited", "True")

    assert [] == [each for each in ("minimum is 5", "l4") if each not in limited["message"]]
    assert 2 == green.replicas(name)


def test_a_budget_below_one_replica_leaves_nothing_and_says_so(space: PoolSpace, pool: Callable[..., str]) -> None:
    name = pool(budget={"usdPerHour": "0.01"})

    limited = space.until(name, "BudgetLimited", "True", "Budget")
    ready = space.until(name, "Ready", "False")

    assert "0.01 $/h" in limited["message"]
    assert "Budget" == ready["reason"]
    assert 0 == space.replicas(name)
    assert "False" == space.condition(name, "ObjectivesMet")["status"]


def test_a_profile_makes_an_accelerator_usable_that_the_catalogue_lacks(
    api: client.ApiClient, space: PoolSpace, pool: Callable[..., str]
) -> None:
    core = client.CoreV1Api(api)
    accelerator = f"acme-{space.namespace[-4:]}"
    capacity = {"cpu": "64", "memory": "512Gi", "pods": "110", "acme.com/npu": "4"}
    node = {
        "metadata": {
            "name": accelerator,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"type": "kwok", "acme.com/product": accelerator, "kubernetes.io/os": "linux"},
        },
        "status": {"capacity": capacity, "allocatable": capacity},
    }
    profile = {
        "apiVersion": "poolwright.io/v1alpha1",
        "kind": "AcceleratorProfile",
        "metadata": {"name": accelerator},
        "spec": {
            "vendor": "acme",
            "memoryGibibytes": 96,
            "bandwidthGigabytesPerSecond": 4000,
            "peakTeraflops": {"bf16": 800},
            "tdpWatts": 600,
            "usdPerHour": "1.00",
            "resourceName": "acme.com/npu",
            "selectors": [{"labels": {"acme.com/product": [accelerator]}}],
        },
    }
    core.create_node(node)
    try:
        name = pool(accelerators=[{"name": accelerator}])
        refused = space.until(name, "Accepted", "False", "InvalidSpec")
        space.write(profile)
        # Facts are at most 10 s old.
        space.until(name, "Ready", patience_s=CHANCE)
        (pod,) = space.pods(name)

        space.delete(name)
        assert f"'{accelerator}'" in refused["message"]
        assert accelerator == pod["spec"]["nodeName"]
        assert "1" == pod["spec"]["containers"][0]["resources"]["limits"]["acme.com/npu"]
    finally:
        space.kubectl("delete", "acceleratorprofile", accelerator, "--ignore-not-found")
        core.delete_node(accelerator)


def test_stated_demand_is_met_in_one_decision_and_falls_only_after_stabilisation(
    space: PoolSpace, pool: Callable[..., str], operator: OperatorProcess
) -> None:
    demand = {"source": "Static", "requestsPerMinute": 3600}
    # 150 world seconds are 5 of the wall's.
    name = pool(demand=demand, accelerators=H100, scaling={"scaleDownStabilizationSeconds": 150})
    expected = planned(space.pool(name))

    space.until(name, "Ready", patience_s=CHANCE)
    status = space.pool(name)["status"]
    (deployment,) = space.deployments(name)

    assert expected > 1
    assert expected == deployment["spec"]["replicas"]
    assert 1 == deployment["metadata"]["generation"]
    assert [expected] == [each["replicas"] for each in status["history"]]

    space.patch(name, demand={**demand, "requestsPerMinute": 600})
    fewer = planned(space.pool(name))
    held = eventually(
        "a word on stabilisation",
        lambda: space.pool(name)["status"]["tiers"][0],
        lambda tier: tier["reason"] == "Stabilisation",
    )
    space.until_replicas(name, fewer, CHANCE)
    log = [each for each in operator.log() if each.get("pool") == name and each.get("message") == "decision"]

    assert fewer < expected
    assert "lower must have been enough for 150 s" in held["message"]
    assert [expected, expected, fewer] == [sum(each["replicas"].values()) for each in log]


def planned(document: dict[str, Any]) -> int:
    """Return the replicas that ``poolwright plan`` wants for a pool, without any cluster."""
    spec = {key: document[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "plan"}}
    done = subprocess.run(
        [sys.executable, "-m", "poolwright.cli", "plan", "--json", "--file", "-"],
        input=yaml.safe_dump(spec),
        check=True,
        capture_output=True,
        text=True,
    )
    plan = json.loads(done.stdout)
    return sum(int(variant["replicas"]) for tier in plan["tiers"] for variant in tier["variants"])
