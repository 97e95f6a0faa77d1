"""Errors of predictions: absolute percentage errors, their median and 90th percentile, in all and by column."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelreport.rows import Measured
from poolwright.perf.row_answer import Answers

Array = NDArray[np.float64]

QUANTITIES = ("TPOT", "throughput", "TTFT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Predicted over measured of each row and quantity, NaN where nothing was measured."""

    ratios: dict[str, Array]

    def median(self, quantity: str, rows: NDArray[np.bool_] | None = None) -> float:
        """Return the median absolute percentage error, as a ratio."""
        return self.quantile(quantity, 0.5, rows)

    def quantile(self, quantity: str, level: float, rows: NDArray[np.bool_] | None = None) -> float:
        """Return a quantile of it; NaN without rows."""
        ratios = self.ratios[quantity] if rows is None else self.ratios[quantity][rows]
        known = np.abs(ratios[~np.isnan(ratios)] - 1.0)
        return float(np.quantile(known, level)) if known.size else float("nan")

    def centre(self, quantity: str, rows: NDArray[np.bool_]) -> float:
        """Return the median of predicted over measured."""
        known = self.ratios[quantity][rows]
        known = known[~np.isnan(known)]
        return float(np.median(known)) if known.size else float("nan")


def errors_of(data: Measured, answers: Answers) -> Errors:
    """Return the errors of answers to all rows."""
    return Errors(
        ratios={
            "TPOT": answers.tpot_s / data.tpot_s,
            "throughput": answers.output_tokens_per_s_per_accelerator / data.speed,
            "TTFT": answers.ttft_s / data.ttft_s,
        }
    )


def groups(values: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Return a mask for each value, the most frequent first."""
    array = np.array(values)
    names, counts = np.unique(array, return_counts=True)
    order = sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda item: (-item[1], item[0]))
    return {name: array == name for name, _ in order}


def cell(errors: Errors, quantity: str, rows: NDArray[np.bool_] | None = None) -> str:
    """Return ``median / p90`` in percent, a dash where nothing was measured.

    >>> cell(Errors(ratios={"TPOT": np.array([1.1, 0.8, 1.3])}), "TPOT")
    '20.0 / 28'
    """
    median = errors.median(quantity, rows)
    return "-" if np.isnan(median) else f"{100 * median:.1f} / {100 * errors.quantile(quantity, 0.9, rows):.0f}"
