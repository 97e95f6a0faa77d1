"""The process that outlives a cluster's owner by a moment, to end what the owner started and remove its folder.

``python keeper.py FOLDER`` leads a process group which all processes of the cluster join. Its standard input is a pipe
that the owner holds: when that closes, because the owner stopped or was killed, everybody in the group is killed and
the folder goes. Lines ``+PID`` and ``-PID`` name processes outside the group that shall be asked to end too. Killing
is right here: the data is thrown away with the folder. Uses nothing but the standard library, and starts without
``site`` to be quick.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

PATIENCE_S = 5.0
"""[s] How long killed processes get to vanish before the folder is removed under them; they need milliseconds."""


def guests_until_close() -> set[int]:
    """Read the pipe until it closes and return the processes outside the group that are still announced."""
    guests: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            guests.add(pid)
        else:
            guests.discard(pid)
    return guests


def end_group(group: int) -> None:
    """Kill a process group and wait until nobody is left in it."""
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.01)


def main(folder: str) -> None:
    """Wait for the owner's end, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for pid in guests_until_close():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    group = os.getpgid(0)
    if os.fork():
        signal.pause()  # killed with the rest of the group
    os.setpgid(0, 0)
    end_group(group)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
