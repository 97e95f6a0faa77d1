"""Values: every variant lints, renders and is valid; a wrong one is refused by name."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.build import binary
from poolwright.controller.settings import Settings, load_settings

pytestmark = pytest.mark.cluster

Json = dict[str, Any]

DIGEST = "sha256:" + "0123456789abcdef" * 4

VARIANTS: dict[str, Json] = {
    "as shipped": {},
    "watching every namespace": {"clusterWide": True},
    "watching two other namespaces": {"watchNamespaces": ["team-a", "team-b"]},
    "watching a namespace whose name is a number": {"watchNamespaces": ["2024"]},
    "without a look at nodes": {"rbac": {"clusterScopedReads": False}},
    "without rights of its own": {"rbac": {"create": False}},
    "with somebody else's service account": {"serviceAccount": {"create": False, "name": "existing"}},
    "with an annotated service account": {"serviceAccount": {"annotations": {"example.com/role": "arn:aws:1"}}},
    "scraped by a Prometheus Operator": {"podMonitor": {"enabled": True, "labels": {"release": "monitoring"}}},
    "asking a Prometheus": {"prometheus": {"url": "http://prometheus.monitoring:9090"}},
    "without a network policy": {"networkPolicy": {"enabled": False}},
    "reached from the monitoring namespace only": {
        "networkPolicy": {
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
        }
    },
    "pinned by digest": {"image": {"digest": DIGEST, "pullPolicy": "Always"}, "imagePullSecrets": [{"name": "hub"}]},
    "with a standby, placed and prioritised": {
        "replicas": 2,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "poolwright"}},
                    }
                ]
            }
        },
        "priorityClassName": "system-cluster-critical",
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
    },
    "with every setting moved": {
        "settings": {
            "reconcileIntervalSeconds": 2.5,
            "metricsWindowSeconds": 120,
            "staleAfterSeconds": 30,
            "workers": 32,
            "logLevel": "DEBUG",
        }
    },
}

REFUSED = [
    ("replicas", -1, "minimum"),
    ("replicas", 6, "maximum"),
    ("replicas", "two", "want integer"),
    ("image.pullPolicy", "Sometimes", "Always"),
    ("image.digest", "sha256:abc", "does not match pattern"),
    ("image.repository", "", "minLength"),
    ("watchNamespaces", ["Team_A"], "does not match pattern"),
    ("watchNamespaces", ["a", "a"], "items at 0 and 1 are equal"),
    ("clusterWide", "yes", "want boolean"),
    ("settings.reconcileIntervalSeconds", 0, "minimum"),
    ("settings.metricsWindowSeconds", 5, "minimum"),
    ("settings.staleAfterSeconds", 7200, "maximum"),
    ("settings.workers", 0, "minimum"),
    ("settings.workers", 1.5, "want integer"),
    ("settings.logLevel", "TRACE", "DEBUG"),
    ("prometheus.url", "prometheus:9090", "does not match pattern"),
    ("engineImages.vllm", "", "minLength"),
    ("engineImages.trtllm", "nvcr.io/trtllm", "not allowed"),
    ("podMonitor.enabled", "on", "want boolean"),
    ("networkPolicy.metricsForm", [], "not allowed"),
    ("replica", 1, "not allowed"),
]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_the_chart_lints_without_a_warning(helm: Path, chart: Path, values: Json) -> None:
    done = helm_says(helm, "lint", str(chart), "--strict", values=values)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert [] == [line for line in done.stdout.splitlines() if "[WARNING]" in line or "[ERROR]" in line]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_every_object_rendered_is_valid_where_no_unknown_field_is(
    render: Callable[..., list[Json]], schemas: Path, values: Json
) -> None:
    objects = render(values=values)

    done = kubeconform(schemas, objects)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert f"{len(objects)} resources found" in done.stdout
    assert f"Valid: {len(objects)}, Invalid: 0, Errors: 0, Skipped: 0" in done.stdout


@pytest.mark.parametrize(
    ("field", "value"),
    [("replicsa", 1), ("replicas", "one"), ("selector", None)],
    ids=["a misspelt field", "a wrong type", "a missing field"],
)
def test_the_validation_above_would_see(
    render: Callable[..., list[Json]], schemas: Path, field: str, value: object
) -> None:
    deployment = next(each for each in render() if each["kind"] == "Deployment")
    deployment["spec"][field] = value
    if value is None:
        del deployment["spec"][field]

    done = kubeconform(schemas, [deployment])

    assert 1 == done.returncode
    assert field in done.stdout


@pytest.mark.parametrize(("path", "value", "why"), REFUSED, ids=[f"{path} = {value!r}" for path, value, _ in REFUSED])
def test_a_wrong_value_is_refused_by_its_name(helm: Path, chart: Path, path: str, value: object, why: str) -> None:
    values = value
    for part in reversed(path.split(".")):
        values = {part: values}

    done = helm_says(helm, "template", "poolwright", str(chart), values=values)

    assert 1 == done.returncode
    assert path.rpartition(".")[2] in done.stderr
    assert why in done.stderr


def test_watching_everything_and_naming_namespaces_contradict_each_other(helm: Path, chart: Path) -> None:
    values = {"clusterWide": True, "watchNamespaces": ["team-a", "team-b"]}

    done = helm_says(helm, "template", "poolwright", str(chart), values=values)

    assert 1 == done.returncode
    assert "clusterWide is true and watchNamespaces names team-a, team-b: state one" in done.stderr


def test_a_service_account_of_somebody_else_needs_its_name(helm: Path, chart: Path) -> None:
    done = helm_says(helm, "template", "poolwright", str(chart), values={"serviceAccount": {"create": False}})

    assert 1 == done.returncode
    assert "serviceAccount.name" in done.stderr


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_the_operator_understands_every_variable_it_is_given(
    render: Callable[..., list[Json]], monkeypatch: pytest.MonkeyPatch, values: Json
) -> None:
    settings = settings_of(render(values=values), monkeypatch)

    assert "inference" == settings.lease_home
    assert "inference" == settings.operator_namespace


def test_values_arrive_as_settings(render: Callable[..., list[Json]], monkeypatch: pytest.MonkeyPatch) -> None:
    values = VARIANTS["with every setting moved"] | VARIANTS["asking a Prometheus"]
    values |= VARIANTS["watching two other namespaces"] | {"engineImages": {"vllm": "mirror.local/vllm:1"}}

    settings = settings_of(render(values=values), monkeypatch)

    assert ("team-a", "team-b") == settings.namespaces
    assert (2.5, 120.0, 30.0, 32) == (
        settings.reconcile_interval_s,
        settings.metrics_window_s,
        settings.stale_after_s,
        settings.workers,
    )
    assert "DEBUG" == settings.log_level
    assert "http://prometheus.monitoring:9090/" == str(settings.prometheus_url)
    assert "mirror.local/vllm:1" == settings.engine_images["vllm"]


def settings_of(objects: list[Json], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return what the operator reads in the pod: the environment of the container, the pod's own fields filled in."""
    deployment = next(each for each in objects if each["kind"] == "Deployment")
    pod = {"metadata.name": "poolwright-0", "metadata.namespace": deployment["metadata"]["namespace"]}
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    for variable in container["env"]:
        source = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
        monkeypatch.setenv(variable["name"], variable.get("value", pod.get(source)))
    return load_settings()


def helm_says(helm: Path, *arguments: str, values: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [helm, *arguments, "--values", "-"], check=False, capture_output=True, text=True, input=yaml.safe_dump(values)
    )


def kubeconform(schemas: Path, objects: list[Json]) -> subprocess.CompletedProcess[str]:
    location = str(schemas / "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json")
    return subprocess.run(
        [binary("kubeconform"), "-strict", "-summary", "-verbose", "-schema-location", location, "-"],
        check=False,
        capture_output=True,
        text=True,
        input=yaml.safe_dump_all(objects),
    )
