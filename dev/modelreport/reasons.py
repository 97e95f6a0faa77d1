"""Why a row resists, as far as its own columns tell: named by rule, never by its error."""

from collections.abc import Mapping

from poolwright.perf.row_question import RowQuestion

NEAR_LIMIT_RATIO = 0.95
"""Share of the cache's capacity from which small errors of memory decide who waits."""
UNSTABLE_RATIO = 1.3
"""Largest over smallest repeat from which a row counts as unstable."""


def reason(row: Mapping[str, str], question: RowQuestion) -> str:
    """Return what is special about a row by the first rule that holds, ``none found`` where none does."""
    rules = (
        (row["source"].startswith("mlperf"), "MLPerf Server or Interactive: tuned to the knee of its rate"),
        (question.kind == "open", "open loop: near saturation the batch follows capacity steeply"),
        (
            question.load >= NEAR_LIMIT_RATIO * question.resident_limit,
            "users at or above what fits: a few percent of memory decide who waits",
        ),
        (row["source"].endswith("nvinternal"), "internal run: prompts not stated, cached prefixes possible"),
        (_repeats(row) > UNSTABLE_RATIO, "repeats of this run differ by more than 1.3"),
        (question.config.accelerator.vendor == "amd", "AMD: software moved by multiples within months"),
        (question.config.accelerator.vendor == "aws", "Neuron: bucketed lengths are not modelled"),
        (bool(question.assumptions), "; ".join(question.assumptions)),
    )
    return next((text for holds, text in rules if holds), "none found")


def _repeats(row: Mapping[str, str]) -> float:
    least, most = row["tpot_repeat_min_ms"], row["tpot_repeat_max_ms"]
    return float(most) / float(least) if least and most else 1.0
