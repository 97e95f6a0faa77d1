"""``python -m localcluster run -- COMMAND``: run a command inside a cluster that lives just as long.

``build [NAME ...]`` builds programs ahead; ``path NAME`` prints where one lies. Ctrl-C, SIGTERM and failure all clean
up; the exit status is the command's, or what a shell makes of a signal.
"""

import os
import signal
import subprocess
import sys
from types import FrameType
from typing import Final, NoReturn

from localcluster.build import PROGRAMS, BuildError, binary
from localcluster.cluster import Cluster
from localcluster.processes import StartError

USAGE: Final = f"usage: python -m localcluster run -- COMMAND ... | build [{' | '.join(PROGRAMS)}] ... | path NAME"
END_PATIENCE_S: Final = 15.0
"""[s] How long the command gets to end by itself after a signal, before a sharper one; the demo needs ten."""
NO_COMMAND: Final = 127
"""Exit status of shells for a command that cannot be started."""
SIGNALLED: Final = 128
"""Shells add the signal's number to this."""


class Interrupted(BaseException):
    """A signal that asks for the end has come; like KeyboardInterrupt it is no error."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


def main(arguments: list[str]) -> int:
    """Do what the arguments say and return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    try:
        return _answer(arguments)
    except (BuildError, StartError) as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    except Interrupted as interrupted:
        return SIGNALLED + interrupted.number


def _answer(arguments: list[str]) -> int:
    match arguments:
        case ["run", "--", *command] if command:
            return _run(command)
        case ["build", *names] if set(names) <= set(PROGRAMS):
            for name in names or PROGRAMS:
                print(binary(name))
            return 0
        case ["path", name] if name in PROGRAMS:
            print(binary(name))
            return 0
    print(USAGE, file=sys.stderr)
    return 2


def _run(command: list[str]) -> int:
    cluster = Cluster()
    try:
        child = subprocess.Popen(command, env=dict(cluster.env()))
    except OSError as error:
        print(f"localcluster: cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        cluster.stop()
        return NO_COMMAND
    except BaseException:
        cluster.stop()
        raise
    try:
        with cluster.guest(child.pid):
            try:
                status = child.wait()
            except Interrupted as interrupted:
                _end(child, interrupted.number)
                raise
    finally:
        cluster.stop()
    return status if status >= 0 else SIGNALLED - status


def _end(child: subprocess.Popen[bytes], number: int) -> None:
    """End the command; Ctrl-C has reached it already, as the terminal tells everybody, and is not told twice."""
    sharper = [signal.SIGTERM, signal.SIGKILL]
    if number != signal.SIGINT:
        child.send_signal(sharper.pop(0))
    while True:
        try:
            child.wait(END_PATIENCE_S)
        except (subprocess.TimeoutExpired, Interrupted):  # a second Ctrl-C is impatience
            child.send_signal(sharper.pop(0) if sharper else signal.SIGKILL)
        else:
            return


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise Interrupted(number)


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
