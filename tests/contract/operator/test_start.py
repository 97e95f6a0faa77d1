"""A start in a world that is not ready: the operator lives, says what is missing, and goes on by itself."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from localcluster.cluster import Cluster
from localcluster.operator_process import OperatorProcess, eventually
from localcluster.pool_space import PoolSpace
from localcluster.processes import ProcessGroup, free_ports
from poolwright.cli.install import Installed, install_chart
from poolwright.controller.settings import SettingsError, load_settings

ROOT = Path(__file__).resolve().parents[3]
UNAVAILABLE = 503
BAD_SETTINGS = 2


@pytest.fixture
def bare(helm: Path, tmp_path: Path) -> Iterator[tuple[PoolSpace, Installed]]:
    """A cluster of its own with the chart's rights and without its definitions."""
    made = Cluster("embedded")
    try:
        with made.api() as api, pytest.MonkeyPatch.context() as patch:
            patch.setenv("KUBECONFIG", str(made.kubeconfig))
            installed = install_chart(ROOT / "charts" / "poolwright", "inference", tmp_path, helm=str(helm))
            space = PoolSpace(made, api, "inference")
            space.kubectl("delete", "-f", str(ROOT / "crds"), "--wait")
            yield space, installed
    finally:
        made.stop()


@pytest.mark.cluster
def test_whenever_definitions_are_missing_it_says_which_and_goes_on_once_they_are_applied(
    processes: ProcessGroup, bare: tuple[PoolSpace, Installed]
) -> None:
    space, installed = bare
    operator = OperatorProcess(processes, "early", installed.kubeconfig, ["inference"])

    said = eventually("a word", lambda: operator.page("/readyz"), lambda page: "starting" not in page[1])

    assert (503, "inferencepools.poolwright.io is not defined: apply the chart's crds/") == said
    assert (200, "ok") == operator.page("/healthz")

    space.kubectl("apply", "-f", str(ROOT / "crds"))
    eventually("ready", lambda: operator.page("/readyz"), lambda page: page == (200, "ok"))
    # The API server itself takes up to half a minute to let objects be owned by a kind that came anew.
    tier = {"name": "interactive", "objectives": {"ttftMilliseconds": 2000}}
    space.apply("chat", mode="Recommend", model={"name": "meta-llama/Llama-3.1-8B-Instruct"}, tiers=[tier])
    space.until("chat", "Accepted", "True", "RecommendOnly")

    space.kubectl("delete", "-f", str(ROOT / "crds"), "--wait")
    eventually("the same word", lambda: operator.page("/readyz"), lambda page: page == said)
    space.kubectl("apply", "-f", str(ROOT / "crds"))
    eventually("ready", lambda: operator.page("/readyz"), lambda page: page == (200, "ok"))

    assert 1.0 == operator.metric("poolwright_watch_restarts_total")
    assert 0 == operator.stop()


@pytest.mark.cluster
def test_without_an_api_server_it_says_so_and_goes_on_once_that_answers(
    processes: ProcessGroup, installed: Installed, tmp_path: Path
) -> None:
    document = yaml.safe_load(installed.kubeconfig.read_text())
    server = urlsplit(document["clusters"][0]["cluster"]["server"])
    (port,) = free_ports(1)
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(document))
    operator = OperatorProcess(processes, "lonely", kubeconfig, [installed.namespace], lease_enabled=False)

    status, said = eventually("a word", lambda: operator.page("/readyz"), lambda page: "starting" not in page[1])

    assert UNAVAILABLE == status
    assert said.startswith("the API server does not answer: LIST /apis/poolwright.io/v1alpha1/namespaces/")
    assert (200, "ok") == operator.page("/healthz")

    with socket.create_server(("127.0.0.1", port)) as listener:
        threading.Thread(target=forward, args=(listener, (server.hostname, server.port)), daemon=True).start()
        eventually("ready", lambda: operator.page("/readyz"), lambda page: page == (200, "ok"))

        assert operator.is_running()
        assert 0 == operator.stop()


def forward(listener: socket.socket, target: tuple[str | None, int | None]) -> None:
    """Pass every connection on to a target, until the listener is closed."""
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        far = socket.create_connection((target[0] or "", target[1] or 0))
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=pump, args=(source, sink), daemon=True).start()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for each in (source, sink):
            each.close()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("POOLWRIGHT_WORKERS", "0", "greater than or equal to 1"), ("POOLWRIGHT_FOO", "1", "no such setting")],
)
def test_a_senseless_setting_ends_the_process_with_code_2(name: str, value: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "poolwright.cli", "operator"],
        env={**os.environ, "POOLWRIGHT_NAMESPACES": '["team-a"]', name: value},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert BAD_SETTINGS == done.returncode, done.stderr
    assert done.stderr.startswith("error: ")
    assert [] == [each for each in (name, said) if each not in done.stderr]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("POOLWRIGHT_WORKERS", "many", "valid integer"),
        ("POOLWRIGHT_RECONCILE_INTERVAL_S", "nan", "finite number"),
        ("POOLWRIGHT_CLOCK_SPEED", "inf", "finite number"),
        ("POOLWRIGHT_CLOCK_SPEED", "-1", "greater than 0"),
        ("POOLWRIGHT_HTTP_PORT", "70000", "less than or equal to 65535"),
        ("POOLWRIGHT_NAMESPACES", "team-a", "must be JSON"),
        ("POOLWRIGHT_NAMESPACES", "[]", "ALL_NAMESPACES=true"),
        ("POOLWRIGHT_PROMETHEUS_URL", "prometheus", "valid URL"),
        ("POOLWRIGHT_ENGINE_IMAGES", '{"tgi": "x"}', "there are poolwright, vllm, sglang"),
        ("POOLWRIGHT_LOG_LEVEL", "loud", "DEBUG|INFO|WARNING|ERROR"),
    ],
)
def test_a_senseless_setting_is_named_with_what_it_must_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv("POOLWRIGHT_NAMESPACES", '["team-a"]')
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert [] == [each for each in (name, said) if each not in str(caught.value)]
