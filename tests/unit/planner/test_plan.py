"""Worked examples of whole plans."""

from dataclasses import replace

import pytest

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.explain import explained
from poolwright.planner.outcome import Plan
from poolwright.planner.plan import plan
from poolwright.planner.policy import AcceleratorChoice, Budget, PoolPolicy, Scaling, TierPolicy
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import (
    History,
    Inventory,
    Known,
    Missing,
    MissingReason,
    Snapshot,
    TierSignals,
    Variant,
    VariantState,
)
from poolwright.queueing.objectives import Objectives

NOW_S = 10_000.0
CATALOGUE = load_catalogue()
TIER = TierPolicy(name="chat", objectives=Objectives(ttft_s=0.8, itl_s=0.04), static_rate_per_s=60.0)
POLICY = PoolPolicy(
    namespace="n",
    name="p",
    model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
    tiers=(TIER,),
    accelerators=(AcceleratorChoice(name="h100-sxm"), AcceleratorChoice(name="l40s")),
    max_tensor_parallel=1,
)
PLENTY = Inventory(provisionable=("h100-sxm", "l40s", "l4"))
H100 = Variant(tier="chat", accelerator="h100-sxm", weight_format="bf16", kv_format="bf16")
L40S = Variant(tier="chat", accelerator="l40s", weight_format="bf16", kv_format="bf16")


def planned(policy: PoolPolicy = POLICY, snapshot: Snapshot = Snapshot(inventory=PLENTY)) -> Plan:  # noqa: B008 - frozen
    return plan(policy, snapshot, History(), CATALOGUE, NOW_S)


def with_tier(**changes: object) -> PoolPolicy:
    return replace(POLICY, tiers=(replace(TIER, **changes),))  # type: ignore[arg-type]


def test_a_stated_load_is_planned_in_one_step_with_the_cheapest_accelerator() -> None:
    tier = planned().tiers[0]
    chosen = tier.variants[0]
    # An H100 serves some 17 of the 60 requests/s at 6.88 $/h, an L40S some 2.4 at 1.86 $/h: 4 x 6.88 < 25 x 1.86.
    assert (H100, 4) == (chosen.variant, chosen.replicas)
    assert tier.meets_objectives
    assert [L40S] == [each.variant for each in tier.runners_up]
    assert chosen.predicted.ttft_s < 0.8
    assert chosen.predicted.itl_s < 0.04


def test_four_replicas_meet_what_three_do_not() -> None:
    replicas = next(step for step in planned().tiers[0].steps if step.name == "replicas")
    # 60 / 17.4 per replica = 3.45: three are overloaded, four have a seventh to spare; each costs 6.88 $/h.
    three, four, five = replicas.arithmetic[-3:]
    assert "with 3: 0.0 %, p95 TTFT -, ITL -, 20.64 $/h" == three
    assert four.startswith("with 4: 100.0 %")
    assert four.endswith("27.52 $/h")
    assert five.endswith("34.40 $/h")


def test_a_quota_of_two_leaves_two_and_says_so() -> None:
    tier = planned(replace(POLICY, accelerators=POLICY.accelerators[:1], max_accelerators=(("h100-sxm", 2),))).tiers[0]
    assert 2 == tier.variants[0].replicas
    assert (Reason.ACCELERATOR_LIMIT, Binding.ACCELERATORS) == (tier.reason, tier.binding)
    assert not tier.meets_objectives


def test_a_budget_of_fourteen_dollars_an_hour_buys_two_of_them() -> None:
    tier = planned(replace(POLICY, accelerators=POLICY.accelerators[:1], budget=Budget(usd_per_s=14.0 / 3600.0))).tiers[
        0
    ]
    assert (2, Reason.BUDGET) == (tier.variants[0].replicas, tier.reason)


def test_objectives_below_the_physical_floor_name_the_floor_and_the_objective() -> None:
    tier = planned(with_tier(objectives=Objectives(itl_s=0.002))).tiers[0]
    assert (Reason.NO_FEASIBLE_CANDIDATE, ()) == (tier.reason, tier.variants)
    assert "floor" in tier.detail
    assert "the objective is 2 ms" in tier.detail


def test_infeasible_objectives_hold_what_runs() -> None:
    state = VariantState(variant=H100, wanted=5, ready=5, max_num_seqs=128, max_num_batched_tokens=1024)
    tier = planned(with_tier(objectives=Objectives(itl_s=0.002)), Snapshot(variants=(state,), inventory=PLENTY)).tiers[
        0
    ]
    assert [(H100, 5, 128)] == [(each.variant, each.replicas, each.max_num_seqs) for each in tier.variants]


def test_a_model_that_fits_nowhere_is_told_with_its_gigabytes() -> None:
    big = CATALOGUE.model("meta-llama/Llama-3.1-70B-Instruct")
    tier = planned(replace(POLICY, model=big, accelerators=(AcceleratorChoice(name="l4"),))).tiers[0]
    assert Reason.MODEL_DOES_NOT_FIT is tier.reason
    assert "GB" in tier.detail


def test_an_accelerator_that_no_node_has_is_refused_by_name() -> None:
    made = planned(snapshot=Snapshot(inventory=Inventory(total=(("l4", 8),), free=(("l4", 8),))))
    assert Reason.NO_ACCELERATOR is made.tiers[0].reason
    assert "no node has h100-sxm" in made.tiers[0].detail


def test_before_anything_was_seen_the_pool_starts_with_its_minimum() -> None:
    made = planned(replace(with_tier(static_rate_per_s=None), scaling=Scaling(min_replicas=3)))
    assert 3 == made.replicas
    assert made.missing


def test_a_cheaper_accelerator_replaces_a_dear_one_and_the_old_stays_until_it_is_ready() -> None:
    state = VariantState(variant=L40S, wanted=30, ready=30, max_num_seqs=32, max_num_batched_tokens=512)
    tier = planned(snapshot=Snapshot(variants=(state,), inventory=PLENTY)).tiers[0]
    assert [(H100, 4), (L40S, 30)] == [(each.variant, each.replicas) for each in tier.variants]
    assert Reason.TRANSITION is tier.reason


def test_old_replicas_keep_the_limits_that_they_run_with() -> None:
    state = VariantState(variant=L40S, wanted=30, ready=30, max_num_seqs=32, max_num_batched_tokens=512)
    old = planned(snapshot=Snapshot(variants=(state,), inventory=PLENTY)).tiers[0].variants[1]
    assert (32, 512) == (old.max_num_seqs, old.max_num_batched_tokens)


def test_two_tiers_share_a_ceiling_by_priority() -> None:
    first, second = replace(TIER, name="a", priority=1), replace(TIER, name="b", priority=0)
    made = planned(replace(POLICY, tiers=(first, second), scaling=Scaling(max_replicas=5)))
    assert {"b": 4, "a": 1} == {tier.tier: tier.variants[0].replicas for tier in made.tiers}


def test_pending_replicas_do_not_hide_demand() -> None:
    state = VariantState(variant=H100, wanted=1, ready=0, starting=1, max_num_seqs=216, max_num_batched_tokens=1024)
    signals = TierSignals(
        arrivals_per_s=Known(value=60.0),
        waiting=Known(value=0.0),
        input_tokens_mean=Known(value=1024.0),
        output_tokens_mean=Known(value=256.0),
        reporting_ratio=Known(value=1.0),
    )
    world = Snapshot(tiers=(("chat", signals),), variants=(state,), inventory=PLENTY)
    assert planned(with_tier(static_rate_per_s=None), world).replicas >= 4


def test_an_unreadable_inventory_limits_nothing() -> None:
    assert 4 == planned(snapshot=Snapshot(inventory=Missing(reason=MissingReason.UNREACHABLE))).replicas


@pytest.mark.parametrize("word", ["arrivals = 60", "memory =", "capacity =", "choice =", "replicas = 4", "binding:"])
def test_the_explanation_shows_every_step(word: str) -> None:
    assert word in explained(planned())


def seen(rate_per_s: float, edge_per_s: float) -> TierSignals:
    return TierSignals(
        arrivals_per_s=Known(value=rate_per_s),
        edge_per_s=Known(value=edge_per_s),
        edge_s=Known(value=15.0),
        waiting=Known(value=0.0),
        input_tokens_mean=Known(value=1024.0),
        output_tokens_mean=Known(value=256.0),
        reporting_ratio=Known(value=1.0),
    )


def test_a_step_is_planned_for_before_the_mean_has_followed_it() -> None:
    world = Snapshot(tiers=(("chat", seen(15.0, 60.0)),), inventory=PLENTY)
    assert 4 == planned(with_tier(static_rate_per_s=None), world).replicas


def test_noise_is_no_step() -> None:
    # 3 sqrt(16 / 15 s) = 3.1: 19/s over the last quarter minute may be chance.
    world = Snapshot(tiers=(("chat", seen(16.0, 19.0)),), inventory=PLENTY)
    assert 16.0 == planned(with_tier(static_rate_per_s=None), world).tiers[0].load.rate_per_s


def test_a_change_that_is_under_way_is_finished_before_another_begins() -> None:
    old = VariantState(variant=replace(H100, tensor_parallel=2), wanted=1, ready=1, age_s=900.0)
    new = VariantState(variant=L40S, wanted=20, starting=20, max_num_seqs=32, max_num_batched_tokens=512, age_s=5.0)
    tier = planned(snapshot=Snapshot(variants=(old, new), inventory=PLENTY)).tiers[0]
    assert L40S == tier.variants[0].variant
    assert tier.meets_objectives


def test_a_change_whose_replicas_find_no_node_is_not_waited_for() -> None:
    old = VariantState(variant=replace(H100, tensor_parallel=2), wanted=1, ready=1, age_s=900.0)
    new = VariantState(variant=L40S, wanted=20, starting=20, unschedulable=20, max_num_seqs=32, age_s=5.0)
    tier = planned(snapshot=Snapshot(variants=(old, new), inventory=PLENTY)).tiers[0]
    assert H100 == tier.variants[0].variant


def test_a_queue_limit_that_is_about_right_is_kept_and_a_wrong_one_is_not() -> None:
    chosen = planned().tiers[0].variants[0]
    for running, expected in (
        (chosen.max_queued_requests + 1, chosen.max_queued_requests + 1),
        (10_000, chosen.max_queued_requests),
    ):
        state = VariantState(
            variant=H100,
            wanted=4,
            ready=4,
            max_num_seqs=chosen.max_num_seqs,
            max_num_batched_tokens=chosen.max_num_batched_tokens,
            max_queued_requests=running,
        )
        again = planned(snapshot=Snapshot(variants=(state,), inventory=PLENTY)).tiers[0].variants[0]
        assert expected == again.max_queued_requests
