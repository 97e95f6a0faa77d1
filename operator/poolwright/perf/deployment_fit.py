"""Fits one deployment's bias to measured rows: a factor on its step time, then one on its TTFT.

Which rows belong together is ``shipped.deployment_key``. Open loops are left out: at a stated rate near capacity the
time between tokens follows the queue, and a factor on steps would take the blame for it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.perf.calibration import FIRST_TOKEN_PARAMETERS, PRIORS, STEP_PARAMETERS, Calibration, calibrate
from poolwright.perf.efficiency import Efficiencies
from poolwright.perf.row_answer import answer
from poolwright.perf.row_question import RowQuestion
from poolwright.perf.shipped import DeploymentBias, DeploymentKey, deployment_key
from poolwright.perf.work import StepWork, step_work

Array = NDArray[np.float64]

BIAS_PARAMETERS: Final = ("step",)
"""What ships: a single factor on steps, which batches and lengths that were never measured may rely on."""

STEP_NOISE_LOG: Final = 0.1
"""Spread of one published TPOT around a deployment's own mean [log]: repeats differ by 1.06 in the median, 1.39 at the
90th percentile."""

FIRST_TOKEN_NOISE_LOG: Final = 0.3
"""The same of TTFT [log]: medians of it move three times as much between repeats."""

LEAST_ROWS: Final = 3
"""Rows below which a deployment's bias is not worth shipping [1]: a single published row may be any accident."""

BOUND_MARGIN: Final = 1.05
"""Distance from a bound, as a factor, within which a bias counts as being at it [1]."""


def fit_deployment(
    questions: Sequence[RowQuestion],
    tpot_s: Array,
    ttft_s: Array,
    works: Sequence[StepWork] | None = None,
    parameters: Sequence[str] | None = None,
) -> Calibration:
    """Return the factors of one deployment from its measured rows; TTFT never moves the factors of steps.

    Parameters
    ----------
    tpot_s, ttft_s
        Measured [s], in the order of the questions; what was not measured is NaN.
    parameters
        Free factors; chosen by the number of rows where None.
    """
    free = parameters or identified_parameters(len(questions))
    counted = [step_work(each.config) for each in questions] if works is None else works

    def predicted_tpot_s(factors: Efficiencies) -> Array:
        return answer(questions, factors, counted).tpot_s

    def predicted_ttft_s(factors: Efficiencies) -> Array:
        return answer(questions, factors, counted).ttft_s

    steps = calibrate(predicted_tpot_s, tpot_s, parameters=free, noise_log=STEP_NOISE_LOG)
    return calibrate(
        predicted_ttft_s,
        ttft_s,
        parameters=FIRST_TOKEN_PARAMETERS,
        start=steps.efficiencies,
        noise_log=FIRST_TOKEN_NOISE_LOG,
    )


def identified_parameters(observations: int) -> Sequence[str]:
    """Return the factors that so many rows of one deployment may free: not more than there are rows."""
    return STEP_PARAMETERS if observations >= len(STEP_PARAMETERS) else BIAS_PARAMETERS


def fit_biases(
    questions: Sequence[RowQuestion], sources: Sequence[str], tpot_s: Array, ttft_s: Array
) -> Mapping[DeploymentKey, DeploymentBias]:
    """Return the bias of every deployment that closed loops or static batches measured often enough.

    A factor at its bound is none: something else is wrong there, and that deployment gets the constants.
    """
    members: dict[DeploymentKey, list[int]] = {}
    for index, each in enumerate(questions):
        if each.kind != "open":
            members.setdefault(deployment_key(each.config), []).append(index)
    found = {
        key: _bias(rows, questions, sources, tpot_s, ttft_s) for key, rows in members.items() if len(rows) >= LEAST_ROWS
    }
    return {key: each for key, each in found.items() if _is_inside(each)}


def _is_inside(bias: DeploymentBias) -> bool:
    """Return whether both factors stay clear of their physical bounds."""
    return all(
        PRIORS[name].low * BOUND_MARGIN < value < PRIORS[name].high / BOUND_MARGIN
        for name, value in (("step", bias.step), ("first_token", bias.first_token))
    )


def _bias(
    rows: list[int], questions: Sequence[RowQuestion], sources: Sequence[str], tpot_s: Array, ttft_s: Array
) -> DeploymentBias:
    asked = [questions[index] for index in rows]
    found = fit_deployment(asked, tpot_s[rows], ttft_s[rows], parameters=BIAS_PARAMETERS).efficiencies
    return DeploymentBias(
        step=float(found.step),
        first_token=float(found.first_token),
        rows=len(rows),
        sources=tuple(sorted({sources[index] for index in rows})),
    )
