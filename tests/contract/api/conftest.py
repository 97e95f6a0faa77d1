"""A real API server that knows our kinds, and a pool to begin with."""

import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from localcluster.cluster import Cluster

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session", autouse=True)
def kinds(cluster: Cluster) -> None:
    """Install the CRDs."""
    kubectl(cluster, "apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl(cluster, "wait", "--for=condition=Established", "-f", str(ROOT / "crds"))


@pytest.fixture(scope="session")
def custom(api: client.ApiClient) -> client.CustomObjectsApi:
    return client.CustomObjectsApi(api)


@pytest.fixture
def chat() -> Json:
    """The pool of the examples, for a test to change."""
    return copy.deepcopy(yaml.safe_load((ROOT / "examples" / "chat.yaml").read_text()))


def kubectl(cluster: Cluster, *arguments: str) -> str:
    done = subprocess.run([cluster.kubectl, *arguments], env=cluster.env(), check=False, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    return done.stdout
