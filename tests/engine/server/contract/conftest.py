"""``poolwright-engine`` processes on a tiny checkpoint, started and ended by the tests."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest


@dataclass(frozen=True)
class Running:
    """A ``poolwright-engine`` process that is ready."""

    process: subprocess.Popen[bytes]
    log: Path
    ports: dict[str, int]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['API']}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['admin']}"

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self.url + path, timeout=20)

    def metric(self, series: str) -> float:
        """Return the sum of a series over its labels."""
        lines = [line for line in self.get("/metrics").text.splitlines() if line.startswith(series + "{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def until(self, condition: Callable[[], bool], limit_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline_s, self.log.read_text()
            time.sleep(0.02)


def logged(log: Path) -> list[dict[str, Any]]:
    """Return a process's log; lines that are not whole yet are left out."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]


def start(directory: Path, log: Path, *flags: str) -> Running:
    """Start a process and return it as soon as it listens; it is still loading then."""
    command = [sys.executable, "-m", "poolwright.engine.server.main", f"--model={directory}", "--port=0"]
    given = [*flags, "--host=127.0.0.1", "--kv-cache-memory-bytes=8000000"]
    environment = os.environ | {"PYTHONPATH": "operator", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    root = Path(__file__).parents[4]
    with log.open("wb") as stderr:
        process = subprocess.Popen([*command, *given], stderr=stderr, env=environment, cwd=root)
    wanted = 1 + any(flag.startswith("--admin-port") for flag in flags)
    ports: dict[str, int] = {}
    running = Running(process, log, ports)

    def listens() -> bool:
        rows = [row for row in logged(log) if row["message"].endswith(" listens")]
        ports.update({row["message"].removesuffix(" listens"): row["port"] for row in rows})
        return len(ports) == wanted or process.poll() is not None

    running.until(listens)
    return running


@pytest.fixture(scope="session")
def launch(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """Return what starts a process on a tiny checkpoint; all are ended with the tests."""
    started: list[Running] = []

    def launched(*flags: str, directory: Path = checkpoint, waits: bool = True) -> Running:
        running = start(directory, tmp_path_factory.mktemp("engine") / "log", *flags)
        started.append(running)
        if waits:
            running.until(lambda: running.get("/health").status_code == 200)
        return running

    yield launched
    for running in started:
        running.process.kill()
        running.process.wait()


@pytest.fixture(scope="session")
def engine(launch: Callable[..., Running]) -> Running:
    """Return a process that all tests may ask, and none may end."""
    return launch("--served-model-name", "tiny")
