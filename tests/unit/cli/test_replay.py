"""``poolwright replay`` shows what became of a trace, and refuses what it cannot replay."""

import json

import pytest
from click.testing import CliRunner

from poolwright.cli.replay import replay

SMALL = ("--model", "llama-3.1-8b", "--accelerator", "h100-sxm", "--tp", "1", "--hours", "0.1")


def run(*arguments: str, env: dict[str, str | None] | None = None) -> tuple[int, str]:
    result = CliRunner(env=env or {}).invoke(replay, arguments)
    return result.exit_code, result.stdout + result.stderr


def test_a_replay_says_what_it_cost_and_what_was_late() -> None:
    result = CliRunner().invoke(replay, ("step", *SMALL, "--replicas", "2", "--json"))
    assert 0 == result.exit_code
    document = json.loads(result.stdout)
    (row,) = document["policies"]
    assert ("static", 0, 0) == (row["policy"], row["shed"], row["started"])
    # Ten requests a second for six minutes, and two replicas for as long.
    assert 3600 == pytest.approx(row["requests"], abs=4 * 60)
    assert 0.2 == pytest.approx(row["accelerator_hours"])
    assert 0.0 <= row["violating_ratio"] <= 1.0
    assert row["kwh"] > 0.0


def test_a_replay_prints_one_row_for_people() -> None:
    code, output = run("ramp", *SMALL, "--replicas", "2")
    assert 0 == code
    assert "minutes violating" in output
    assert "synthetic: the rate rises fivefold" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "no trace 'nothing'; known names are azure2023"),
        (("azure2023",), "set POOLWRIGHT_TRACES"),
        (("step", "--policy", "magic"), "policy 'magic': known are"),
        (("step", "--set", "replicas=many"), "--set replicas=many: expected name=number"),
        (("step", "--set", "speed=1"), "policy static: no setting speed"),
        (("step", "--accelerator", "abacus"), "--accelerator: "),
        (("step", *SMALL, "--policy", "static", "--scheduler", "tcp://nowhere:1"), "pip install distributed"),
    ],
)
def test_bad_input_ends_with_code_2_and_names_what_is_wrong(arguments: tuple[str, ...], message: str) -> None:
    code, output = run(*arguments, env={"POOLWRIGHT_TRACES": None})
    assert 2 == code
    assert message in output
