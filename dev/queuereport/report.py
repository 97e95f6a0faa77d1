"""The page's text: tables in Markdown, from what others computed."""

from collections.abc import Callable, Sequence

import numpy as np

from modelreport.report import table
from queuereport.grid import FIGURES, Cell
from queuereport.referee import Compared
from queuereport.search import RULES, Row, score

WORST = 20
"""Rows shown as the worst."""
SPLIT_LOAD = 0.8
"""Load up to which the closed form is to be right, and above which it may not be [ratio]."""


def _percent(value: float) -> str:
    return f"{100.0 * value:.0f} %" if np.isfinite(value) else "infinite"


def _error(values: Sequence[float]) -> str:
    """Return the median with its sign, and the 90th percentile of the distance, in percent."""
    known = np.array([each for each in values if not np.isnan(each)])
    return f"{100.0 * np.median(known):+.0f} / {100.0 * np.quantile(np.abs(known), 0.9):.0f}"


def accuracy_table(cells: Sequence[Cell], by: Callable[[Cell], str]) -> str:
    """Return errors by figure, and by a property of the run, up to ``SPLIT_LOAD`` and above."""
    rows = []
    for is_low, span in ((True, "to 80 %"), (False, "85-95 %")):
        kept = [each for each in cells if (each.load <= SPLIT_LOAD) is is_low]
        for group in dict.fromkeys(by(each) for each in kept):
            inside = [each for each in kept if by(each) == group]
            errors = [_error([each.errors[name] for each in inside]) for name in FIGURES]
            rows.append([f"{group}, load {span}", str(len(inside)), *errors])
    return table(["runs", "number", *FIGURES], rows)


def worst_table(cells: Sequence[Cell]) -> str:
    """Return the runs up to ``SPLIT_LOAD`` with the largest errors in the 95th percentile of TTFT, with a reason."""
    low = [each for each in cells if each.load <= SPLIT_LOAD]
    order = sorted(low, key=lambda each: -abs(np.log(max(each.errors["TTFT p95"] + 1.0, 1e-3))))[:WORST]
    rows = [
        [each.lengths, str(each.cap), str(each.replicas), f"{each.gap_cv:g}", _percent(each.load)]
        + [f"{100.0 * each.errors[name]:+.0f} %" for name in FIGURES]
        + [_reason(each)]
        for each in order
    ]
    return table(["lengths", "cap", "replicas", "gap CV", "load", *FIGURES, "what its columns say"], rows)


def _reason(cell: Cell) -> str:
    if cell.lengths == "fixed" and cell.replicas > 1:
        return "equal answers end together: convoys"
    if cell.gap_cv > 1.0:
        return "bursts" + (" at a small cap" if cell.cap <= WORST else "")
    return "long prompts" if cell.lengths in {"Mooncake", "ServeGen"} else "near the cap"


def search_table(rows: Sequence[Row]) -> str:
    """Return scores of every rule, on all questions and on those whose answer is beyond sampling error."""
    sure = [row for row in rows if not row.at_edge]
    lines = []
    for rule in RULES:
        for name, kept in (("all", rows), ("not at the edge", sure)):
            exact, one, more, under = score(kept, rule)
            shares = [f"{100.0 * each:.1f} %" for each in (exact, one, more, under)]
            lines.append([f"{rule}, {name}", str(len(kept)), *shares])
    return table(["rule, questions", "number", "exact", "off by one", "off by more", "too few"], lines)


def kinds_table(rows: Sequence[Row]) -> str:
    """Return the closed form's and the judge's share of exact answers, and of too few, by kind of question."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        arrivals = "three rates" if row.is_bursty else "one rate"
        for name in (f"{row.lengths} lengths", arrivals, f"p{100.0 * row.percentile_ratio:g}"):
            kinds.setdefault(name, []).append(row)
    lines = []
    for name, kept in sorted(kinds.items()):
        shares = [score(kept, rule)[at] for rule in ("closed form", "closed form and kernel") for at in (0, 3)]
        lines.append([name, str(len(kept)), *(f"{100.0 * each:.0f} %" for each in shares)])
    return table(["questions", "number", "closed form exact", "too few", "with kernel exact", "too few"], lines)


def missed_table(rows: Sequence[Row]) -> str:
    """Return every question on which the judge is not exact."""
    rule = "closed form and kernel"
    lines = [
        [
            row.name,
            row.lengths,
            f"p{100.0 * row.percentile_ratio:g}",
            "three" if row.is_bursty else "one",
            str(row.said["closed form"]),
            str(row.said[rule]),
            str(row.truth),
            "yes" if row.at_edge else "no",
        ]
        for row in rows
        if row.off(rule)
    ]
    header = ["replica", "lengths", "percentile", "rates", "closed form", "with kernel", "truth", "at the edge"]
    return table(header, lines) if lines else "None."


def compared_table(rows: Sequence[Compared]) -> str:
    """Return what the kernel and others say, in seconds."""
    lines = [
        [each.name, f"{each.kernel:.3g}", ", ".join(f"{other:.3g}" for other in each.others), f"{each.ratio:.2f}"]
        for each in rows
    ]
    return table(["figure", "kernel [s]", "others [s]", "ratio to their mean"], lines)
