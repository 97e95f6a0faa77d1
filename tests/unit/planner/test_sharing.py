"""Sharing replicas, judged by simulation."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.advice.sharing import Sharing, sharing
from poolwright.planner.plan import plan
from poolwright.planner.policy import AcceleratorChoice, PoolPolicy, SessionShape, TierPolicy, WorkloadHint
from poolwright.planner.snapshot import History, Inventory, Snapshot
from poolwright.queueing.objectives import Objectives

CATALOGUE = load_catalogue()
QUICK = TierPolicy(name="quick", objectives=Objectives(ttft_s=0.5, itl_s=0.04), priority=0, static_rate_per_s=4.0)
BATCH = TierPolicy(
    name="batch", objectives=Objectives(end_to_end_s=600.0), priority=10, static_rate_per_s=4.0, deadline_s=600.0
)


def found(*tiers: TierPolicy) -> Sharing | None:
    policy = PoolPolicy(
        namespace="n",
        name="p",
        model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
        tiers=tiers,
        accelerators=(AcceleratorChoice(name="h100-sxm"),),
        max_tensor_parallel=1,
    )
    made = plan(policy, Snapshot(inventory=Inventory(provisionable=("h100-sxm",))), History(), CATALOGUE, 0.0)
    return sharing(policy, made, CATALOGUE)


def test_two_tiers_that_leave_a_replica_half_idle_share_one() -> None:
    result = found(QUICK, BATCH)
    assert result is not None
    assert [("quick", "batch")] == [each.tiers for each in result.groups]
    assert ([1], [1, 1]) == ([each.replicas for each in result.groups], [each.replicas for each in result.dedicated])
    # one H100 at 6.88 $/h less
    assert 6.88 / 3600.0 == pytest.approx(result.saved_usd_per_s)


def test_a_tier_alone_and_an_idle_one_have_nothing_to_share() -> None:
    assert found(QUICK) is None
    assert found(QUICK, replace(BATCH, static_rate_per_s=0.0)) is None


def test_tiers_that_hold_cache_between_turns_keep_their_own() -> None:
    agent = replace(BATCH, hint=WorkloadHint(sessions=SessionShape(turns=5, new_tokens=200.0, hold_s=20.0)))
    result = found(QUICK, agent)
    assert result is not None
    assert ([("quick",), ("batch",)], 0.0) == ([each.tiers for each in result.groups], result.saved_usd_per_s)
    assert () == result.dedicated[1].attainment


def test_a_tier_with_too_few_requests_to_judge_keeps_its_own() -> None:
    result = found(replace(QUICK, static_rate_per_s=60.0), replace(BATCH, static_rate_per_s=0.01))
    assert result is not None
    assert [("quick",), ("batch",)] == [each.tiers for each in result.groups]


@settings(max_examples=6)
@given(st.sampled_from([1.0, 12.0, 40.0]), st.sampled_from([2.0, 25.0]), st.sampled_from([0.2, 2.0]))
def test_sharing_never_costs_more_serves_every_tier_once_and_within_its_objectives(
    quick_per_s: float, batch_per_s: float, ttft_s: float
) -> None:
    middle = replace(QUICK, name="middle", priority=5, objectives=Objectives(ttft_s=ttft_s), static_rate_per_s=3.0)
    tiers = (replace(QUICK, static_rate_per_s=quick_per_s), middle, replace(BATCH, static_rate_per_s=batch_per_s))
    result = found(*tiers)
    assert result is not None
    assert result.saved_usd_per_s >= -1e-12
    assert ["quick", "middle", "batch"] == [name for each in result.groups for name in each.tiers]
    for group in result.groups:
        assert all(share >= 0.95 for share in group.attainment)
