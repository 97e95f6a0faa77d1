"""Which model each class of tasks should go to, and which classes first when money does not do for all.

The smallest acceptable model by cost per *successful* task; a pure choice among figures that ``model_costs`` computed.
Equations (12.16) to (12.18) of docs/model.md. Advice: a pool deploys ``model.name`` whatever this says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from poolwright.planner.policy import TaskClass
from poolwright.units import percent_from_ratio

PER_THOUSAND: Final = 1000.0
"""Requests that a cost is shown for: single ones cost fractions of a cent."""

LEAST_LATENCY_S: Final = 1e-3
"""Latency below which an answer is not worth more [s]: nobody notices, and utility stays finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCost:
    """What a request costs on a model, within a tier's objectives.

    Attributes
    ----------
    name, parameters
        The model and its size.
    usd_per_request
        On the cheapest variant [$], or None where none meets the objectives or has a price.
    latency_s
        Mean time of a whole request there [s].
    accuracy_ratios
        Share of tasks that succeed, by class; a class that is not named is unknown, never 0.
    """

    name: str
    parameters: float
    usd_per_request: float | None
    latency_s: float
    accuracy_ratios: Mapping[str, float]

    def usd_per_success(self, task: str) -> float | None:
        """Return cost over accuracy [$ per successful task], equation (12.16); None where either is unknown or 0."""
        accuracy = self.accuracy_ratios.get(task, 0.0)
        return None if self.usd_per_request is None or accuracy <= 0.0 else self.usd_per_request / accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The model of one class.

    Attributes
    ----------
    model, runner_up
        Chosen, and the next; None where no model is acceptable (or no second).
    usd_per_success, runner_up_usd_per_success
        Cost of a task that succeeds [$].
    accuracy_ratio, usd_per_request, utility
        Of the chosen model; utility is A R / L^k.
    detail
        Why, with figures.
    served_ratio
        Share of the class's requests that the budget does for.
    """

    task: TaskClass
    model: str | None
    detail: str
    accuracy_ratio: float = 0.0
    usd_per_request: float = 0.0
    usd_per_success: float | None = None
    utility: float = 0.0
    runner_up: str | None = None
    runner_up_usd_per_success: float | None = None
    served_ratio: float = 0.0


def right_sized(tasks: Sequence[TaskClass], models: Sequence[ModelCost]) -> tuple[Choice, ...]:
    """Return the choice for each class, in the order of the classes."""
    return tuple(_choice(each, models) for each in tasks)


def _choice(task: TaskClass, models: Sequence[ModelCost]) -> Choice:
    known = [each for each in models if task.name in each.accuracy_ratios]
    good = [each for each in known if each.accuracy_ratios[task.name] >= task.min_accuracy_ratio]
    priced = [(cost, each) for each in good if (cost := each.usd_per_success(task.name)) is not None]
    if not priced:
        return Choice(task=task, model=None, detail=_why_none(task, known, good))
    ranked = sorted(priced, key=lambda pair: (pair[0], pair[1].parameters, pair[1].name))
    (cost, best), others = ranked[0], ranked[1:]
    accuracy, per_request = best.accuracy_ratios[task.name], best.usd_per_request or 0.0
    detail = (
        f"{PER_THOUSAND * per_request:.4g} $ per 1000 requests / {percent_from_ratio(accuracy):g} % = "
        f"{PER_THOUSAND * cost:.4g} $ per 1000 successful; {len(good)} of {len(models)} models reach "
        f"{percent_from_ratio(task.min_accuracy_ratio):g} %"
    )
    return Choice(
        task=task,
        model=best.name,
        detail=detail,
        accuracy_ratio=accuracy,
        usd_per_request=per_request,
        usd_per_success=cost,
        utility=utility(task, accuracy, best.latency_s),
        runner_up=others[0][1].name if others else None,
        runner_up_usd_per_success=others[0][0] if others else None,
        served_ratio=1.0,
    )


def _why_none(task: TaskClass, known: Sequence[ModelCost], good: Sequence[ModelCost]) -> str:
    goal = percent_from_ratio(task.min_accuracy_ratio)
    if not known:
        return f"no model states its accuracy for {task.name}"
    if good:
        names = ", ".join(each.name for each in good)
        return f"{names}: accurate enough, but no accelerator with a price serves it within the objectives"
    best = max(known, key=lambda each: each.accuracy_ratios[task.name])
    return f"none reaches {goal:g} %: {best.name} comes nearest with {_percent(best, task):g} %"


def _percent(model: ModelCost, task: TaskClass) -> float:
    return percent_from_ratio(model.accuracy_ratios[task.name])


def utility(task: TaskClass, accuracy_ratio: float, latency_s: float) -> float:
    """Return what an answer is worth: U = A R / L^k, equation (12.17).

    >>> quick = TaskClass(name="chat", request_ratio=1.0, relevance=2.0, latency_exponent=1.0)
    >>> utility(quick, 0.9, 3.0)
    0.6
    """
    return accuracy_ratio * task.relevance * math.pow(max(latency_s, LEAST_LATENCY_S), -task.latency_exponent)


def within_budget(choices: Sequence[Choice], rate_per_s: float, budget_usd_per_s: float | None) -> tuple[Choice, ...]:
    """Return the choices with the share of each class that is served: most utility per dollar first, equation (12.18).

    Parameters
    ----------
    choices
        Of every class; those without a model are not served.
    rate_per_s
        Requests of all classes [1/s].
    budget_usd_per_s
        Money [$/s], or None without limit.
    """
    left = budget_usd_per_s
    served: dict[str, float] = {}
    order = [each for each in choices if each.model is not None]
    for each in sorted(order, key=lambda one: (-_worth(one), one.task.name)):
        needed = rate_per_s * each.task.request_ratio * each.usd_per_request
        share = 1.0 if left is None or needed <= left else left / needed
        served[each.task.name] = share
        left = None if left is None else max(left - share * needed, 0.0)
    return tuple(replace(each, served_ratio=served.get(each.task.name, 0.0)) for each in choices)


def _worth(choice: Choice) -> float:
    """Return utility per dollar."""
    return choice.utility / choice.usd_per_request if choice.usd_per_request > 0.0 else float("inf")
