"""Right-sizing as ``plan`` shows it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from poolwright.cli.main import main

CHAT = Path(__file__).resolve().parents[3] / "examples" / "chat.yaml"
SMALL, LARGE = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-70B-Instruct"


def pool(**spec: Any) -> str:
    document = yaml.safe_load(CHAT.read_text())
    document["spec"] |= {
        "model": {
            "name": LARGE,
            "accuracies": accuracies(chat=95, code=88),
            "alternatives": [{"name": SMALL, "accuracies": accuracies(chat=91, code=62)}],
        },
        "taskClasses": [
            {"name": "chat", "requestPercent": 80, "minAccuracyPercent": 90},
            {"name": "code", "requestPercent": 20, "minAccuracyPercent": 80},
        ],
        "tiers": [{"name": "t", "objectives": {"ttftMilliseconds": 1500, "itlMilliseconds": 60}}],
        **spec,
    }
    return yaml.dump(document)


def accuracies(**percents: int) -> list[dict[str, Any]]:
    return [{"taskClass": name, "percent": percent} for name, percent in percents.items()]


def run(text: str, *arguments: str) -> Result:
    base = ("plan", "-f", "-", "--rate", "20", "--inventory", "h100-sxm=64")
    return CliRunner().invoke(main, [*base, *arguments], input=text)


def test_each_class_goes_to_the_smallest_acceptable_model_and_the_pool_says_that_it_deploys_its_own() -> None:
    result = run(pool())
    rows = {line.split()[0]: line.split() for line in result.output.splitlines() if line.startswith(("chat ", "code "))}
    assert ("llama-3.1-8b", "llama-3.1-70b") == (rows["chat"][1], rows["code"][1])
    assert f"advice only: the pool deploys {LARGE}" in result.output


def test_what_it_saves_is_the_sum_over_classes() -> None:
    (found,) = json.loads(run(pool(), "--json").output)["right_size"]
    costs = {each["name"]: each["usd_per_request"] for each in found["models"]}
    small, large = costs["llama-3.1-8b"], costs["llama-3.1-70b"]
    # 20 requests/s, four fifths of them on the small model
    assert 20.0 * (0.8 * small + 0.2 * large) == pytest.approx(found["usd_per_s"])
    assert 20.0 * large == pytest.approx(found["own_usd_per_s"])
    assert small < 0.2 * large


def test_a_budget_that_does_for_less_says_what_is_served_first() -> None:
    (found,) = json.loads(run(pool(budget={"usdPerHour": "10"}), "--json").output)["right_size"]
    chat, code = found["choices"]
    assert (1.0, True) == (chat["served_ratio"], 0.0 < code["served_ratio"] < 1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (pool(taskClasses=[{"name": "chat", "requestPercent": 80}]), ("taskClasses", "80", "must be 100")),
        (pool(taskClasses=[{"name": "chat", "requestPercent": 100}]), ("spec.model.accuracies", "'code'", "chat")),
        (pool(model={"name": LARGE, "alternatives": [{"name": "acme/none"}]}), ("alternatives[0].name", "acme/none")),
        (pool(model={"name": LARGE, "alternatives": [{"name": LARGE}]}), ("spec.model", "occurs twice")),
    ],
    ids=["shares below 100", "an accuracy in an unknown class", "an unknown model", "the model as its alternative"],
)
def test_bad_input_ends_with_2_and_names_the_field(text: str, words: tuple[str, ...]) -> None:
    result = run(text)
    assert 2 == result.exit_code, result.output
    for word in words:
        assert word in result.output, result.output
