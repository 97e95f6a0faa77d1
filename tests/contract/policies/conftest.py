"""A real API server that knows our kinds, and the folder of policies."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from localcluster.cluster import Cluster

ROOT = Path(__file__).resolve().parents[3]

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster) -> Kubectl:
    """Return a function that runs kubectl, with a document on its standard input where one is given."""

    def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [cluster.kubectl, *arguments], env=cluster.env(), check=False, capture_output=True, text=True, input=text
        )

    return run


@pytest.fixture(scope="session", autouse=True)
def kinds(kubectl: Kubectl) -> None:
    """Install the CRDs."""
    for arguments in (("apply", "--server-side", "--force-conflicts"), ("wait", "--for=condition=Established")):
        done = kubectl(*arguments, "-f", str(ROOT / "crds"))
        assert 0 == done.returncode, done.stderr
