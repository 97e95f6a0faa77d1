"""``python -m queuereport``: hold the closed form, the planner's judge and the kernel against what is known.

Writes docs/queueing-validation.md and its pictures; some ten minutes on two cores.
"""

import os
import sys
from pathlib import Path

from modelreport.rows import VARIABLE, data_folder
from queuereport import report
from queuereport.figure import errors_by_load, replicas_off
from queuereport.grid import Cell, cells, own_workloads, real_workloads
from queuereport.referee import Compared, log_rows, referee_rows
from queuereport.search import Row, searched

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = Path(__file__).with_name("queueing-validation.md.in")
TRACES = "POOLWRIGHT_TRACES"


def main() -> int:
    """Write the page and its pictures."""
    folder, traces = data_folder(), os.environ.get(TRACES)
    if folder is None or not traces:
        print(f"{VARIABLE} and {TRACES} must name folders: nothing validated")
        return 2
    own = cells(own_workloads())
    real = cells(real_workloads(folder, Path(traces)), gap_cvs=(1.0,))
    written(searched(), own, real, folder, Path(traces))
    return 0


def written(rows: list[Row], own: list[Cell], real: list[Cell], folder: Path, traces: Path) -> None:
    """Write what was found."""
    answered = [row for row in rows if row.truth is not None]
    errors_by_load(own, DOCS / "queueing-errors.png")
    replicas_off(answered, DOCS / "queueing-search.png")
    plain = log_rows(folder)
    bias = next(1.0 / each.ratio for each in plain if each.name == "tbt_p50")
    parts = {
        "own": report.accuracy_table(own, lambda each: f"{each.lengths}, gap CV {each.gap_cv:g}"),
        "real": report.accuracy_table(real, lambda each: each.lengths),
        "worst": report.worst_table([*own, *real]),
        "search": report.search_table(answered),
        "kinds": report.kinds_table(answered),
        "missed": report.missed_table(answered),
        "referee": _referee(folder, traces),
        "log": report.compared_table(plain),
        "bias": f"{bias:.3f}",
        "biased": report.compared_table(log_rows(folder, bias=bias)),
        "questions": str(len(rows)),
        "unanswered": str(len(rows) - len(answered)),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, value in parts.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    (DOCS / "queueing-validation.md").write_text(text, encoding="utf-8")
    print(parts["search"])


def _referee(folder: Path, traces: Path) -> str:
    rows: list[Compared] = []
    for replicas, found in referee_rows(folder, traces).items():
        rows += [
            Compared(name=f"{replicas} replicas, {name}", kernel=each.kernel, others=each.others)
            for name, each in found.items()
        ]
    return report.compared_table(rows)


if __name__ == "__main__":
    sys.exit(main())
