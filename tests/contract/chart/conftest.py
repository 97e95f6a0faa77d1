"""The chart rendered by the real Helm, and JSON schemas that the running API server gives for kubeconform."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.cluster import Cluster
from localcluster.processes import wait_until

Json = dict[str, Any]
Render = Callable[..., list[Json]]

HERE = Path(__file__).resolve().parent
CHART = HERE.parents[2] / "charts" / "poolwright"
PATIENCE_S = 30.0
"""[s] A new CRD is in the published schemas after one or two."""


@pytest.fixture(scope="session")
def chart() -> Path:
    return CHART


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    """Return a function that renders the chart with values as ``--set`` takes them, or as a document."""

    def rendered(*sets: str, values: Json | None = None, namespace: str = "inference") -> list[Json]:
        arguments = [part for each in sets for part in ("--set", each)]
        done = subprocess.run(
            [helm, "template", "poolwright", CHART, "--namespace", namespace, *arguments, "--values", "-"],
            check=True,
            capture_output=True,
            text=True,
            input=yaml.safe_dump(values or {}),
        )
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return rendered


@pytest.fixture(scope="module")
def pod_monitors(cluster: Cluster) -> Iterator[None]:
    """Let the cluster know PodMonitors while a module needs them: other tests are about clusters that do not."""
    definition = "crd/podmonitors.monitoring.coreos.com"
    was_there = kubectl(cluster, "get", definition, "--ignore-not-found")
    if not was_there:
        kubectl(cluster, "apply", "-f", str(HERE / "podmonitor.crd.yaml"))
        kubectl(cluster, "wait", "--for=condition=Established", definition)
    yield
    if not was_there:
        kubectl(cluster, "delete", definition)


@pytest.fixture(scope="module")
def schemas(cluster: Cluster, pod_monitors: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a strict JSON schema of each kind that the API server knows: ``kind-group-version.json``.

    In kubeconform's eyes the group of ``v1`` is v1.
    """
    del pod_monitors
    wait_until("schema of PodMonitor", lambda: "apis/monitoring.coreos.com/v1" in _index(cluster), PATIENCE_S)
    folder = tmp_path_factory.mktemp("schemas")
    for route, entry in _index(cluster).items():
        if route.startswith(("api/", "apis/")) and route.count("/") > route.startswith("apis/"):
            _write(folder, json.loads(kubectl(cluster, "get", "--raw", entry["serverRelativeURL"])))
    return folder


def _index(cluster: Cluster) -> dict[str, Json]:
    return dict(json.loads(kubectl(cluster, "get", "--raw", "/openapi/v3"))["paths"])


def _write(folder: Path, document: Json) -> None:
    components = {"schemas": {name: _strict(each) for name, each in document["components"]["schemas"].items()}}
    for name, schema in components["schemas"].items():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            file = f"{kind['kind'].lower()}-{kind['group'] or kind['version']}-{kind['version']}"
            reference = {"allOf": [{"$ref": f"#/components/schemas/{name}"}], "components": components}
            (folder / f"{file}.json").write_text(json.dumps(reference))


def _strict(schema: Any) -> Any:
    """Return the schema without room for fields that it does not name: a misspelt field is otherwise valid."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if isinstance(strict.get("properties"), dict) and not strict.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def kubectl(cluster: Cluster, *arguments: str) -> str:
    return subprocess.run(
        [cluster.kubectl, *arguments], env=cluster.env(), check=True, capture_output=True, text=True
    ).stdout
