"""Three regimes of knowledge: constants only, the shipped calibration judged on groups left out, a few rows at hand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelreport.rows import Measured
from modelreport.score import Errors, errors_of
from poolwright.perf.deployment_fit import fit_biases, fit_deployment
from poolwright.perf.efficiency import Efficiencies
from poolwright.perf.row_answer import Answers, answer
from poolwright.perf.shipped import DeploymentKey, deployment_key, efficiencies_for

Array = NDArray[np.float64]
DRAWS = 3
"""Random choices of the rows at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """One regime: its name, its errors, how many predictions were judged."""

    name: str
    errors: Errors
    judged: int


def constants(data: Measured) -> Regime:
    """Return the regime without any measurement."""
    errors = errors_of(data, answer(data.questions, works=data.works))
    return Regime(name="datasheets and sourced constants", errors=errors, judged=len(data.rows))


def shipped(data: Measured) -> Regime:
    """Return the shipped calibration on the very rows that it was fitted on: no proof, a check of the fit."""
    factors = efficiencies_for([each.config for each in data.questions])
    errors = errors_of(data, answer(data.questions, factors, data.works))
    return Regime(name="shipped calibration, rows seen", errors=errors, judged=len(data.rows))


def group_of(data: Measured) -> list[str]:
    """Return the group that is left out together: model and accelerator."""
    return [f"{row['model_key']} on {row['accelerator']}" for row in data.rows]


def left_out(data: Measured) -> Regime:
    """Return the calibration fitted anew without each group, judged on that group."""
    names = np.array(group_of(data))
    step, first = np.ones(len(names)), np.ones(len(names))
    keys = [deployment_key(each.config) for each in data.questions]
    for name in np.unique(names):
        rest = np.flatnonzero(names != name)
        relevant = {keys[index] for index in np.flatnonzero(names == name)}
        used = [index for index in rest if keys[index] in relevant]
        biases = fit_biases(
            [data.questions[index] for index in used],
            [data.rows[index]["source"] for index in used],
            data.tpot_s[used],
            data.ttft_s[used],
        )
        for index in np.flatnonzero(names == name):
            bias = biases.get(keys[index])
            step[index], first[index] = (1.0, 1.0) if bias is None else (bias.step, bias.first_token)
    errors = errors_of(data, answer(data.questions, Efficiencies(step=step, first_token=first), data.works))
    return Regime(name="shipped calibration, group left out", errors=errors, judged=len(names))


def few_rows(data: Measured, count: int) -> Regime:
    """Return the regime with ``count`` random rows of the deployment at hand, judged on its other rows."""
    members: dict[tuple[DeploymentKey, str], list[int]] = {}
    for index, each in enumerate(data.questions):
        members.setdefault((deployment_key(each.config), data.rows[index]["source"]), []).append(index)
    ratios: dict[str, list[Array]] = {}
    for rows in members.values():
        for draw in range(DRAWS if len(rows) > count else 0):
            chosen = np.random.default_rng(draw).choice(rows, count, replace=False)
            others = [index for index in rows if index not in chosen]
            for name, values in _judged(data, chosen.tolist(), others).ratios.items():
                ratios.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values) for name, values in ratios.items()}
    name = f"{count} row{'s' if count > 1 else ''} of the deployment"
    return Regime(name=name, errors=Errors(ratios=joined), judged=joined["TPOT"].size)


def _judged(data: Measured, chosen: list[int], others: list[int]) -> Errors:
    """Return errors on some rows with factors learned from others."""
    fitted = fit_deployment(
        [data.questions[index] for index in chosen],
        data.tpot_s[chosen],
        data.ttft_s[chosen],
        works=[data.works[index] for index in chosen],
    )
    found = answer_some(data, others, fitted.efficiencies)
    return Errors(
        ratios={
            "TPOT": found.tpot_s / data.tpot_s[others],
            "throughput": found.output_tokens_per_s_per_accelerator / data.speed[others],
            "TTFT": found.ttft_s / data.ttft_s[others],
        }
    )


def answer_some(data: Measured, rows: list[int], factors: Efficiencies) -> Answers:
    """Return answers to some rows."""
    return answer([data.questions[index] for index in rows], factors, [data.works[index] for index in rows])
