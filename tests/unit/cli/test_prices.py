"""What ``prices`` prints, and how it refuses."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from poolwright.cli.main import main

CHAT = Path(__file__).resolve().parents[3] / "examples" / "chat.yaml"
BASE = ("prices", "-f", str(CHAT), "--rate", "12", "--inventory", "h100-sxm=8")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_a_card_has_a_row_for_each_bracket_of_the_model_and_pays_for_the_plan() -> None:
    result = run(*BASE)
    assert 0 == result.exit_code
    contexts = [line[:10].strip() for line in result.output.splitlines() if line.startswith("up to")]
    assert ["up to 8k", "up to 32k", "up to 128k"] == contexts
    assert "earn 6.88 $/h" in result.output


def test_joules_become_grams_with_a_grid() -> None:
    plain = json.loads(run(*BASE, "--json").output)[0]["brackets"][0]
    priced = json.loads(run(*BASE, "--grid", "360", "--json").output)[0]["brackets"][0]
    assert None is plain["grams_co2_per_token"]
    # 360 g for 3.6 MJ: a gram for every 10 kJ
    assert priced["joules_per_token"]["output"] / 1e4 == pytest.approx(priced["grams_co2_per_token"]["output"])
    assert "gCO2/M output" in run(*BASE, "--grid", "360").output


def test_a_margin_is_shown_at_the_prices_that_are_charged() -> None:
    result = run(*BASE, "--sell", "1", "0.5", "2")
    # 12 requests/s x (1024 x $1 + 256 x $2) / 10^6 x 3600 s = 66.36 $/h; 1 - 6.88 / 66.36 = 89.6 %
    assert "at your prices they earn 66.36 $/h: gross margin 89.6 %" in result.output


def test_a_pool_that_nothing_serves_has_no_card() -> None:
    result = run(*BASE[:-1], "l4=1")
    assert 1 == result.exit_code
    assert "" == result.output


@pytest.mark.parametrize("arguments", [("--grid", "-1"), ("--sell", "1", "1", "-2"), ("--rate", "nan")])
def test_bad_input_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert 2 == run(*BASE, *arguments).exit_code
