"""How many processors this process may use, told to the numeric library before it starts its threads."""

import os
from math import ceil
from pathlib import Path
from typing import Final

CGROUP_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
"""Quota and period of a container [us]; ``max`` for no quota."""


def usable_processors(quota: Path = CGROUP_QUOTA) -> int:
    """Return the number of processors: those this process may run on, and no more than its container's quota pays for.

    A library that counts the machine's instead starts a thread for each, which then wait for each other.
    """
    allowed = len(os.sched_getaffinity(0))
    try:
        share, period = quota.read_text().split()
    except OSError:
        return allowed
    return allowed if share == "max" else max(1, min(allowed, ceil(int(share) / int(period))))


def tell_threads() -> None:
    """Set what is not set: as many threads as processors, which sleep rather than spin while they wait.

    Spinning threads take each other's processors as soon as anything else runs, such as the server itself.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_processors()))
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
