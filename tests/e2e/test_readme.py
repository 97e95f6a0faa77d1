"""Every block of the README is done as a reader would do it, in order, on the cluster of the run."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localcluster.cluster import Cluster
from poolwright.cli.install import kubeconfig_of

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
NAMESPACE = "inference"
PATIENCE_S = 60.0
OWN_TEST = ("make demo", "make test")
"""Commands with a test of their own: running all tests inside a test would not end."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, list[str]]]:
    """Return every command with the output that is shown below it."""
    found: list[tuple[str, list[str]]] = []
    for line in "\n".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif found and line:
            found[-1][1].append(line)
    return found


def masked(text: str) -> str:
    """Return text without its figures, and without spaces that only align them."""
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?", "#", text)).strip()


@pytest.fixture(scope="module")
def environment(cluster: Cluster) -> dict[str, str]:
    own = Path(sys.executable).parent
    given = dict(cluster.env())
    return {**given, "PATH": os.pathsep.join([str(own), given["PATH"]])}


@pytest.fixture(scope="module")
def reader(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Run every command in order; after the installation, run the operator as its pod would be, with its rights."""
    folder = tmp_path_factory.mktemp("readme")
    operator: subprocess.Popen[bytes] | None = None
    outputs = []
    try:
        for command, shown in commands():
            if command in OWN_TEST:
                outputs.append("")
                continue
            outputs.append(until(command, shown, environment))
            if command.startswith("helm install"):
                operator = start_operator(folder, environment)
        yield outputs
    finally:
        if operator is not None:
            operator.terminate()
            operator.wait()
        for command in (
            f"helm uninstall poolwright -n {NAMESPACE}",
            f"kubectl delete namespace {NAMESPACE} --wait=false",
        ):
            subprocess.run(command.split(), env=environment, check=False)


def until(command: str, shown: list[str], environment: dict[str, str]) -> str:
    """Return the output of a command, as soon as it has the lines that the README shows; at last, whatever it is."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        done = subprocess.run(
            shlex.split(command), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        is_shown = {masked(line) for line in shown} <= {masked(line) for line in done.stdout.splitlines()}
        if is_shown or time.monotonic() > deadline:
            return done.stdout
        time.sleep(0.5)


def start_operator(folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    own = {
        "KUBECONFIG": str(kubeconfig_of(NAMESPACE, folder / "operator.kubeconfig", environment["KUBECONFIG"])),
        "POOLWRIGHT_NAMESPACES": json.dumps([NAMESPACE]),
        "POOLWRIGHT_HTTP_PORT": "0",
    }
    command = [sys.executable, "-m", "poolwright.cli", "operator"]
    with (folder / "operator.log").open("wb") as log:
        return subprocess.Popen(command, env={**environment, **own}, stdout=log, stderr=subprocess.STDOUT)


def test_the_ten_lines_are_ten_and_are_the_example() -> None:
    assert [(ROOT / "examples" / "chat.yaml").read_text()] == blocks("yaml")
    assert 10 == len(blocks("yaml")[0].splitlines())
    assert "InferencePool" == yaml.safe_load(blocks("yaml")[0])["kind"]


def test_every_command_that_is_shown_has_been_run(reader: list[str]) -> None:
    assert len(commands()) == len(reader) >= 7


@pytest.mark.parametrize("index", range(len(commands())), ids=[command for command, _ in commands()])
def test_a_command_prints_what_is_shown(index: int, reader: list[str]) -> None:
    command, shown = commands()[index]
    if command in OWN_TEST:
        target = command.removeprefix("make ")
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        return
    printed = {masked(line) for line in reader[index].splitlines()}
    assert [] == [line for line in shown if masked(line) not in printed], reader[index]


def test_the_plan_in_the_readme_is_the_plan_of_today(reader: list[str]) -> None:
    index = next(i for i, (command, _) in enumerate(commands()) if command.startswith("poolwright plan"))
    assert commands()[index][1] == [line.rstrip() for line in reader[index].splitlines() if line.strip()]


def test_the_readme_names_the_command_that_continuous_integration_runs() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
