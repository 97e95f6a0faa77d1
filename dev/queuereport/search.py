"""The capacity search: how often each rule names the smallest number of replicas that does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

import numpy as np

from poolwright.planner.judge import simulated
from poolwright.planner.verify import closed_form, verdict_of
from queuereport.rules import by_means, by_utilisation
from queuereport.scenarios import Scenario, scenarios
from queuereport.truth import REQUESTS, answer

COUNT: Final = 400
SEED: Final = 2025
"""Of the questions that are reported; formulas were looked at on others (98, 99)."""
PROCESSES: Final = 2

RULES: Final[dict[str, Callable[[Scenario], int]]] = {
    "closed form and kernel": lambda one: _verdict(one, simulated),
    "closed form": lambda one: _verdict(one, closed_form),
    "means-only chain": by_means,
    "80 % utilisation": by_utilisation,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One question with its answer, whether that is at the edge, and what each rule says."""

    name: str
    lengths: str
    is_bursty: bool
    percentile_ratio: float
    truth: int | None
    at_edge: bool
    said: dict[str, int]

    def off(self, rule: str) -> int:
        """Return by how many replicas a rule is off."""
        if self.truth is None:
            raise ValueError(f"{self.name}: no number of replicas does")
        return self.said[rule] - self.truth


def _verdict(one: Scenario, judge: object) -> int:
    return verdict_of(one.station, one.workload, one.rates, one.objectives, judge).replicas  # type: ignore[arg-type]


def row_of(one: Scenario, requests: int = REQUESTS) -> Row:
    """Return one question's row."""
    true = answer(one, requests)
    return Row(
        name=one.name,
        lengths=one.lengths,
        is_bursty=one.is_bursty,
        percentile_ratio=one.objectives.percentile_ratio,
        truth=None if true is None else true.replicas,
        at_edge=true is not None and true.is_at_the_edge(one.objectives.percentile_ratio),
        said={name: rule(one) for name, rule in RULES.items()},
    )


def searched(count: int = COUNT, seed: int = SEED) -> list[Row]:
    """Return every question's row, in order."""
    with get_context("fork").Pool(PROCESSES) as pool:
        return pool.starmap(_nth, [(count, seed, index) for index in range(count)], chunksize=1)


def _nth(count: int, seed: int, index: int) -> Row:
    return row_of(_questions(count, seed)[index])


_KNOWN: dict[tuple[int, int], list[Scenario]] = {}


def _questions(count: int, seed: int) -> list[Scenario]:
    if (count, seed) not in _KNOWN:
        _KNOWN[count, seed] = scenarios(count, seed)
    return _KNOWN[count, seed]


def score(rows: Sequence[Row], rule: str) -> tuple[float, float, float, float]:
    """Return shares that are exact, off by one, further off, and undersized [ratio]."""
    off = np.array([row.off(rule) for row in rows])
    one = float(np.mean(np.abs(off) == 1))
    return float(np.mean(off == 0)), one, float(np.mean(np.abs(off) > 1)), float(np.mean(off < 0))
