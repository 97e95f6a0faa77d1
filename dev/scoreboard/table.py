"""Rows of a case as people compare them: default, tuned on the first part and frozen, tuned in hindsight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scoreboard.cases import Case
from scoreboard.knobs import KNOBS
from scoreboard.play import CLAIRVOYANT, FOLDER, STATIC, Row, bounds_of, loaded

ALLOWED: Final = 0.01
"""Share of minutes that may violate for a row to count as attaining the objective [ratio]."""
OURS: Final = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: a policy's row chosen in one of three ways, with its cost over the bound's and over static's."""

    policy: str
    way: str
    row: Row
    over_bound: float
    over_static: float

    @property
    def attains(self) -> bool:
        """Whether few enough minutes violate."""
        return self.row.rest.violating_ratio <= ALLOWED


def rows_of(case: Case) -> list[Row]:
    """Return what was played of a case."""
    found = [loaded(path) for path in sorted(FOLDER.glob(f"{case.name}--*.json")) if path.stem.count("--") > 1]
    return [row for row in found if row.settings in [dict(each) for each in KNOBS.get(row.policy, ({},))]]


def lines_of(case: Case) -> list[Line]:
    """Return the lines of a case; nothing while static peak was not played."""
    rows = rows_of(case)
    by_policy: dict[str, list[Row]] = {}
    for row in rows:
        by_policy.setdefault(row.policy, []).append(row)
    if STATIC not in by_policy:
        return []
    bound_usd, static_usd = bounds_of(case)["rest"], by_policy[STATIC][0].rest.usd

    def line(way: str, row: Row) -> Line:
        usd = row.rest.usd
        return Line(policy=row.policy, way=way, row=row, over_bound=usd / bound_usd, over_static=usd / static_usd)

    lines = []
    order = [CLAIRVOYANT, STATIC, OURS, *sorted(set(by_policy) - {CLAIRVOYANT, STATIC, OURS})]
    for policy in (each for each in order if each in by_policy):
        played = by_policy[policy]
        lines += [line("default", row) for row in played if not row.settings]
        if len(played) > 1:
            lines.append(line("frozen", chosen(played, "tuned")))
            lines.append(line("hindsight", chosen(played, "rest")))
    return lines


def chosen(rows: Sequence[Row], part: str) -> Row:
    """Return the cheapest row that attains the objective in a part; the least violating one where none does."""

    def violating(row: Row) -> float:
        return float(getattr(row, part).violating_ratio)

    attaining = [row for row in rows if violating(row) <= ALLOWED]
    if attaining:
        return min(attaining, key=lambda row: float(getattr(row, part).usd))
    return min(rows, key=lambda row: (violating(row), float(getattr(row, part).usd)))


def saving_ratio(line: Line) -> float:
    """Return which share of what the bound saves over static peak a line saves [ratio]."""
    static = line.over_bound / line.over_static
    return (static - line.over_bound) / (static - 1.0)


def whole_saving_ratio(case: Case, line: Line) -> float:
    """Return the same over all of a case, the part for tuning included [ratio]."""
    static = next(row for row in rows_of(case) if row.policy == STATIC)
    bound_usd = bounds_of(case)["whole"]
    return (static.whole.usd - line.row.whole.usd) / (static.whole.usd - bound_usd)
