"""A table of deployments in, a table of predictions out: every row keeps its line, with a reason where it fails.

Only describing columns are read (``perf.row_fields``); measured ones may be absent.
"""

import csv
import math
from pathlib import Path
from typing import Final

from poolwright.cli.pool_file import refuse
from poolwright.hardware.catalogue import Catalogue, load_catalogue
from poolwright.perf.row_answer import answer
from poolwright.perf.row_question import RowQuestion, question_of
from poolwright.perf.shipped import efficiencies_for
from poolwright.units import ms_from_s

COLUMNS: Final = ("row_id", "pred_tpot_ms", "pred_ttft_ms", "pred_out_tok_s_per_accel", "status")
PREDICTED: Final = "ok"
SATURATED: Final = "ok: the load exceeds what fits; requests wait"


def predict_rows(source: str, target: str, *, is_calibrated: bool) -> str:
    """Write predictions for the rows of a CSV and return a summary; bad files end the command with code 2."""
    rows = _read(source)
    catalogue = load_catalogue()
    asked = [_question(each, catalogue) for each in rows]
    predicted = iter(_predicted([each for each in asked if isinstance(each, RowQuestion)], is_calibrated=is_calibrated))
    lines = [
        {"row_id": row["row_id"], **(next(predicted) if isinstance(each, RowQuestion) else {"status": each})}
        for row, each in zip(rows, asked, strict=True)
    ]
    try:
        with Path(target).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(lines)
    except OSError as error:
        refuse(f"--out {target}: {error.strerror}")
    failed = sum(not each["status"].startswith(PREDICTED) for each in lines)
    return f"{len(lines)} rows, {len(lines) - failed} predicted, {failed} not (see column status)"


def _read(source: str) -> list[dict[str, str]]:
    """Return the rows of a CSV, which must name them."""
    try:
        with Path(source).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if "row_id" not in (reader.fieldnames or ()):
                refuse(f"--from {source}: the column row_id is missing")
            return list(reader)
    except OSError as error:
        refuse(f"--from {source}: {error.strerror}")
    except (UnicodeDecodeError, csv.Error) as error:
        refuse(f"--from {source} is not CSV: {error}")


def _question(row: dict[str, str], catalogue: Catalogue) -> RowQuestion | str:
    """Return what a row asks, or why it cannot be answered."""
    try:
        return question_of(row, catalogue)
    except ValueError as error:
        return " ".join(str(error).split())


def _predicted(questions: list[RowQuestion], *, is_calibrated: bool) -> list[dict[str, str]]:
    """Return the predicted columns of each question."""
    if not questions:
        return []
    factors = efficiencies_for([each.config for each in questions], is_calibrated=is_calibrated)
    answers = answer(questions, factors)
    columns = (answers.tpot_s, answers.ttft_s, answers.output_tokens_per_s_per_accelerator, answers.is_saturated)
    return [
        {
            "pred_tpot_ms": _number(ms_from_s(tpot_s)),
            "pred_ttft_ms": _number(ms_from_s(ttft_s)),
            "pred_out_tok_s_per_accel": _number(speed),
            "status": SATURATED if is_saturated else PREDICTED,
        }
        for tpot_s, ttft_s, speed, is_saturated in zip(*(each.tolist() for each in columns), strict=True)
    ]


def _number(value: float) -> str:
    """Return a number as text; what has no value stays empty."""
    return f"{value:.6g}" if math.isfinite(value) else ""
