"""Build the pinned Go programs that the local cluster is made of, once, into the user's cache.

Each program is a small Go module beside this package, pinned by its ``go.sum``; a binary's folder is named by the hash
of the module's files, so an old one is never used for a new pin. Only what is asked for gets built. Where Go itself
comes from is decided in ``toolchain``.
"""

import fcntl
import hashlib
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localcluster.toolchain import ToolchainError, go_command

MODULES: Final = Path(__file__).resolve().parent.parent
PROGRESS_PERIOD_S: Final = 5.0
"""[s] Time between two lines of progress: often enough to see that it lives, rare enough for a log."""
TERMINAL_PERIOD_S: Final = 1.0
"""[s] The same on a terminal, where the line is written over."""
TAIL_CHARACTERS: Final = 2000
"""How much of the compiler's output is shown when it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program: the package to build in the module of the same name, and under which names it is called."""

    package: str
    minutes: str
    names: tuple[str, ...] = ()
    version_of: str = ""
    version_symbol: str = ""


PROGRAMS: Final = {
    "controlplane": Program(
        package=".",
        minutes="4 to 8",
        names=("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "keygen"),
        version_of="k8s.io/kubernetes",
        version_symbol="k8s.io/component-base/version.gitVersion",
    ),
    "kwok": Program(package="sigs.k8s.io/kwok/cmd/kwok", minutes="1 to 2"),
    "helm": Program(
        package="helm.sh/helm/v4/cmd/helm",
        minutes="2 to 3",
        version_of="helm.sh/helm/v4",
        version_symbol="helm.sh/helm/v4/internal/version.version",
    ),
    "hey": Program(package="github.com/rakyll/hey", minutes="under 1"),
    "kubeconform": Program(
        package="github.com/yannh/kubeconform/cmd/kubeconform",
        minutes="under 1",
        version_of="github.com/yannh/kubeconform",
        version_symbol="main.version",
    ),
    "prometheus": Program(
        package="github.com/prometheus/prometheus/cmd/prometheus",
        minutes="4 to 6",
        version_of="github.com/prometheus/prometheus",
        version_symbol="github.com/prometheus/common/version.Version",
    ),
    "kind": Program(package="sigs.k8s.io/kind", minutes="under 1"),
}
"""Every program that can be built, with how long it takes on two cores from empty caches [min]."""


class BuildError(RuntimeError):
    """A program could not be built; the message says what to do."""


def cache_folder() -> Path:
    """Return the folder of built programs: in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "poolwright" / "bin"


def binary(name: str) -> Path:
    """Return the path of a program, built now where that has not been done; other names of one (kubectl) do as well.

    Raises
    ------
    BuildError
        When nothing here is called that, Go cannot be had, or the build fails, with the end of its output.
    """
    owner = next((key for key, program in PROGRAMS.items() if name in (key, *program.names)), None)
    if owner is None:
        raise BuildError(f"no program is called {name!r}; there are {', '.join(PROGRAMS)}")
    folder = cache_folder() / f"{owner}-{_fingerprint(owner)}"
    if not (folder / owner).exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock"):
            if not (folder / owner).exists():
                _build(owner, folder)
    return folder / name


def _fingerprint(name: str) -> str:
    digest = hashlib.sha256(f"{PROGRAMS[name]} {platform.system()} {platform.machine()}".encode())
    for file in sorted((MODULES / name).glob("*")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _linker_flags(name: str) -> str:
    """Strip symbols, and stamp the version that ``go.mod`` pins where the program would print a template instead."""
    program = PROGRAMS[name]
    if not program.version_of:
        return "-s -w"
    pinned = re.search(
        rf"^\s*{re.escape(program.version_of)} (v\S+)", (MODULES / name / "go.mod").read_text(), re.MULTILINE
    )
    if pinned is None:
        raise BuildError(f"dev/{name}/go.mod does not require {program.version_of}")
    version = pinned.group(1)
    flags = f"-s -w -X {program.version_symbol}={version}"
    if name == "controlplane":
        major, minor = version.removeprefix("v").split(".")[:2]
        flags += f" -X k8s.io/component-base/version.gitMajor={major} -X k8s.io/component-base/version.gitMinor={minor}"
    return flags


def _build(name: str, folder: Path) -> None:
    try:
        go = go_command(cache_folder())
    except ToolchainError as error:
        raise BuildError(str(error)) from error
    partial, log = folder / f"{name}.partial", folder / "build.log"
    flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", _linker_flags(name)]
    started = time.monotonic()
    _say(f"building {name} (once; {PROGRAMS[name].minutes} min on two cores)")
    with log.open("w") as output:
        child = subprocess.Popen(
            [str(go), "build", *flags, "-o", str(partial), PROGRAMS[name].package],
            cwd=MODULES / name,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _watch(child, name, started)
        finally:
            child.kill()  # quiet when it has ended; on Ctrl-C nothing goes on behind the user's back
            child.wait()
    if child.returncode:
        raise BuildError(f"building {name} failed with {child.returncode}:\n{log.read_text()[-TAIL_CHARACTERS:]}")
    _install(name, partial, folder)
    _say(f"built {name} in {time.monotonic() - started:.0f} s")


def _watch(child: subprocess.Popen[bytes], name: str, started: float) -> None:
    period_s = TERMINAL_PERIOD_S if sys.stderr.isatty() else PROGRESS_PERIOD_S
    while child.poll() is None:
        try:
            child.wait(period_s)
        except subprocess.TimeoutExpired:
            _say(f"building {name}: {time.monotonic() - started:.0f} s", over=True)


def _install(name: str, partial: Path, folder: Path) -> None:
    for alias in PROGRAMS[name].names:
        link = folder / alias
        link.unlink(missing_ok=True)
        link.symlink_to(name)
    partial.rename(folder / name)  # last: its presence says that everything is in place


def _say(text: str, *, over: bool = False) -> None:
    """Print progress; on a terminal a line that repeats is written over."""
    end = "\r" if over and sys.stderr.isatty() else "\n"
    sys.stderr.write(f"localcluster: {text}{end}")
    sys.stderr.flush()
