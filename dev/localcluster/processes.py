"""Child processes that cannot outlive their owner: own logs, own group, killed by the kernel when the owner dies."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""``prctl`` option: the signal that the kernel sends to a child when its parent dies (prctl(2), Linux)."""
STOP_PATIENCE_S: Final = 5.0
"""[s] Time that a process has to end by itself before it is killed."""
TAIL_CHARACTERS: Final = 2000
"""How much of a log is shown when a start fails."""


class StartError(RuntimeError):
    """A process did not come up; the message holds the end of its log."""


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One child process with its log."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - only prctl runs in the child
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def is_running(self) -> bool:
        """Return whether it still runs."""
        return self._child.poll() is None

    def log_tail(self) -> str:
        """Return the end of the log."""
        return self._log.read_text(errors="replace")[-TAIL_CHARACTERS:]

    def stop(self) -> None:
        """Ask it to end, then kill it; quiet when it has ended already."""
        if self.is_running():
            self._child.terminate()
            try:
                self._child.wait(STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()


def wait_until(what: str, is_done: Callable[[], bool], patience_s: float, *watched: Process) -> None:
    """Wait until ``is_done()``; raise ``StartError`` with a log when a watched process ends or patience does."""
    deadline = time.monotonic() + patience_s
    while not is_done():
        for process in watched:
            if not process.is_running():
                raise StartError(f"{process.name} ended while waiting for {what}:\n{process.log_tail()}")
        if time.monotonic() > deadline:
            logs = "\n".join(f"--- {process.name}\n{process.log_tail()}" for process in watched)
            raise StartError(f"no {what} after {patience_s:.0f} s\n{logs}")
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Return distinct ports of the loopback interface that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
