"""How much main memory a process may still take: the machine's, or what its container is limited to."""

from pathlib import Path
from typing import Final

from poolwright.units import BYTES_PER_KIB

_MEMINFO: Final = Path("/proc/meminfo")
_CGROUP: Final = Path("/sys/fs/cgroup")


def available_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> float:
    """Return the memory that can still be taken [bytes]: the smaller of what the machine and the container leave."""
    rows = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    free = float(rows["MemAvailable"].split()[0]) * BYTES_PER_KIB
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    return free if limit is None or used is None else min(free, max(limit - used, 0.0))


def _number(path: Path) -> float | None:
    """Return the number in a file, or None where there is no such file or it says ``max``."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return float(text) if text.isdecimal() else None
