"""Who decides: the plan, or a person's pin; and what is done in each mode."""

from collections.abc import Callable

import pytest

from localcluster.operator_process import OperatorProcess, eventually
from localcluster.pool_space import PoolSpace

pytestmark = pytest.mark.cluster

STATED = {"source": "Static", "requestsPerMinute": 6}


def test_recommend_writes_a_plan_and_touches_nothing_until_the_mode_is_auto(
    space: PoolSpace, pool: Callable[..., str]
) -> None:
    name = pool(mode="Recommend")

    space.until(name, "Accepted", "True", "RecommendOnly")
    status = space.pool(name)["status"]

    assert 1 == status["replicas"]
    assert 1 == len(status["plan"])
    assert [] == space.owned(name)

    space.patch(name, mode="Auto")
    space.until(name, "Ready")

    assert status["plan"][0]["name"] == space.pool(name)["status"]["plan"][0]["name"]
    assert 1 == space.replicas(name)


def test_a_paused_pool_is_left_alone_until_the_mode_is_auto(space: PoolSpace, pool: Callable[..., str]) -> None:
    name = pool(demand=STATED, scaling={"scaleDownStabilizationSeconds": 0})
    space.until(name, "Ready")

    space.patch(name, mode="Paused", scaling={"minReplicas": 2})
    paused = space.until(name, "Accepted", "True", "Paused")

    assert "nothing is planned" == paused["message"]
    assert 1 == space.replicas(name)

    space.patch(name, mode="Auto")
    space.until_replicas(name, 2)
    space.until(name, "Accepted", "True", "AsPlanned")


def test_scale_pins_the_pool_whether_its_pods_report_or_not(
    space: PoolSpace, pool: Callable[..., str], operator: OperatorProcess
) -> None:
    name = pool()
    space.until(name, "Ready")

    space.kubectl("scale", "ipool", name, "--replicas=3")
    space.until_replicas(name, 3)
    ready = space.until(name, "Ready")
    stale = space.condition(name, "MetricsStale")

    assert "3 of 3 replicas serve" == ready["message"]
    assert "True" == stale["status"]
    assert "Pinned" == space.pool(name)["status"]["tiers"][0]["reason"]
    assert "3" == space.kubectl("get", "ipool", name, "--output=jsonpath={.status.replicas}")
    assert 3.0 == operator.metric("poolwright_ready_replicas", lambda labels: labels["pool"] == name)

    space.kubectl("scale", "ipool", name, "--replicas=1")
    space.until_replicas(name, 1)


def test_a_replica_count_changed_by_hand_is_corrected(space: PoolSpace, pool: Callable[..., str]) -> None:
    name = pool(demand=STATED, scaling={"minReplicas": 2, "scaleDownStabilizationSeconds": 0})
    space.until(name, "Ready")
    (deployment,) = space.deployments(name)

    space.kubectl("delete", "service", f"{name}-interactive")
    space.kubectl("scale", "deployment", deployment["metadata"]["name"], "--replicas=1")
    # Once by hand, once back.
    eventually("corrected", lambda: space.deployments(name)[0]["metadata"]["generation"], lambda found: found == 3)
    space.until_replicas(name, 2)

    assert f"service/{name}-interactive" in space.owned(name)


def test_another_owner_of_the_replicas_is_reported_and_not_fought(space: PoolSpace, pool: Callable[..., str]) -> None:
    name = pool(demand=STATED, scaling={"minReplicas": 2, "scaleDownStabilizationSeconds": 0})
    space.until(name, "Ready")
    (deployment,) = space.deployments(name)
    named = {"name": deployment["metadata"]["name"], "namespace": space.namespace}
    claim = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named, "spec": {"replicas": 4}}

    space.write(claim, "some-autoscaler", "--force-conflicts")
    conflict = space.until(name, "ScalerConflict", "True", "FieldConflict")

    assert [] == [each for each in ("some-autoscaler", ".spec.replicas") if each not in conflict["message"]]
    assert 4 == space.replicas(name)
    assert "FieldConflict" in space.kubectl("events", "--for", f"inferencepool/{name}")
