"""Published measurements: the rows of a table that is read by path, the questions they ask, and what was measured.

The table is not part of this repository. ``POOLWRIGHT_MEASUREMENTS`` names the folder that holds ``benchmarks.csv`` and
``measured/``; what needs them is skipped where it is not set.
"""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.row_question import RowQuestion, question_of
from poolwright.perf.work import StepWork, step_work

Array = NDArray[np.float64]
VARIABLE = "POOLWRIGHT_MEASUREMENTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Rows that can be predicted, with their questions and measurements; ``refused`` maps the others to reasons.

    ``tpot_s`` and ``ttft_s`` in seconds, ``speed`` in output tokens per second and accelerator; NaN where absent.
    """

    rows: tuple[Mapping[str, str], ...]
    questions: tuple[RowQuestion, ...]
    works: tuple[StepWork, ...]
    tpot_s: Array
    ttft_s: Array
    speed: Array
    refused: Mapping[str, str]

    def column(self, name: str) -> list[str]:
        """Return a column, ``-`` where it is empty."""
        return [row[name] or "-" for row in self.rows]


def data_folder() -> Path | None:
    """Return the folder of the measurements, None where it is not named or not there."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named and (Path(named) / "benchmarks.csv").is_file() else None


def read_measured(folder: Path) -> Measured:
    """Return all rows of ``benchmarks.csv``."""
    with (folder / "benchmarks.csv").open(encoding="utf-8", newline="") as file:
        return measured_rows(list(csv.DictReader(file)))


def measured_rows(table: list[dict[str, str]]) -> Measured:
    """Return rows with their questions."""
    catalogue = load_catalogue()
    rows, questions, refused = [], [], {}
    for row in table:
        try:
            questions.append(question_of(row, catalogue))
        except ValueError as error:
            refused[row["row_id"]] = str(error)
        else:
            rows.append(row)
    return Measured(
        rows=tuple(rows),
        questions=tuple(questions),
        works=tuple(step_work(each.config) for each in questions),
        tpot_s=_numbers(rows, "tpot_ms") / 1e3,
        ttft_s=_numbers(rows, "ttft_ms") / 1e3,
        speed=_numbers(rows, "out_tok_s_per_accel"),
        refused=refused,
    )


def _numbers(rows: list[dict[str, str]], name: str) -> Array:
    return np.array([float(row[name]) if row[name] else np.nan for row in rows])
