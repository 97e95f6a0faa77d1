"""The report's text: tables in Markdown, from errors that others computed."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from modelreport.elsewhere import LoggedRun
from modelreport.reasons import reason
from modelreport.regimes import Regime
from modelreport.rows import Measured
from modelreport.score import QUANTITIES, Errors, cell, groups

WORST = 25
"""Rows shown as the worst of a quantity."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, numbers to the right.

    >>> print(table(["a", "b"], [["x", "1"]]))
    | a | b |
    |---|---:|
    | x | 1 |
    """
    rule = "|---|" + "---:|" * (len(header) - 1)
    lines = ["| " + " | ".join(each) + " |" for each in ([*header], *rows)]
    return "\n".join([lines[0], rule, *lines[1:]])


def regimes_table(regimes: Sequence[Regime]) -> str:
    """Return the regimes, one a line."""
    return table(
        ["what is known", *QUANTITIES, "predictions"],
        [[each.name, *(cell(each.errors, name) for name in QUANTITIES), str(each.judged)] for each in regimes],
    )


def column_table(errors: Errors, name: str, values: Sequence[str]) -> str:
    """Return errors by the values of a column, with the median of predicted over measured."""
    rows = []
    for value, mask in groups(values).items():
        cells = [f"{cell(errors, each, mask)} ({errors.centre(each, mask):.2f})" for each in QUANTITIES]
        rows.append([value, str(int(mask.sum())), *(each.replace("- (nan)", "-") for each in cells)])
    return table([name, "rows", *QUANTITIES], rows)


def load_of(data: Measured) -> list[str]:
    """Return each row's load in powers of four: sequences of closed loops and batches; open loops apart."""
    return [
        "open loop" if each.kind == "open" else _band(each.load, "batch" if each.kind == "static" else "users")
        for each in data.questions
    ]


def _band(load: float, unit: str) -> str:
    low = 4 ** int(np.floor(np.log(max(load, 1.0)) / np.log(4.0) + 1e-9))
    return f"{low} to {4 * low - 1} {unit}"


def worst_table(data: Measured, errors: Errors, quantity: str) -> str:
    """Return the rows whose ratio is furthest from one either way."""
    distance = np.abs(np.log(errors.ratios[quantity]))
    order = np.argsort(-np.where(np.isnan(distance), -1.0, distance))[:WORST]
    rows = []
    for index in order:
        row, each = data.rows[index], data.questions[index]
        what = f"{row['model_key']} {each.config.weight_format} on {each.config.ranks} x {row['accelerator']}"
        load = f"{each.kind} {each.load:.4g}, {row['isl']} / {row['osl']}"
        ratio = errors.ratios[quantity][index]
        rows.append([row["row_id"], f"{ratio:.2f}", what, load, reason(row, each)])
    return table(["row", "predicted / measured", "deployment", "load, in / out tokens", "what its columns say"], rows)


def ablation_table(full: Errors, without: Iterable[tuple[str, Errors]]) -> str:
    """Return the errors with each effect missing, those of TPOT that suffer most first."""
    rows = sorted(without, key=lambda item: -item[1].median("TPOT"))
    cells = [[name, *(cell(each, quantity) for quantity in QUANTITIES)] for name, each in rows]
    return table(["without", *QUANTITIES], [["(nothing missing)", *(cell(full, name) for name in QUANTITIES)], *cells])


def static_table(data: Measured, errors: Errors) -> str:
    """Return the Splitwise tables by accelerator and tensor parallelism."""
    names = [f"{row['accelerator']}, TP {row['tp']}" for row in data.rows]
    rows = []
    for name, mask in groups(names).items():
        cells = [f"{cell(errors, each, mask)} ({errors.centre(each, mask):.2f})" for each in ("TPOT", "TTFT")]
        rows.append([name, str(int(mask.sum())), *cells])
    return table(["deployment", "shapes", "TPOT", "TTFT"], rows)


def log_text(run: LoggedRun) -> str:
    """Return the comparison with a real engine's log."""
    ratio = run.predicted_tokens_per_s / run.measured_tokens_per_s
    total = run.predicted_tokens_per_s.sum() / run.measured_tokens_per_s.sum()
    off = 100 * np.median(np.abs(ratio - 1.0))
    return (
        f"Over {ratio.size} seconds with 16 and more running sequences: predicted over measured tokens {total:.3f} in "
        f"all, second by second off by {off:.1f} % in the median (one second holds few steps and its counters lag). "
        f"Mean time between tokens {1e3 * run.predicted_tpot_s:.1f} ms against {1e3 * run.measured_tpot_s:.1f} ms."
    )


def refused_text(refused: Mapping[str, str]) -> str:
    """Return rows that cannot be predicted, with the reason."""
    return table(["row", "reason"], sorted(refused.items())) if refused else "None."
