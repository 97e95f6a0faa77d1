"""Rules of the house that no linter knows."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LONGEST_FILE_LINES = 300


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return [ROOT / name for name in listed if (ROOT / name).exists()]


def test_the_source_root_named_operator_never_shadows_the_standard_library() -> None:
    assert [path.name for path in (ROOT / "operator").glob("*.py")] == []


@pytest.mark.parametrize(
    "name",
    ["pyproject.toml", "README.md", "operator", "crds", "charts", "policies", "tests", "kind-config.yaml", ".ci/run"],
)
def test_the_top_level_holds_what_a_newcomer_looks_for(name: str) -> None:
    assert (ROOT / name).exists()


def test_no_source_file_outgrows_two_nouns() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py")
        if "tests" not in path.parts and (lines := path.read_text().count("\n")) > LONGEST_FILE_LINES
    }
    assert long == {}


def test_lock_files_pin_by_hash_and_name_no_host() -> None:
    for lock in (ROOT / "locks").glob("*.txt"):
        text = lock.read_text()
        assert "://" not in text, lock.name
        pins = re.findall(r"^[a-z0-9][^=\n ]*==", text, flags=re.MULTILINE | re.IGNORECASE)
        assert pins, lock.name
        assert text.count("--hash=sha256:") >= len(pins), lock.name
