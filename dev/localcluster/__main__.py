"""``python -m localcluster run -- COMMAND``: run a command inside a cluster that lives just as long.

``build [NAME ...]`` builds programs ahead; ``path NAME`` prints where one lies. Ctrl-C, SIGTERM and failure all clean
up.
"""

import os
import signal
import subprocess
import sys
from types import FrameType
from typing import NoReturn

from localcluster.build import PROGRAMS, BuildError, binary
from localcluster.cluster import Cluster
from localcluster.processes import StartError

USAGE = f"usage: python -m localcluster run -- COMMAND ... | build [{' | '.join(PROGRAMS)}] ... | path NAME"


def main(arguments: list[str]) -> int:
    """Do what the arguments say and return the exit status."""
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
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        cluster = Cluster()
    except (BuildError, StartError) as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    try:
        child = subprocess.Popen(command, env=dict(cluster.env()))
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
            child.wait()
            return 128 + signal.SIGINT
    finally:
        cluster.stop()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
