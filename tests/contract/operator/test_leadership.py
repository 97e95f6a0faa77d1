"""Two operators: one acts at a time, and when it dies or goes the other takes over, without doing anything twice."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from localcluster.cluster import Cluster
from localcluster.operator_process import OperatorProcess, eventually
from localcluster.pool_space import PoolSpace
from localcluster.processes import ProcessGroup
from poolwright.cli.install import Installed, install_chart
from poolwright.controller.lease import DURATION_S, RETRY_S

pytestmark = pytest.mark.cluster

CHART = Path(__file__).resolve().parents[3] / "charts" / "poolwright"
MARGIN_S = 2.0
"""[s] What a loaded machine may add to the takeover."""

STATED = {"source": "Static", "requestsPerMinute": 6}


@pytest.fixture
def led(cluster: Cluster, api: client.ApiClient, helm: Path, tmp_path: Path) -> Iterator[tuple[PoolSpace, Installed]]:
    """A namespace with a release of its own, and thereby a lease of its own."""
    name = f"red-{secrets.token_hex(4)}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        installed = install_chart(CHART, name, tmp_path, helm=str(helm))
    yield PoolSpace(cluster, api, name), installed
    client.CoreV1Api(api).delete_namespace(name)


def test_when_the_leader_is_killed_the_other_acts_within_17_s_and_nothing_is_done_twice(
    api: client.ApiClient, processes: ProcessGroup, led: tuple[PoolSpace, Installed]
) -> None:
    space, installed = led
    settings = {"clock_speed": 30}
    first, second = (
        OperatorProcess(processes, f"{space.namespace}-{each}", installed.kubeconfig, [space.namespace], **settings)
        for each in ("first", "second")
    )
    space.apply(
        "chat",
        model={"name": "meta-llama/Llama-3.1-8B-Instruct"},
        tiers=[{"name": "interactive", "objectives": {"ttftMilliseconds": 2000}}],
        demand=STATED,
    )
    space.until("chat", "Ready")
    (before,) = space.deployments("chat")

    assert (first.name, 1.0, 0.0) == (
        holder(api, space),
        first.metric("poolwright_leader"),
        second.metric("poolwright_leader"),
    )
    # The follower reads and writes nothing.
    assert 0.0 == second.metric("poolwright_api_requests_total", lambda labels: labels["verb"] in ("PATCH", "POST"))

    first.kill()
    killed_s = time.monotonic()
    space.patch("chat", scaling={"minReplicas": 2})
    space.until_replicas("chat", 2, 60.0)
    took_s = time.monotonic() - killed_s
    space.until("chat", "Ready")
    (after,) = space.deployments("chat")
    told = space.kubectl("events", "--for", "inferencepool/chat", "--no-headers").splitlines()

    assert DURATION_S + RETRY_S + MARGIN_S >= took_s
    assert second.name == holder(api, space)
    assert (before["metadata"]["uid"], 1) == (after["metadata"]["uid"], before["metadata"]["generation"])
    assert 2 == after["metadata"]["generation"]
    assert [2, 1] == [each["replicas"] for each in space.pool("chat")["status"]["history"]]
    assert [False, True] == ["2 replicas: " in each for each in sorted(told)]

    second.stop()

    assert "" == holder(api, space)

    third = OperatorProcess(processes, f"{space.namespace}-third", installed.kubeconfig, [space.namespace])
    eventually("led", lambda: holder(api, space), lambda name: name == third.name, RETRY_S + MARGIN_S)
    passes = eventually("a pass", lambda: third.metric("poolwright_reconcile_seconds_count"), lambda count: count > 0)
    third.stop()

    assert passes >= 1.0
    assert 2 == space.deployments("chat")[0]["metadata"]["generation"]


def holder(api: client.ApiClient, space: PoolSpace) -> str | None:
    lease = client.CoordinationV1Api(api).read_namespaced_lease("poolwright", space.namespace)
    return str(lease.spec.holder_identity or "")
