"""One operator with the chart's own rights and a quick clock, two namespaces that it watches, and pools that go."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from localcluster.cluster import Cluster
from localcluster.operator_process import OperatorProcess
from localcluster.pool_space import PoolSpace
from localcluster.processes import ProcessGroup
from poolwright.cli.install import Installed, install_chart

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "poolwright"
CLOCK_SPEED = 30.0

Spec = dict[str, Any]


@pytest.fixture(scope="session")
def processes() -> Iterator[ProcessGroup]:
    """The group in which every operator of a run lives."""
    group = ProcessGroup()
    yield group
    group.stop()


@pytest.fixture(scope="session")
def spaces(cluster: Cluster, api: client.ApiClient) -> Iterator[tuple[PoolSpace, PoolSpace]]:
    """Two namespaces; the second has a label by which a FleetPolicy may choose it."""
    core = client.CoreV1Api(api)
    made = []
    for team in ("blue", "green"):
        name = f"{team}-{secrets.token_hex(4)}"
        core.create_namespace({"metadata": {"name": name, "labels": {"team": name}}})
        made.append(PoolSpace(cluster, api, name))
    yield made[0], made[1]
    for each in made:
        core.delete_namespace(each.namespace)


@pytest.fixture(scope="session")
def installed(
    cluster: Cluster, helm: Path, spaces: tuple[PoolSpace, PoolSpace], tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """The chart, installed into the first namespace, watching both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        watched = f"watchNamespaces={{{','.join(each.namespace for each in spaces)}}}"
        return install_chart(CHART, spaces[0].namespace, tmp_path_factory.mktemp("rights"), watched, helm=str(helm))


@pytest.fixture(scope="session")
def operator(
    processes: ProcessGroup, installed: Installed, spaces: tuple[PoolSpace, PoolSpace]
) -> Iterator[OperatorProcess]:
    """The operator that most tests share: thirty world seconds pass in a second."""
    watched = [each.namespace for each in spaces]
    made = OperatorProcess(processes, "shared", installed.kubeconfig, watched, clock_speed=CLOCK_SPEED)
    yield made
    if made.is_running():
        made.stop()


@pytest.fixture
def space(operator: OperatorProcess, spaces: tuple[PoolSpace, PoolSpace]) -> PoolSpace:
    """The first namespace, with the shared operator at work."""
    del operator
    return spaces[0]


@pytest.fixture
def pool(space: PoolSpace) -> Iterator[Callable[..., str]]:
    """Makes pools that are gone after the test; fields of the spec replace those of a small chat pool."""
    names: list[tuple[PoolSpace, str]] = []

    def make(where: PoolSpace = space, **spec: object) -> str:
        name = f"chat-{secrets.token_hex(3)}"
        names.append((where, name))
        where.apply(name, **{**small(), **spec})
        return name

    yield make
    for where, name in names:
        where.delete(name)


def small() -> Spec:
    """Return a spec that one accelerator of any kind serves."""
    tier = {"name": "interactive", "objectives": {"ttftMilliseconds": 2000, "itlMilliseconds": 100}}
    return {"model": {"name": "meta-llama/Llama-3.1-8B-Instruct"}, "tiers": [tier]}
