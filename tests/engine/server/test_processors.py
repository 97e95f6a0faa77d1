"""Threads are as many as processors that may be used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from poolwright.engine.server.processors import usable_processors

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", ALLOWED),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("100001 100000", min(ALLOWED, 2)),
        ("9900000 100000", min(ALLOWED, 99)),
        (None, ALLOWED),
    ],
    ids=["no quota", "half a processor", "one", "a little more than one", "many", "no container"],
)
def test_a_containers_quota_bounds_threads(quota: str | None, expected: int, tmp_path: Path) -> None:
    path = tmp_path / "cpu.max"
    if quota is not None:
        path.write_text(quota + "\n")
    assert expected == usable_processors(path)


def test_torch_uses_as_many_threads_as_it_is_told_and_a_persons_word_counts_more() -> None:
    code = (
        "from poolwright.engine.server.processors import tell_threads\n"
        "tell_threads()\n"
        "import torch; print(torch.get_num_threads())"
    )
    told = {
        given: subprocess.run(
            [sys.executable, "-c", code],
            env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | given_environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for given, given_environment in (("nothing", {}), ("one", {"OMP_NUM_THREADS": "1"}))
    }
    assert {"nothing": str(usable_processors()), "one": "1"} == told
