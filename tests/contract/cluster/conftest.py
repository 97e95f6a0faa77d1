"""A cluster's owner as a process of its own, and what of it is still there."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from localcluster.build import binary, cache_folder

ROOT = Path(__file__).resolve().parents[3]


class Owner:
    """``python -m localcluster run -- COMMAND``, whose folders and processes are told from all others by TMPDIR."""

    def __init__(self, folder: Path, *command: str, **environment: str) -> None:
        self._folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "localcluster", "run", "--", *command],
            env={**os.environ, "PYTHONPATH": str(ROOT / "dev"), "TMPDIR": str(folder), **environment},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; return exit status, output and error output."""
        output, errors = self.process.communicate(timeout=60)
        return self.process.returncode, output, errors

    def line(self) -> str:
        """Return the next line of the command."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def left(self) -> list[str]:
        """Return folders and living processes of the cluster that are still there, the command among them."""
        processes = [
            " ".join(_words(each / "cmdline"))
            for each in Path("/proc").glob("[0-9]*")
            if f"TMPDIR={self._folder}" in _words(each / "environ")
        ]
        return [*(each.name for each in self._folder.glob("poolwright-*")), *processes]

    def kill(self) -> None:
        """End it and its command, whatever the test made of them."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split("\0")
    except OSError:  # has ended in the meantime
        return []


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Owner]]:
    """Starts owners of clusters; keywords become environment variables."""
    made: list[Owner] = []

    def start(*command: str, **environment: str) -> Owner:
        folder = tmp_path_factory.mktemp("owner")
        made.append(Owner(folder, *command, **{"CLUSTER": "embedded", **environment}))
        return made[-1]

    yield start
    for each in made:
        each.kill()


@pytest.fixture
def programs(tmp_path: Path) -> Callable[..., Mapping[str, str]]:
    """Makes a cache that holds the real programs, and scripts in the place of some; returns what names it."""

    def replace(**scripts: str) -> Mapping[str, str]:
        cache = tmp_path / "cache" / cache_folder().relative_to(cache_folder().parent.parent)
        for owner_of_names in ("controlplane", "kwok", "helm", "kind"):
            real = binary(owner_of_names).parent
            there = cache / real.name
            there.mkdir(parents=True)
            for file in real.iterdir():
                script = scripts.get(file.name.replace("-", "_"))
                if script is None:
                    (there / file.name).symlink_to(file)
                else:
                    (there / file.name).write_text(f"#!/bin/sh\n{script}\n")
                    (there / file.name).chmod(0o755 if script else 0o644)
        return {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    return replace
