"""A real API server seen through the operator's own client, in a namespace that admits restricted pods only."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from kubernetes import client, config

from localcluster.cluster import Cluster
from localcluster.processes import wait_until
from poolwright.api.inference_pool import InferencePool
from poolwright.controller.cluster.kube import Kube

CRDS = Path(__file__).resolve().parents[3] / "crds"
CONFLICT = 409


@pytest.fixture
def writes() -> list[tuple[str, str, int]]:
    """Verb, kind and status of every write that ``kube`` made."""
    return []


@pytest.fixture
def kube(cluster: Cluster, writes: list[tuple[str, str, int]]) -> Iterator[Kube]:
    """The operator's client with the administrator's rights."""
    configuration = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)

    def observe(verb: str, kind: str, status: int) -> None:
        if verb not in {"GET", "LIST"}:
            writes.append((verb, kind, status))

    made = Kube(configuration, observe=observe)
    yield made
    made.close()


@pytest.fixture
def restricted(api: client.ApiClient, namespace: str) -> str:
    """A namespace that admits restricted pods only."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    client.CoreV1Api(api).patch_namespace(namespace, {"metadata": {"labels": labels}})
    return namespace


@pytest.fixture(scope="session")
def definitions(api: client.ApiClient) -> None:
    """The custom resources, installed once."""
    extensions = client.ApiextensionsV1Api(api)
    for document in [yaml.safe_load(file.read_text()) for file in sorted(CRDS.glob("*.yaml"))]:
        try:
            extensions.create_custom_resource_definition(document)
        except client.ApiException as error:
            if error.status != CONFLICT:
                raise
        name = document["metadata"]["name"]
        wait_until(f"definition {name}", lambda name=name: is_served(extensions, name), 20.0)  # type: ignore[misc]


def is_served(extensions: client.ApiextensionsV1Api, name: str) -> bool:
    status = extensions.read_custom_resource_definition(name).status
    found = {each.type: each.status for each in (status.conditions if status else None) or ()}
    return found.get("Established") == "True"


@pytest.fixture
def make_pool(
    api: client.ApiClient, restricted: str, definitions: None
) -> Callable[[str, Mapping[str, object]], InferencePool]:
    """Makes a pool in the test's namespace, so that what it owns has an owner that exists."""
    del definitions
    custom = client.CustomObjectsApi(api)

    def make(name: str, spec: Mapping[str, object]) -> InferencePool:
        tier = {"name": "interactive", "objectives": {"ttftMilliseconds": 2000}}
        body = {
            "apiVersion": "poolwright.io/v1alpha1",
            "kind": "InferencePool",
            "metadata": {"name": name},
            "spec": {"model": {"name": "meta-llama/Llama-3.1-8B"}, "tiers": [tier], **spec},
        }
        made = custom.create_namespaced_custom_object("poolwright.io", "v1alpha1", restricted, "inferencepools", body)
        return InferencePool.model_validate({"metadata": made["metadata"], "spec": made["spec"]})

    return make
