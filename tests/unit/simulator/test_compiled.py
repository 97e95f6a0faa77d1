"""Kept machine code is of the sources at hand, or it is made anew."""

import subprocess
import sys
from pathlib import Path

from poolwright.simulator import compiled, kernel

PACKAGE = Path(compiled.__file__).resolve().parents[1]


def test_a_change_in_any_source_has_a_place_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "entry.py").write_text("x = 1\n")
    (tmp_path / "called.py").write_text("y = 1\n")
    before = compiled.digest(tmp_path)
    assert before == compiled.digest(tmp_path)
    (tmp_path / "called.py").write_text("y = 2\n")
    changed = compiled.digest(tmp_path)
    assert before != changed
    (tmp_path / "called.py").rename(tmp_path / "other.py")
    assert changed != compiled.digest(tmp_path)


def test_kept_code_lies_under_the_state_of_all_sources() -> None:
    assert f"poolwright-{compiled.digest(compiled.HERE)}" in kernel.run.stats.cache_path  # type: ignore[attr-defined]


def test_nothing_is_compiled_outside_the_folder_whose_state_is_the_key() -> None:
    using = {path.parent for path in PACKAGE.rglob("*.py") if "simulator.compiled import" in path.read_text()}
    assert {compiled.HERE} == using


def test_whoever_does_not_simulate_does_not_pay_for_the_compiler() -> None:
    script = "import sys, poolwright.simulator.pool, poolwright.planner.plan; sys.exit('numba' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", script], check=False).returncode
