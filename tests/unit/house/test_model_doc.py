"""Every equation, and every section, that a docstring names is written in docs/model.md."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NUMBER = r"\((\d+\.(?:\d+|x))\)"
CITED = re.compile(rf"[Ee]quations? {NUMBER}((?:(?:,| and| to)+ {NUMBER})*)")
LATER = re.compile(rf"(,|and|to) {NUMBER}")
SECTION = re.compile(r"[Ss]ection (\d+) of docs/model\.md|docs/model\.md section (\d+)")


def docstrings(source: str) -> list[str]:
    """Return every string that stands alone: docstrings, and those under constants."""
    return [
        " ".join(node.value.value.split())
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


def equations(text: str) -> set[str]:
    """Return the equations that a text names, every one of a range."""
    found: set[str] = set()
    for match in CITED.finditer(text):
        last = match[1]
        found.add(last)
        for joint, number in LATER.findall(match[2]):
            found |= between(last, number) if joint == "to" else {number}
            last = number
    return found


def between(first: str, last: str) -> set[str]:
    (section, low), (other, high) = first.split("."), last.split(".")
    assert section == other, f"({first}) to ({last}) runs over sections"
    assert int(low) < int(high), f"({first}) to ({last}) is no range"
    return {f"{section}.{number}" for number in range(int(low), int(high) + 1)}


def written(document: str) -> list[str]:
    blocks = re.findall(r"^```text\n(.*?)^```", document, flags=re.DOTALL | re.MULTILINE)
    return [number for block in blocks for number in re.findall(rf"^{NUMBER} ", block, flags=re.MULTILINE)]


MODEL = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
WRITTEN = written(MODEL)
SECTIONS = set(re.findall(r"^## (\d+)\. ", MODEL, flags=re.MULTILINE))
CITATIONS = sorted(
    (str(path.relative_to(ROOT)), number)
    for path in (ROOT / "operator" / "poolwright").rglob("*.py")
    for number in set().union(*map(equations, docstrings(path.read_text(encoding="utf-8"))))
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("by equation (3.1).", {"3.1"}),
        ("Equations (9.4), (9.5).", {"9.4", "9.5"}),
        ("Equations (10.4) and (10.6) of it", {"10.4", "10.6"}),
        ("equations (4.1) to (4.3) hold", {"4.1", "4.2", "4.3"}),
        ("Equations (2.x) and (5.x)", {"2.x", "5.x"}),
        ("a ratio in (0.5)", set()),
    ],
)
def test_citations_are_read_one_by_one_and_as_ranges(text: str, expected: set[str]) -> None:
    assert expected == equations(text)


@pytest.mark.parametrize(("path", "number"), CITATIONS)
def test_an_equation_that_a_docstring_names_is_written_down(path: str, number: str) -> None:
    section = number.partition(".")[0]
    known = {each.partition(".")[0] for each in WRITTEN} if number.endswith(".x") else set(WRITTEN)
    assert (section if number.endswith(".x") else number) in known, f"{path} names ({number})"


def test_docstrings_name_equations_of_every_room_that_computes() -> None:
    rooms = {Path(path).parts[2] for path, _ in CITATIONS}
    assert {"perf", "planner", "queueing"} <= rooms


def test_every_number_is_written_once_and_without_gaps() -> None:
    in_order = [f"{section}.{number}" for section in SECTIONS for number in range(1, count(section) + 1)]
    assert sorted(in_order) == sorted(WRITTEN)


def count(section: str) -> int:
    return sum(each.startswith(f"{section}.") for each in WRITTEN)


def test_sections_that_docstrings_name_exist() -> None:
    named = {
        one or other
        for path in (ROOT / "operator" / "poolwright").rglob("*.py")
        for text in docstrings(path.read_text(encoding="utf-8"))
        for one, other in SECTION.findall(text)
    }
    assert named
    assert named <= SECTIONS
