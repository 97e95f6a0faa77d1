"""What right-sizing keeps true whatever the models."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwright.planner.advice.right_size import Choice, ModelCost, right_sized, within_budget
from poolwright.planner.policy import TaskClass

RATIOS = st.integers(0, 100).map(lambda each: each / 100.0)
COSTS = st.floats(1e-5, 1e-1)


@st.composite
def rated(draw: st.DrawFn) -> list[ModelCost]:
    number = draw(st.integers(1, 5))
    return [
        ModelCost(
            name=f"m{index}",
            parameters=float(draw(st.integers(1, 400))),
            usd_per_request=draw(st.none() | COSTS),
            latency_s=draw(st.floats(0.01, 60.0)),
            accuracy_ratios={} if draw(st.booleans()) and index else {"t": draw(RATIOS)},
        )
        for index in range(number)
    ]


def chosen(models: list[ModelCost], least: float) -> Choice:
    (found,) = right_sized([TaskClass(name="t", request_ratio=1.0, min_accuracy_ratio=least)], models)
    return found


@given(rated(), RATIOS, RATIOS)
def test_asking_for_more_accuracy_never_lowers_the_cost_of_a_success(
    models: list[ModelCost], one: float, other: float
) -> None:
    low, high = (chosen(models, least) for least in sorted((one, other)))
    if high.usd_per_success is not None:
        assert low.usd_per_success is not None
        assert low.usd_per_success <= high.usd_per_success


@given(rated(), RATIOS)
def test_what_is_chosen_is_accurate_enough_and_no_dominated_model(models: list[ModelCost], least: float) -> None:
    found = chosen(models, least)
    assert found.accuracy_ratio >= least or found.model is None
    for each in models:
        if found.model is None or each.usd_per_request is None or each.name == found.model:
            continue
        accuracy = each.accuracy_ratios.get("t", -1.0)
        no_worse = each.usd_per_request <= found.usd_per_request and accuracy >= found.accuracy_ratio
        better = each.usd_per_request < found.usd_per_request or accuracy > found.accuracy_ratio
        assert not (no_worse and better), each


@given(rated(), RATIOS)
def test_the_order_of_the_models_does_not_matter(models: list[ModelCost], least: float) -> None:
    assert chosen(models, least).model == chosen(models[::-1], least).model


@st.composite
def classes(draw: st.DrawFn) -> list[Choice]:
    number = draw(st.integers(1, 4))
    return [
        Choice(
            task=TaskClass(name=f"t{index}", request_ratio=1.0 / number),
            model="m",
            detail="",
            usd_per_request=draw(COSTS),
            utility=draw(st.floats(0.01, 10.0)),
        )
        for index in range(number)
    ]


def value(choices: tuple[Choice, ...]) -> float:
    return sum(each.utility * each.served_ratio * each.task.request_ratio for each in choices)


def spent(choices: tuple[Choice, ...], rate: float) -> float:
    return sum(each.usd_per_request * each.served_ratio * each.task.request_ratio * rate for each in choices)


def in_order(choices: list[Choice], order: tuple[int, ...], rate: float, budget: float) -> tuple[Choice, ...]:
    """Serve classes in a given order until the money is spent."""
    served = list(choices)
    for index in order:
        needed = rate * choices[index].task.request_ratio * choices[index].usd_per_request
        share = min(budget / needed, 1.0)
        served[index] = replace(choices[index], served_ratio=share)
        budget = max(budget - share * needed, 0.0)
    return tuple(served)


@given(classes(), st.floats(0.1, 100.0), st.floats(0.0, 2.0))
def test_no_order_gets_more_utility_for_the_budget_and_none_is_overspent(
    choices: list[Choice], rate: float, budget: float
) -> None:
    found = within_budget(choices, rate, budget)
    assert spent(found, rate) <= budget * (1.0 + 1e-9)
    best = max(value(in_order(choices, order, rate, budget)) for order in permutations(range(len(choices))))
    assert best == pytest.approx(value(found), rel=1e-9)
