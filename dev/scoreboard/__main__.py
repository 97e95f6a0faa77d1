"""``python -m scoreboard [CASE ...]``: play what is missing of the cases named (or of all), write docs/scoreboard.md.

Rows are kept under POOLWRIGHT_SCOREBOARD (``build/scoreboard``); ``--report`` only writes the page from those.
"""

import os
import sys
from pathlib import Path

from poolwright.replay.source_files import find_source
from scoreboard.cases import CASES, LONG, Case, case_of
from scoreboard.figure import timeline
from scoreboard.forecast import qualities
from scoreboard.knobs import KNOBS
from scoreboard.play import CLAIRVOYANT, STATIC, bounds_of, row_of
from scoreboard.report import page
from scoreboard.table import lines_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = Path(__file__).with_name("scoreboard.md.in")
HELD_OUT = (("azure2024", 1.0, 7, 3), ("servegen", 0.1, 14, 5))
"""Trace, factor, days, and days that forecasters are fitted on."""
SHORT = ("planned", "hpa-running", "means-only", "slo-ratio")
"""Policies that whole traces are played with, besides static peak and the clairvoyant."""
DRAWN = (("azure2024", ("planned", "slo-ratio")), ("burst", ("planned", "slo-ratio")))


def main(arguments: list[str]) -> int:
    """Play, write the page and the plots."""
    traces = os.environ.get("POOLWRIGHT_TRACES")
    if traces is None:
        print("POOLWRIGHT_TRACES names no folder of traces: nothing replayed")
        return 2
    if "--report" not in arguments:
        for case in [case_of(name) for name in arguments] or [*CASES, *LONG]:
            _play(case)
    held_out = {
        name: qualities(find_source(name, Path(traces), factor=factor), days, train)
        for name, factor, days, train in HELD_OUT
    }
    (DOCS / "scoreboard.md").write_text(page(PAGE.read_text(), held_out))
    for name, policies in DRAWN:
        if lines_of(case_of(name)):
            timeline(case_of(name), policies, DOCS / f"scoreboard-{name}.png")
    return 0


def _play(case: Case) -> None:
    bounds_of(case)
    is_long = case in LONG
    for policy in (STATIC, CLAIRVOYANT, *(SHORT if is_long else KNOBS)):
        for settings in ({},) if is_long else KNOBS.get(policy, ({},)):
            row = row_of(case, policy, settings)
            print(
                f"{case.name:20} {policy:18} {row.label:32} {row.rest.violating_ratio:7.2%} {row.rest.usd:10.0f} $",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
