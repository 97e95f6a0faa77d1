"""Pools that share a FleetPolicy are planned together: one gets the accelerators, the other is told why it does not."""

from collections.abc import Callable, Iterator

import pytest

from localcluster.operator_process import eventually
from localcluster.pool_space import PoolSpace

pytestmark = pytest.mark.cluster

H100 = [{"name": "h100-sxm"}]
SHARED = 4
CHANCE = 30.0
BUSY = {"source": "Static", "requestsPerMinute": 3600}


@pytest.fixture
def fleet(spaces: tuple[PoolSpace, PoolSpace]) -> Iterator[Callable[..., None]]:
    """Makes the FleetPolicy of the second namespace."""
    green = spaces[1]
    name = f"shared-{green.namespace}"

    def make(**shared: object) -> None:
        spec = {"namespaceSelector": {"team": green.namespace}, "shared": shared}
        green.write(
            {"apiVersion": "poolwright.io/v1alpha1", "kind": "FleetPolicy", "metadata": {"name": name}, "spec": spec}
        )

    yield make
    green.kubectl("delete", "fleetpolicy", name, "--ignore-not-found")


def tier(name: str, priority: int) -> list[dict[str, object]]:
    return [{"name": name, "priority": priority, "objectives": {"ttftMilliseconds": 2000, "itlMilliseconds": 100}}]


def test_the_tier_with_priority_gets_the_accelerators_and_the_other_says_who_has_them(
    spaces: tuple[PoolSpace, PoolSpace], pool: Callable[..., str], fleet: Callable[..., None]
) -> None:
    green = spaces[1]
    fleet(accelerators=[{"accelerator": "h100-sxm", "maxAccelerators": SHARED}])
    # The less valuable one is there first, and has to make way.
    batch = pool(where=green, tiers=tier("batch", 5), accelerators=H100, demand={**BUSY, "requestsPerMinute": 14400})
    eventually("accelerators for the first pool", lambda: green.replicas(batch), lambda count: count == SHARED)
    chat = pool(where=green, tiers=tier("interactive", 0), accelerators=H100, demand=BUSY)

    eventually("accelerators for the second pool", lambda: green.replicas(chat), lambda count: count > 0, CHANCE)
    green.until(chat, "ObjectivesMet", "True", patience_s=CHANCE)
    limited = green.until(batch, "CapacityLimited", "True", "Fleet", patience_s=CHANCE)
    told = eventually(
        "an event that names the rival",
        lambda: green.kubectl("get", "events.events.k8s.io", "-n", green.namespace, "-o", "json"),
        lambda text: f"is worth more to {green.namespace}/{chat} interactive" in text,
        CHANCE,
    )
    status = green.pool(batch)["status"]

    assert SHARED >= green.replicas(chat) + green.replicas(batch)
    assert 0 < green.replicas(chat)
    assert f"the quota of {SHARED} h100-sxm is worth more to {green.namespace}/{chat} interactive" in limited["message"]
    assert "Fleet" == status["tiers"][0]["reason"]
    assert '"reason": "Fleet"' in told


def test_what_is_left_is_given_back_when_the_rival_goes(
    spaces: tuple[PoolSpace, PoolSpace], pool: Callable[..., str], fleet: Callable[..., None]
) -> None:
    green = spaces[1]
    fleet(accelerators=[{"accelerator": "h100-sxm", "maxAccelerators": SHARED}])
    chat = pool(
        where=green, tiers=tier("interactive", 0), accelerators=H100, demand={**BUSY, "requestsPerMinute": 14400}
    )
    eventually("accelerators for the first pool", lambda: green.replicas(chat), lambda count: count == SHARED)
    batch = pool(where=green, tiers=tier("batch", 5), accelerators=H100, demand=BUSY)
    green.until(batch, "CapacityLimited", "True", "Fleet", patience_s=CHANCE)
    held = green.replicas(batch)

    green.delete(chat)
    eventually("what the rival had", lambda: green.replicas(batch), lambda count: count > 0, CHANCE)

    assert 0 == held
