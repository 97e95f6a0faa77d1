"""A pool's life: accepted, planned, deployed, ready; and nothing left when it goes."""

from pathlib import Path

import pytest

from localcluster.operator_process import OperatorProcess, eventually
from localcluster.pool_space import PoolSpace

pytestmark = pytest.mark.cluster

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "chat.yaml"


def test_ten_lines_become_a_pool_that_serves_and_leaves_nothing_when_deleted(
    space: PoolSpace, operator: OperatorProcess
) -> None:
    space.kubectl("apply", "-f", str(EXAMPLE))

    ready = space.until("chat", "Ready")
    accepted = space.condition("chat", "Accepted")
    row = space.kubectl("get", "ipool", "chat").splitlines()[1].split()
    owned = space.owned("chat")
    uid = space.pool("chat")["metadata"]["uid"]

    assert "1 of 1 replicas serve" == ready["message"]
    assert ("True", "AsPlanned") == (accepted["status"], accepted["reason"])
    # name, mode, wanted, ready, $/h, objectives met, what binds, age
    assert ["chat", "Auto", "1", "1", "True", "MinReplicas"] == [*row[:4], *row[5:7]]
    assert {"deployment.apps", "service", "poddisruptionbudget.policy", "networkpolicy.networking.k8s.io"} == {
        each.partition("/")[0] for each in owned
    }
    assert {uid} == {each["metadata"]["ownerReferences"][0]["uid"] for each in space.deployments("chat")}
    assert (200, "ok") == operator.page("/readyz")

    space.delete("chat")

    assert [] == space.owned("chat")
    eventually(
        "forgotten",
        lambda: operator.metric("poolwright_wanted_replicas", lambda labels: labels["pool"] == "chat"),
        lambda left: left == 0.0,
    )
