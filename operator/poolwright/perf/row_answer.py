"""Answers many benchmark questions at once: time per token, time to first token, throughput per accelerator.

All rows are stacked into one law per kind of load and settled together, so that a thousand rows take a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.perf.closed_loop import OperatingPoint, Requests, settle
from poolwright.perf.efficiency import DATASHEET, Efficiencies
from poolwright.perf.open_loop import carry, run_batch
from poolwright.perf.row_question import RowQuestion
from poolwright.perf.step_time import StepLaw
from poolwright.perf.work import StepWork, stack, step_work

Array = NDArray[np.float64]

EDGE_RATIO: Final = 0.95
"""Share of capacity at which a load that exceeds it is answered [ratio]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Predictions in the order of the questions: seconds, and output tokens per second and accelerator.

    ``decode_step_s`` is a step without prompts at the same batch.
    """

    tpot_s: Array
    decode_step_s: Array
    ttft_s: Array
    output_tokens_per_s_per_accelerator: Array
    is_saturated: NDArray[np.bool_]


def answer(
    questions: Sequence[RowQuestion],
    efficiencies: Efficiencies = DATASHEET,
    works: Sequence[StepWork] | None = None,
) -> Answers:
    """Return predictions for all questions.

    Parameters
    ----------
    efficiencies
        Factors for all rows; fields may be arrays of one factor per row.
    works
        The rows' works, where they are known already.
    """
    counted = [step_work(each.config) for each in questions] if works is None else works
    size = len(questions)
    tpot, decode, ttft, rate = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    saturated = np.zeros(size, dtype=np.bool_)
    for kind in ("closed", "open", "static"):
        rows = np.array([index for index, each in enumerate(questions) if each.kind == kind], dtype=np.intp)
        if rows.size == 0:
            continue
        law = StepLaw(work=stack([counted[index] for index in rows]), efficiencies=efficiencies.rows(rows))
        chosen = [questions[index] for index in rows]
        point = _settled(kind, law, chosen)
        share = _column([each.wave_share for each in chosen])
        accelerators = _column([each.config.accelerators for each in chosen])
        tpot[rows] = point.tpot_s[:, 0]
        decode[rows] = point.decode_step_s[:, 0]
        later_s = point.later_ttft_s if kind != "open" else _bounded_s(law, chosen, point)
        ttft[rows] = (share * point.wave_ttft_s + (1.0 - share) * later_s)[:, 0]
        rate[rows] = (point.output_tokens_per_s / accelerators)[:, 0]
        saturated[rows] = point.is_saturated[:, 0]
    return Answers(
        tpot_s=tpot,
        decode_step_s=decode,
        ttft_s=ttft,
        output_tokens_per_s_per_accelerator=rate,
        is_saturated=saturated,
    )


def _column(values: Sequence[float]) -> Array:
    return np.array(values, dtype=np.float64)[:, np.newaxis]


def _settled(kind: str, law: StepLaw, questions: Sequence[RowQuestion]) -> OperatingPoint:
    """Return the steady state of stacked rows of one kind of load."""
    requests = _requests(questions)
    load = _column([each.load for each in questions])
    limit = _column([each.resident_limit for each in questions])
    if kind == "closed":
        return settle(law, requests, load, limit)
    if kind == "open":
        return carry(law, requests, load, limit)
    return run_batch(law, requests, load)


def _bounded_s(law: StepLaw, questions: Sequence[RowQuestion], point: OperatingPoint) -> Array:
    """Return the TTFT of open rows [s]: where a rate cannot be carried, that just below capacity, a bound from below.

    A queue that grows without end has no mean; a published run was finite, so that its number is.
    """
    limit = _column([each.resident_limit for each in questions])
    edge = carry(law, _requests(questions), EDGE_RATIO * point.requests_per_s, limit)
    later_s: Array = np.where(np.isfinite(point.later_ttft_s), point.later_ttft_s, edge.later_ttft_s)
    return later_s


def _requests(questions: Sequence[RowQuestion]) -> Requests:
    """Return the lengths of stacked rows."""
    return Requests(
        input_tokens=np.array([[each.requests.input_tokens] for each in questions], dtype=np.float64),
        output_tokens=np.array([[each.requests.output_tokens] for each in questions], dtype=np.float64),
        cached_prefix_ratio=np.array([[each.requests.cached_prefix_ratio] for each in questions], dtype=np.float64),
        bunching=np.array([[each.requests.bunching] for each in questions], dtype=np.float64),
    )
