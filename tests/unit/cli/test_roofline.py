"""``poolwright roofline`` draws what the model says, and the numbers stay under the roof."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from poolwright.cli.roofline import BATCHES, PROMPTS, roofline_command
from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.roofline import roofline

CATALOGUE = load_catalogue()
ONE = ("--model", "llama-3.1-8b", "--accelerator", "h100-sxm")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(roofline_command, arguments)
    return result.exit_code, result.output


def test_both_pictures_are_written(tmp_path: Path) -> None:
    png, svg = tmp_path / "a.png", tmp_path / "a.svg"
    code, output = run(*ONE, "--out", str(png), "--out", str(svg))
    assert (0, f"{png}\n{svg}\n") == (code, output)
    assert b"\x89PNG" == png.read_bytes()[:4]
    assert "<svg" in svg.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*ONE, "--out", "a.pdf"), "--out is a.pdf, must end in .png or .svg"),
        ((*ONE, "--out", "no/such/folder/a.png"), "--out no/such/folder/a.png: No such file"),
        ((*ONE[:2], "--accelerator", "h1000"), "--accelerator: "),
        ((*ONE, "--tp", "3"), "--tp 3 does not divide"),
    ],
)
def test_bad_input_ends_with_code_2_and_names_the_option(arguments: tuple[str, ...], message: str) -> None:
    code, output = run(*arguments)
    assert code == 2
    assert message in output


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b", "gpt-oss-20b"])
@pytest.mark.parametrize("accelerator", ["h100-sxm", "mi300x", "b200-sxm"])
def test_no_step_is_above_the_roof(model: str, accelerator: str) -> None:
    shape = CATALOGUE.model(model)
    config = ReplicaConfig(
        accelerator=CATALOGUE.accelerator(accelerator), model=shape, weight_format="bf16", kv_format="bf16"
    )
    drawn = roofline(config, context_tokens=1024.0, batches=BATCHES, prompts=PROMPTS)
    assert [] == [each for each in drawn.points if each.reached_flop_per_s > each.attainable_flop_per_s]


def test_one_sequence_is_bound_by_memory_at_about_one_flop_a_byte() -> None:
    config = ReplicaConfig(
        accelerator=CATALOGUE.accelerator("h100-sxm"),
        model=CATALOGUE.model("llama-3.1-8b"),
        weight_format="bf16",
        kv_format="bf16",
    )
    drawn = roofline(config, context_tokens=1024.0, batches=(1.0,), prompts=(8192.0,))
    decode, prefill = drawn.points
    # 2 flop a parameter of 2 bytes; the cache, of which 4 queries share each value, is under 1 % of the bytes
    assert decode.intensity_flop_per_byte == pytest.approx(1.0, abs=0.05)
    assert drawn.ridge_flop_per_byte == pytest.approx(989e12 / 3.35e12, rel=0.01)  # 295
    assert prefill.intensity_flop_per_byte > drawn.ridge_flop_per_byte
    assert 0.5 < prefill.reached_flop_per_s / prefill.attainable_flop_per_s < 0.7  # large products reach 0.66 of peak
