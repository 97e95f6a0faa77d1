"""Every file under ``policies/`` is taken by a real API server without a word of warning, and says what it is for."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from poolwright.api.fleet_policy import FleetPolicy
from poolwright.api.inference_pool import InferencePool
from poolwright.api.translate import governing_policy, parsed, pool_policy
from poolwright.controller.objects.labels import pool_selector
from poolwright.hardware.catalogue import Catalogue, load_catalogue

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
Kubectl = Callable[..., CompletedProcess[str]]

FOLDER = Path(__file__).resolve().parents[3] / "policies"
FILES = {str(file.relative_to(FOLDER)): file for file in sorted(FOLDER.rglob("*.yaml"))}
FOLDERS = ("admission", "fleet", "network", "tiers")


@pytest.fixture
def applied(kubectl: Kubectl, namespace: str) -> Iterator[Callable[[Path], CompletedProcess[str]]]:
    """Return a function that applies a file; what it made goes with the test."""
    files: list[Path] = []

    def apply(file: Path) -> CompletedProcess[str]:
        files.append(file)
        return kubectl("--namespace", namespace, "apply", "--validate=strict", "-f", str(file))

    yield apply
    for file in files:
        kubectl("--namespace", namespace, "delete", "--ignore-not-found", "-f", str(file))


def test_there_is_a_file_in_every_folder() -> None:
    assert set(FOLDERS) == {name.partition("/")[0] for name in FILES}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_the_api_server_takes_the_file(applied: Callable[[Path], CompletedProcess[str]], file: Path) -> None:
    done = applied(file)

    assert 0 == done.returncode, done.stderr
    assert "" == done.stderr
    assert len(documents(file)) == len(done.stdout.splitlines())


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_the_file_begins_with_what_it_is_for(file: Path) -> None:
    assert file.read_text().startswith("# ")


@pytest.mark.parametrize("name", FILES)
def test_the_readme_names_the_file(name: str) -> None:
    assert f"`{name}`" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("tiers/")])
def test_the_operator_understands_the_preset_under_every_fleet_policy(name: str) -> None:
    catalogue = load_catalogue()
    pool = parsed(InferencePool, documents(FILES[name])[0])

    policies = [pool_policy(pool, fleet, catalogue) for fleet in fleet_policies()]

    assert pool.spec.tiers[0].name == name.removeprefix("tiers/").removesuffix(".yaml")
    # A ceiling of the fleet wins over the preset's own: 4 and 64, against 32, 32 and 16.
    assert {4, pool.spec.scaling.max_replicas} == {policy.scaling.max_replicas for policy in policies}
    assert all(policy.budget.usd_per_s is not None for policy in policies)


def test_the_fleet_policies_name_accelerators_of_the_catalogue() -> None:
    known: Catalogue = load_catalogue()

    names = {each.accelerator for fleet in fleet_policies() for each in fleet.spec.accelerators}

    assert names == {known.accelerator(name).name for name in names}


@pytest.mark.parametrize("environment", ["production", "development"])
def test_a_namespace_is_governed_by_the_policy_of_its_environment(environment: str) -> None:
    chosen = governing_policy({"poolwright.io/environment": environment, "team": "a"}, fleet_policies())

    assert chosen is not None
    assert environment == chosen.metadata.name


def test_a_namespace_without_an_environment_is_governed_by_none() -> None:
    assert governing_policy({"team": "a"}, fleet_policies()) is None


def test_clients_are_let_in_to_every_pod_of_a_pool_at_the_port_that_it_has() -> None:
    spec = documents(FILES["network/allow-clients.yaml"])[0]["spec"]

    assert spec["podSelector"]["matchLabels"].items() <= pool_selector("chat").items()
    assert [{"protocol": "TCP", "port": "http"}] == spec["ingress"][0]["ports"]


def test_the_operator_is_let_out_by_the_labels_that_the_chart_gives_it(helm: Path) -> None:
    command = [helm, "template", "poolwright", FOLDER.parent / "charts" / "poolwright"]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    deployment = next(each for each in yaml.safe_load_all(rendered) if each["kind"] == "Deployment")

    selector = documents(FILES["network/allow-operator.yaml"])[0]["spec"]["podSelector"]["matchLabels"]

    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    # An engine is not the operator: what lets one out does not let the other.
    assert not selector.items() <= pool_selector("chat").items()


def fleet_policies() -> list[FleetPolicy]:
    files = [file for name, file in FILES.items() if name.startswith("fleet/")]
    return [parsed(FleetPolicy, document) for file in files for document in documents(file)]


def documents(file: Path) -> list[Json]:
    return [document for document in yaml.safe_load_all(file.read_text()) if document]
