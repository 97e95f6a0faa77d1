"""What ``plan`` and ``explain`` say on a command line, and how they refuse."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from poolwright.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
CHAT = ROOT / "examples" / "chat.yaml"
FEW = "h100-sxm=8,l40s=16"


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=text)


def test_a_plan_names_accelerator_replicas_limits_latency_cost_and_binding() -> None:
    result = run("plan", "-f", str(CHAT), "--rate", "12", "--inventory", FEW)
    assert 0 == result.exit_code
    header, row = result.output.splitlines()[:2]
    for column in (
        "replicas",
        "max_num_seqs",
        "max_num_batched_tokens",
        "TTFT",
        "ITL",
        "utilisation",
        "$/h",
        "binding",
    ):
        assert column in header
    assert "h100-sxm-bf16" in row
    assert "6.88" in row


def test_json_has_the_whole_plan_and_no_number_that_json_lacks() -> None:
    result = run("plan", "-f", str(CHAT), "--rate", "12", "--inventory", FEW, "--json")
    document = json.loads(result.output, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    tier = document["tiers"][0]
    assert 1 == tier["variants"][0]["replicas"]
    assert {"memory", "capacity", "limits", "choice", "replicas"} <= {step["name"] for step in tier["steps"]}


def test_the_rate_curve_is_in_the_json_and_its_best_by_chunk_in_the_explanation() -> None:
    variant = json.loads(run("plan", "-f", str(CHAT), "--rate", "12", "--inventory", FEW, "--json").output)["tiers"][0][
        "variants"
    ][0]
    curve = {(sequences, chunk): rate for sequences, chunk, rate in variant["rate_curve"]}
    assert 12 * 9 == len(curve)
    lines = run("explain", "-f", str(CHAT), "--rate", "12", "--inventory", FEW).output.splitlines()
    (row,) = [number for number, line in enumerate(lines) if line.strip().startswith("max_num_batched_tokens  ")]
    chunks, rates, sequences = (line.split()[-9:] for line in lines[row : row + 3])
    for chunk, rate, count in zip(chunks, rates, sequences, strict=True):
        best = max(value for (_, tried), value in curve.items() if tried == int(chunk))
        assert (f"{best:.3g}", best) == (rate, curve[int(count), int(chunk)])


def test_a_pool_is_read_from_standard_input() -> None:
    result = run("explain", "--rate", "12", "--inventory", FEW, text=CHAT.read_text())
    assert 0 == result.exit_code
    assert "tier interactive: Demand" in result.output


def test_a_live_pool_is_explained_for_the_load_of_its_status() -> None:
    live = CHAT.read_text() + (
        "status:\n  tiers:\n  - {name: interactive, plannedRequestsPerMinute: 720, reason: Demand, binding: None, "
        "meetsObjectives: true}\n"
    )
    result = run("explain", "--inventory", FEW, text=live)
    assert "arrivals = 12 " in result.output, result.output


def test_a_plan_that_cannot_meet_its_objectives_ends_with_1() -> None:
    result = run("plan", "-f", str(CHAT), "--rate", "12", "--inventory", "l4=1")
    assert 1 == result.exit_code
    assert "NOT met" in result.output


def changed(old: str, new: str) -> str:
    text = CHAT.read_text()
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (changed("meta-llama/Llama-3.1-8B-Instruct", "acme/unheard-of"), (), ("spec.model.name", "acme/unheard-of")),
        (changed("ttftMilliseconds: 800", "ttftMilliseconds: -1"), (), ("ttftMilliseconds", "-1", "greater than")),
        (changed("{ttftMilliseconds: 800, itlMilliseconds: 40}", "{}"), (), ("objectives", "at least one")),
        (changed("tiers:", "tears:"), (), ("tiers",)),
        (changed("tiers:", "accelerators: [{name: h1000}]\n  tiers:"), (), ("spec.accelerators[0].name", "h1000")),
        (changed("tiers:", "scaling: {minReplicas: 9, maxReplicas: 3}\n  tiers:"), (), ("scaling", "9", "3")),
        (CHAT.read_text(), ("--inventory", "h100-sxm"), ("--inventory", "NAME=COUNT")),
        (CHAT.read_text(), ("--inventory", "h1000=8"), ("--inventory", "h1000")),
        (CHAT.read_text(), ("--rate", "nan"), ("--rate",)),
        ("a: [", (), ("YAML",)),
        ("kind: Pod\n", (), ("InferencePool", "exactly one")),
    ],
    ids=[
        "an unknown model",
        "a negative objective",
        "no objective",
        "a misspelt field",
        "an unknown accelerator",
        "bounds reversed",
        "an inventory without a count",
        "an inventory of the unknown",
        "a rate that is no number",
        "no YAML",
        "no pool",
    ],
)
def test_bad_input_ends_with_2_and_names_what_is_wrong(
    text: str, arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text(text)
    rate = () if "--rate" in arguments else ("--rate", "12")
    result = run("plan", "-f", str(file), *rate, *arguments)
    assert 2 == result.exit_code, result.output
    for word in words:
        assert word in result.output, result.output


def test_a_file_that_is_not_there_is_named() -> None:
    result = run("plan", "-f", "nowhere.yaml", "--rate", "1")
    assert (2, True) == (result.exit_code, "nowhere.yaml" in result.output)


def test_a_profile_beside_the_pool_adds_an_accelerator() -> None:
    profile = """
---
apiVersion: poolwright.io/v1alpha1
kind: AcceleratorProfile
metadata: {name: h900}
spec:
  vendor: nvidia
  memoryGibibytes: 80
  bandwidthGigabytesPerSecond: 3350
  peakTeraflops: {bf16: 989}
  tdpWatts: 700
  usdPerHour: "1.00"
  resourceName: nvidia.com/gpu
  selectors: [{labels: {nvidia.com/gpu.product: [H900]}}]
"""
    result = run("plan", "-f", "-", "--rate", "12", "--inventory", "h900=4,h100-sxm=4", text=CHAT.read_text() + profile)
    assert 0 == result.exit_code, result.output
    assert "h900-bf16" in result.output.splitlines()[1]


PRESETS = [
    ROOT / "policies" / "tiers" / f"{name}.yaml" for name in ("interactive", "standard", "batch", "agents", "rollouts")
]


def preset_tiers() -> list[dict[str, object]]:
    return [yaml.safe_load(each.read_text())["spec"]["tiers"][0] for each in PRESETS[:3]]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_tier_preset_is_planned_within_its_objectives(preset: Path) -> None:
    result = run("plan", "-f", str(preset), "--rate", "4", "--inventory", "h100-sxm=32", "--json")
    (tier,) = json.loads(result.output)["tiers"]
    assert (0, preset.stem, True) == (result.exit_code, tier["tier"], tier["meets_objectives"])


def test_the_same_load_is_cheaper_the_longer_it_may_take() -> None:
    pool = yaml.safe_load(CHAT.read_text())
    costs = []
    for tier in preset_tiers():
        pool["spec"]["tiers"] = [{**tier, "workload": {"inputTokens": 2048, "outputTokens": 512}}]
        result = run("plan", "-f", "-", "--rate", "40", "--inventory", "h100-sxm=64", "--json", text=yaml.dump(pool))
        costs.append(json.loads(result.output)["tiers"][0]["variants"][0]["cost_usd_per_s"])
    interactive, standard, batch = costs
    assert batch <= standard < interactive


def test_the_three_presets_and_a_tier_of_ones_own_share_a_pool() -> None:
    pool = yaml.safe_load(CHAT.read_text())
    own = {"name": "nightly", "priority": 20, "objectives": {"percentile": "99.9", "deadlineSeconds": 28_800}}
    pool["spec"]["tiers"] = [*preset_tiers(), own]
    result = run("plan", "-f", "-", "--rate", "8", "--inventory", "h100-sxm=64", "--json", text=yaml.dump(pool))
    tiers = json.loads(result.output)["tiers"]
    assert ["interactive", "standard", "batch", "nightly"] == [each["tier"] for each in tiers]
    assert all(each["meets_objectives"] for each in tiers)


def test_what_tiers_would_save_on_the_same_replicas_is_said_when_asked_for() -> None:
    pool = yaml.safe_load(CHAT.read_text())
    pool["spec"]["tiers"].append({"name": "batch", "priority": 10, "objectives": {"deadlineSeconds": 3600}})
    arguments = ("plan", "-f", "-", "--rate", "6", "--inventory", "h100-sxm=8")
    assert "sharing" not in run(*arguments, text=yaml.dump(pool)).output
    output = run(*arguments, "--sharing", text=yaml.dump(pool)).output
    assert "  interactive + batch: 1 x h100-sxm bf16 tp1, 6.88 $/h, 100.0 %, 100.0 % within the objectives" in output
    assert "saves 13.76 - 6.88 = 6.88 $/h; advice only" in output
    (group,) = json.loads(run(*arguments, "--sharing", "--json", text=yaml.dump(pool)).output)["sharing"]["groups"]
    assert ["interactive", "batch"] == group["tiers"]
    assert "fewer than two tiers" in run("plan", "-f", str(CHAT), "--rate", "6", "--sharing").output
