"""Right-sizing by hand."""

from collections.abc import Mapping

import pytest

from poolwright.planner.advice.right_size import Choice, ModelCost, right_sized, within_budget
from poolwright.planner.policy import TaskClass


def model(name: str, usd: float | None, accuracies: Mapping[str, float], billions: float = 8.0) -> ModelCost:
    return ModelCost(
        name=name, parameters=billions, usd_per_request=usd, latency_s=2.0, accuracy_ratios=dict(accuracies)
    )


def task(name: str = "chat", least: float = 0.0, share: float = 1.0, relevance: float = 1.0) -> TaskClass:
    return TaskClass(name=name, request_ratio=share, min_accuracy_ratio=least, relevance=relevance)


SMALL = model("small", 0.001, {"chat": 0.8})
LARGE = model("large", 0.004, {"chat": 0.96}, billions=70.0)


def chosen(least: float, *models: ModelCost) -> Choice:
    (found,) = right_sized([task(least=least)], models)
    return found


@pytest.mark.parametrize(("least", "name", "cost"), [(0.5, "small", 0.00125), (0.9, "large", 0.004 / 0.96)])
def test_the_cheapest_success_among_acceptable_models_wins(least: float, name: str, cost: float) -> None:
    found = chosen(least, LARGE, SMALL)
    assert (name, pytest.approx(cost)) == (found.model, found.usd_per_success)


def test_a_cheap_model_that_fails_often_is_dear() -> None:
    # 0.001 / 0.2 = 0.005 a success against 0.004 / 0.96 = 0.0042
    found = chosen(0.0, model("tiny", 0.001, {"chat": 0.2}), LARGE)
    assert ("large", "tiny", pytest.approx(0.005)) == (found.model, found.runner_up, found.runner_up_usd_per_success)


def test_of_equal_costs_the_smaller_model_is_taken() -> None:
    twin = model("a-large-twin", 0.001, {"chat": 0.8}, billions=70.0)
    assert "small" == chosen(0.0, twin, SMALL).model


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([SMALL, LARGE], "none reaches 99 %: large comes nearest with 96 %"),
        ([model("mute", 0.001, {})], "no model states its accuracy for chat"),
        ([model("heavy", None, {"chat": 1.0})], "heavy: accurate enough, but no accelerator with a price"),
    ],
)
def test_where_no_model_is_acceptable_it_says_why(models: list[ModelCost], words: str) -> None:
    found = chosen(0.99, *models)
    assert (None, 0.0, True) == (found.model, found.served_ratio, words in found.detail)


def test_a_budget_serves_what_is_worth_most_for_a_dollar_first_and_the_last_in_part() -> None:
    tasks = [task("chat", share=0.5), task("code", share=0.5, relevance=3.0)]
    both = model("small", 0.001, {"chat": 0.8, "code": 0.8})
    # 10/s of each would take 0.01 $/s each: 0.015 $/s does for all the code and half of the chat
    chat, code = within_budget(right_sized(tasks, [both]), 20.0, 0.015)
    assert (0.5, 1.0) == (pytest.approx(chat.served_ratio), code.served_ratio)
    # U = 0.8 x 3 / 2 s
    assert 1.2 == pytest.approx(code.utility)
    assert [1.0, 1.0] == [each.served_ratio for each in within_budget([chat, code], 20.0, None)]
