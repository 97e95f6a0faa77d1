"""Processes and a folder that belong together and go together, whatever happens to their owner.

Decides how processes start, are watched and end; knows nothing of Kubernetes. The end, and why also SIGKILL of the
owner leaves nothing behind, is in ``keeper``.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

KEEPER: Final = Path(__file__).with_name("keeper.py")
STOP_PATIENCE_S: Final = 10.0
"""[s] Time the keeper has to clean up before the owner does it; it needs a tenth of a second."""
POLL_S: Final = 0.05
"""[s] Pause between two looks at something that is awaited; short beside the seconds a start takes."""
TAIL_CHARACTERS: Final = 2000
"""How much of a log is shown when a start fails."""


class StartError(RuntimeError):
    """A cluster did not come up; the message says why, with the end of the log that tells it."""


class Process:
    """One process of a group, with its log."""

    def __init__(self, name: str, child: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.child = child
        self._log = log

    def is_running(self) -> bool:
        """Return whether it still runs."""
        return self.child.poll() is None

    def log_tail(self) -> str:
        """Return the end of the log."""
        return self._log.read_text(errors="replace")[-TAIL_CHARACTERS:]


class ProcessGroup:
    """A folder, and processes that end when ``stop`` is called or the owner dies."""

    def __init__(self) -> None:
        """Make the folder and start the keeper."""
        self.folder = Path(tempfile.mkdtemp(prefix="poolwright-"))
        self._processes: list[Process] = []
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(KEEPER), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
            cwd="/",
        )

    @property
    def pids(self) -> list[int]:
        """Process ids of all that was started, the keeper's first."""
        return [self._keeper.pid, *(process.child.pid for process in self._processes)]

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
        """Start a process in the group; its output goes to ``NAME.log`` in the folder."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            try:
                child = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(env or {})},
                    process_group=self._keeper.pid,
                )
            except OSError as error:
                raise StartError(f"{name} does not start: {command[0]}: {error.strerror}") from error
        process = Process(name, child, log)
        self._processes.append(process)
        return process

    def end_processes(self) -> None:
        """Kill what was started, and keep the folder and the group for another try."""
        for process in self._processes:
            process.child.kill()
        for process in self._processes:
            process.child.wait()
        self._processes.clear()

    def adopt(self, pid: int) -> None:
        """Let a process outside the group be asked to end when the owner dies before ``release``."""
        self._tell(f"+{pid}\n")

    def release(self, pid: int) -> None:
        """Forget an adopted process: it has ended, and its number may soon be another's."""
        self._tell(f"-{pid}\n")

    def stop(self) -> None:
        """End all processes and remove the folder; calling it twice does no harm."""
        if self._keeper.stdin is not None and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
        try:
            self._keeper.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        self.end_processes()
        deadline = time.monotonic() + STOP_PATIENCE_S
        while self.folder.exists() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        shutil.rmtree(self.folder, ignore_errors=True)  # only where somebody killed the keeper

    def _tell(self, line: str) -> None:
        if self._keeper.stdin is not None:
            self._keeper.stdin.write(line.encode())
            self._keeper.stdin.flush()


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
        time.sleep(POLL_S)


def free_ports(count: int) -> list[int]:
    """Return distinct ports of the loopback interface that are free now; the caller tries again if one is taken."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
