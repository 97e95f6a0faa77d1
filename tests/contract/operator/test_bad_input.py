"""What a user got wrong is said with field, value and what would be right, and costs no replica that serves."""

from collections.abc import Callable
from typing import Any

import pytest

from localcluster.pool_space import PoolSpace

pytestmark = pytest.mark.cluster

TWO = {"minReplicas": 2}


def with_model(name: str) -> dict[str, Any]:
    return {"model": {"name": name, "allowChange": True}}


def with_accelerator(name: str) -> dict[str, Any]:
    return {"accelerators": [{"name": name}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            with_model("acme/none-such"), ["spec.model.name", "'acme/none-such'", "unknown"], id="an unknown model"
        ),
        pytest.param(
            with_accelerator("h1000"), ["spec.accelerators[0].name", "'h1000'", "unknown"], id="an unknown accelerator"
        ),
    ],
)
def test_a_spec_that_cannot_be_read_is_refused_and_the_fleet_stays(
    space: PoolSpace, pool: Callable[..., str], change: dict[str, Any], said: list[str]
) -> None:
    name = pool(scaling=TWO)
    space.until(name, "Ready")
    before = space.deployments(name)

    space.patch(name, **change)
    refused = space.until(name, "Accepted", "False", "InvalidSpec")

    assert [] == [each for each in said if each not in refused["message"]]
    assert [each["metadata"]["generation"] for each in before] == [
        each["metadata"]["generation"] for each in space.deployments(name)
    ]
    assert "True" == next(
        each["status"] for each in space.pool(name)["status"]["conditions"] if each["type"] == "Ready"
    )


def test_an_accelerator_that_nobody_has_is_named_and_the_fleet_stays(
    space: PoolSpace, pool: Callable[..., str]
) -> None:
    name = pool(scaling=TWO)
    space.until(name, "Ready")
    before = space.deployments(name)

    space.patch(name, accelerators=[{"name": "nvidia-b200"}])
    limited = space.until(name, "CapacityLimited", "True")

    assert "b200" in limited["message"]
    assert [(each["metadata"]["name"], each["spec"]["replicas"]) for each in before] == [
        (each["metadata"]["name"], each["spec"]["replicas"]) for each in space.deployments(name)
    ]


def test_an_objective_below_the_physical_floor_names_the_nearest_miss_and_the_fleet_stays(
    space: PoolSpace, pool: Callable[..., str]
) -> None:
    name = pool(scaling=TWO)
    space.until(name, "Ready")

    space.patch(name, tiers=[{"name": "interactive", "objectives": {"itlMilliseconds": 1}}])
    unmet = space.until(name, "ObjectivesMet", "False", "NoFeasibleCandidate")

    assert "ms, the objective is 1 ms" in unmet["message"]
    assert 2 <= space.replicas(name)
    assert "True" == space.condition(name, "Accepted")["status"]
