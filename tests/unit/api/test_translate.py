from pathlib import Path
from typing import Any

import pytest
import yaml

from poolwright.api.accelerator_profile import AcceleratorProfile
from poolwright.api.fleet_policy import FleetPolicy
from poolwright.api.inference_pool import InferencePool
from poolwright.api.schema import generated
from poolwright.api.translate import SpecError, accelerator, governing_policy, parsed, pool_policy
from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.policy import Mode, SessionShape

ROOT = Path(__file__).resolve().parents[3]
CATALOGUE = load_catalogue()


def pool(**spec: Any) -> dict[str, Any]:
    base = {"model": {"name": "llama-3.1-8b"}, "tiers": [{"name": "chat", "objectives": {"ttftMilliseconds": 800}}]}
    return {"metadata": {"name": "chat", "namespace": "demo"}, "spec": {**base, **spec}}


def policy(name: str = "all", **spec: Any) -> FleetPolicy:
    return parsed(FleetPolicy, {"metadata": {"name": name}, "spec": spec})


def test_the_ten_line_resource_becomes_a_policy_in_seconds() -> None:
    document = yaml.safe_load((ROOT / "examples" / "chat.yaml").read_text())
    made = pool_policy(parsed(InferencePool, document), None, CATALOGUE)
    assert made.mode is Mode.AUTO
    assert (0.95, 0.8, 0.04) == (
        made.tiers[0].objectives.percentile_ratio,
        made.tiers[0].objectives.ttft_s,
        made.tiers[0].objectives.itl_s,
    )
    assert (1, 64) == (made.scaling.min_replicas, made.scaling.max_replicas)
    assert 8.0e9 < made.model.parameters_total < 8.1e9


@pytest.mark.parametrize(
    ("spec", "field", "named"),
    [
        ({"model": {"name": "lama-3.1-8b"}}, "spec.model.name", "llama-3.1-8b"),
        ({"accelerators": [{"name": "h100sxm"}]}, "spec.accelerators[0].name", "h100-sxm"),
        ({"scaling": {"minReplicas": 9, "maxReplicas": 3}}, "spec.scaling", "minReplicas is 9, above maxReplicas 3"),
        ({"scaling": {"minReplicas": 1, "maxReplicas": 3, "replicas": 4}}, "spec.scaling", "from 1 to 3"),
        ({"tiers": [{"name": "a", "objectives": {}}]}, "spec.tiers.0.objectives", "at least one"),
        ({"tiers": []}, "spec.tiers", "at least 1"),
        (
            {"tiers": [{"name": "a", "objectives": {"percentile": "x", "itlMilliseconds": 1}}]},
            "percentile",
            "50 to 99.9",
        ),
        ({"mode": "Fast"}, "spec.mode", "Auto"),
        ({"replicas": 3}, "spec.replicas", "not permitted"),
        ({"demand": {"source": "Static"}}, "spec.demand", "requestsPerMinute"),
        ({"model": {"name": "x", "architecture": {"hidden_size": 8}}}, "spec.model.architecture", "num_hidden_layers"),
    ],
)
def test_a_wrong_spec_is_refused_with_field_value_and_what_would_be_right(
    spec: dict[str, Any], field: str, named: str
) -> None:
    with pytest.raises(SpecError) as caught:
        pool_policy(parsed(InferencePool, pool(**spec)), None, CATALOGUE)
    assert field in caught.value.field
    assert named in str(caught.value)


def test_a_tier_name_may_occur_once() -> None:
    tier = {"name": "a", "objectives": {"itlMilliseconds": 40}}
    with pytest.raises(SpecError, match="a occurs twice"):
        parsed(InferencePool, pool(tiers=[tier, tier]))


def test_a_stated_demand_is_shared_by_the_tiers() -> None:
    tiers = [{"name": name, "objectives": {"itlMilliseconds": 40}} for name in ("a", "b")]
    spec = pool(tiers=tiers, demand={"source": "Static", "requestsPerMinute": 240})
    made = pool_policy(parsed(InferencePool, spec), None, CATALOGUE)
    assert [2.0, 2.0] == [tier.static_rate_per_s for tier in made.tiers]


def test_the_governing_policy_bounds_replicas_budget_menu_and_price() -> None:
    fleet = policy(
        accelerators=[{"accelerator": "l4", "maxAccelerators": 8, "usdPerHour": "0.36"}, {"accelerator": "h100-sxm"}],
        maxReplicas=5,
        budget={"usdPerHour": "36"},
    )
    made = pool_policy(parsed(InferencePool, pool(budget={"usdPerHour": "72", "watts": 900})), fleet, CATALOGUE)
    assert ["l4", "h100-sxm"] == [each.name for each in made.accelerators]
    assert (("l4", 8),) == made.max_accelerators
    assert (("l4", pytest.approx(0.0001)),) == made.prices_usd_per_s
    assert 5 == made.scaling.max_replicas
    assert (0.01, 900.0) == (made.budget.usd_per_s, made.budget.watts)
    with pytest.raises(SpecError, match="the FleetPolicy allows l4, h100-sxm"):
        pool_policy(parsed(InferencePool, pool(accelerators=[{"name": "a100-sxm-80gb"}])), fleet, CATALOGUE)


def test_the_most_specific_policy_governs_and_a_tie_is_an_error() -> None:
    everyone, team = policy(), policy("team", namespaceSelector={"team": "search"})
    assert team == governing_policy({"team": "search"}, [everyone, team])
    assert everyone == governing_policy({"team": "ads"}, [everyone, team])
    assert governing_policy({}, [team]) is None
    with pytest.raises(SpecError, match="other, team"):
        governing_policy({"team": "search"}, [team, policy("other", namespaceSelector={"team": "search"})])


def test_a_profile_adds_an_accelerator_with_its_own_figures() -> None:
    profile = parsed(
        AcceleratorProfile,
        {
            "metadata": {"name": "b777"},
            "spec": {
                "memoryGibibytes": 100,
                "bandwidthGigabytesPerSecond": 2000,
                "peakTeraflops": {"bf16": 500, "fp8": 1000},
                "tdpWatts": 400,
                "usdPerHour": "3.60",
                "selectors": [{"labels": {"example.com/product": ["B777"]}}],
            },
        },
    )
    catalogue = CATALOGUE.with_accelerators([accelerator(profile)])
    made = catalogue.accelerator("b777")
    assert (2e12, 5e14, 0.001) == (made.bandwidth_bytes_per_s, made.peak_flop_per_s["bf16"], made.price_usd_per_s)
    assert catalogue.accelerator_of_node({"example.com/product": "B777"}) == made


def test_generated_files_are_what_the_types_say() -> None:
    stale = [name for name, text in generated().items() if (ROOT / name).read_text() != text]
    assert [] == stale


@pytest.mark.parametrize(
    ("objectives", "deadline_s"),
    [
        ({"deadlineSeconds": 7200}, 7200.0),
        ({"deadlineSeconds": 7200, "ttftMilliseconds": 500}, None),
        ({"endToEndMilliseconds": 7_200_000}, None),
    ],
    ids=["a deadline alone", "somebody waits for the first token", "a latency objective"],
)
def test_work_may_queue_where_a_tier_has_nothing_but_a_deadline(
    objectives: dict[str, int], deadline_s: float | None
) -> None:
    document = pool(tiers=[{"name": "batch", "objectives": objectives}])
    (tier,) = pool_policy(parsed(InferencePool, document), None, CATALOGUE).tiers
    assert (deadline_s, 7200.0) == (tier.deadline_s, tier.objectives.end_to_end_s)


def test_sessions_of_a_hint_are_translated_whole() -> None:
    sessions = {"turns": 4, "newTokensPerTurn": 256, "holdSeconds": 10, "samplesPerPrompt": 16}
    tier = {"name": "rl", "objectives": {"deadlineSeconds": 60}, "workload": {"sessions": sessions}}
    (made,) = pool_policy(parsed(InferencePool, pool(tiers=[tier])), None, CATALOGUE).tiers
    assert SessionShape(turns=4, new_tokens=256.0, hold_s=10.0, samples_per_prompt=16) == made.hint.sessions
