"""The operator as a process of its own beside a cluster: started with settings, read through its log and its pages.

Knows nothing of pools (``pool_space``); ends with its process group.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from localcluster.processes import POLL_S, ProcessGroup, StartError, wait_until

START_PATIENCE_S: Final = 60.0
"""[s] A start takes 2 s on an idle machine."""
END_PATIENCE_S: Final = 20.0
"""[s] Longest orderly end: the operator gives its parts 10 s."""

Value = TypeVar("Value")


class OperatorProcess:
    """One operator."""

    def __init__(
        self, group: ProcessGroup, name: str, kubeconfig: Path, namespaces: Sequence[str], **settings: object
    ) -> None:
        """Start it in ``group``; ``settings`` become ``POOLWRIGHT_*`` variables. ``name`` is its identity."""
        self.name = name
        self._log = group.folder / f"{name}.log"
        env = {
            "KUBECONFIG": str(kubeconfig),
            "POOLWRIGHT_NAMESPACES": json.dumps(list(namespaces)),
            "POOLWRIGHT_HTTP_PORT": "0",
            "POOLWRIGHT_HTTP_HOST": "127.0.0.1",
            "POOLWRIGHT_IDENTITY": name,
            **{f"POOLWRIGHT_{key.upper()}": str(value) for key, value in settings.items()},
        }
        self._process = group.start(name, [sys.executable, "-m", "poolwright.cli", "operator"], env)
        wait_until(f"page of {name}", lambda: self._port() is not None, START_PATIENCE_S, self._process)

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of its log."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def page(self, path: str) -> tuple[int, str]:
        """Return status and text of ``/healthz``, ``/readyz`` or ``/metrics``."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port()}{path}", timeout=5) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return int(error.code), error.read().decode()

    def metric(self, name: str, is_counted: Callable[[Mapping[str, str]], bool] = lambda _labels: True) -> float:
        """Return the sum of the samples of a metric whose labels count."""
        families = text_string_to_metric_families(self.page("/metrics")[1])
        samples = (sample for family in families for sample in family.samples if sample.name == name)
        return sum(sample.value for sample in samples if is_counted(sample.labels))

    def is_running(self) -> bool:
        """Return whether it lives."""
        return self._process.is_running()

    def kill(self) -> None:
        """End it at once, without a chance to say goodbye."""
        self._process.child.kill()
        self._process.child.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self._process.child.send_signal(signal.SIGTERM)
        try:
            return self._process.child.wait(END_PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise StartError(f"{self.name} does not end:\n{self._process.log_tail()}") from error

    def _port(self) -> int | None:
        return next((int(line["port"]) for line in self.log() if line.get("message") == "started"), None)


def eventually(what: str, read: Callable[[], Value], holds: Callable[[Value], bool], patience_s: float = 20.0) -> Value:
    """Return what is read as soon as it holds; raise ``StartError`` with what was read last after ``patience_s``."""
    deadline = time.monotonic() + patience_s
    while True:
        value = read()
        if holds(value):
            return value
        if time.monotonic() > deadline:
            raise StartError(f"not {what} after {patience_s:.0f} s, but {value!r}")
        time.sleep(POLL_S)
