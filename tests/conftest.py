"""Fixtures that every kind of test shares: one cluster for the whole run, one namespace for each test that asks.

``CLUSTER=embedded|kind|current`` says which cluster; it starts when the first test asks for it.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from kubernetes import client

from localcluster.build import binary
from localcluster.cluster import Cluster

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every machine: a law that fails by chance on somebody else's change helps nobody. To search anew,
# run pytest with --hypothesis-seed=N. Forty examples each keep `make check` under a minute.
settings.register_profile("house", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("house")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster with GPU nodes, for the whole run."""
    made = Cluster()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    """A client with the administrator's rights."""
    with cluster.api() as made:
        yield made


@pytest.fixture
def namespace(api: client.ApiClient) -> Iterator[str]:
    """A namespace of its own; what is in it goes with it."""
    name = f"test-{secrets.token_hex(4)}"
    core = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


@pytest.fixture(scope="session")
def helm(cluster: Cluster) -> Path:
    """The real Helm."""
    del cluster
    return binary("helm")
