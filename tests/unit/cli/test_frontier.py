"""The picture of ``plan --frontier``, and the points in its JSON."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from poolwright.cli.main import main

CHAT = Path(__file__).resolve().parents[3] / "examples" / "chat.yaml"
BASE = ("plan", "-f", str(CHAT), "--rate", "60", "--inventory", "h100-sxm=16,l40s=64")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*BASE, *arguments])


def test_points_name_the_choice_the_runners_up_and_a_front_that_nothing_beats(tmp_path: Path) -> None:
    target = tmp_path / "front.svg"
    document = json.loads(run("--frontier", str(target), "--json").output)
    (tier,), (frontier,) = document["tiers"], document["frontier"]
    points = frontier["points"]
    chosen = [(each["variant"], each["replicas"]) for each in points if each["is_chosen"]]
    assert [("interactive-h100-sxm-bf16", tier["variants"][0]["replicas"])] == chosen
    assert len(tier["runners_up"]) == sum(each["is_runner_up"] for each in points) == 3
    front = [each for each in points if each["on_ttft_front"]]
    assert len(front) > 2
    for each in front:
        cheaper = [other for other in points if other["cost_usd_per_s"] <= each["cost_usd_per_s"] and other != each]
        assert all(other["ttft_s"] > each["ttft_s"] for other in cheaper)
    assert "<svg" in target.read_text()


def test_the_cheapest_point_that_meets_the_objectives_is_the_choice(tmp_path: Path) -> None:
    points = json.loads(run("--frontier", str(tmp_path / "front.png"), "--json").output)["frontier"][0]["points"]
    least = min(each["cost_usd_per_s"] for each in points if each["meets_objectives"])
    assert [least] == [each["cost_usd_per_s"] for each in points if each["is_chosen"]]


def test_the_same_picture_twice_has_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    assert 0 == run("--frontier", str(one)).exit_code == run("--frontier", str(two)).exit_code
    assert one.read_bytes() == two.read_bytes()
    assert b"\x89PNG" == one.read_bytes()[:4]


def test_a_picture_that_cannot_be_written_is_refused() -> None:
    for target, words in (("front.pdf", ".png or .svg"), ("no/such/folder/front.png", "No such file")):
        result = run("--frontier", target)
        assert (2, True) == (result.exit_code, words in result.output), result.output
