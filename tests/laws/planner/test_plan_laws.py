"""What every plan keeps, whatever is asked and whatever is seen."""

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.outcome import Plan
from poolwright.planner.plan import plan
from poolwright.planner.policy import AcceleratorChoice, Budget, PoolPolicy, Scaling, TierPolicy
from poolwright.planner.snapshot import (
    History,
    Inventory,
    Known,
    Missing,
    MissingReason,
    Signal,
    Snapshot,
    TierSignals,
    VariantState,
)
from poolwright.queueing.objectives import Objectives

NOW_S = 10_000.0
CATALOGUE = load_catalogue()
TIER = TierPolicy(name="chat", objectives=Objectives(ttft_s=0.8, itl_s=0.04))
POLICY = PoolPolicy(
    namespace="n",
    name="p",
    model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
    tiers=(TIER,),
    accelerators=(AcceleratorChoice(name="h100-sxm"), AcceleratorChoice(name="l40s")),
    max_tensor_parallel=1,
    scaling=Scaling(max_replicas=1000),
)
INVENTORY = Inventory(provisionable=("h100-sxm", "l40s"))
FEW = settings(max_examples=6)


def seen(rate_per_s: float, waiting: float = 0.0) -> TierSignals:
    return TierSignals(
        arrivals_per_s=Known(value=rate_per_s),
        waiting=Known(value=waiting),
        running=Known(value=rate_per_s),
        input_tokens_mean=Known(value=1024.0),
        output_tokens_mean=Known(value=256.0),
        reporting_ratio=Known(value=1.0),
    )


def planned(signals: TierSignals, states: tuple[VariantState, ...] = (), policy: PoolPolicy = POLICY) -> Plan:
    world = Snapshot(tiers=(("chat", signals),), variants=states, inventory=INVENTORY, cold_start_s=Known(value=60.0))
    return plan(policy, world, History(), CATALOGUE, NOW_S)


def running(made: Plan) -> tuple[VariantState, ...]:
    """Return the state in which everything that a plan asks for serves."""
    return tuple(
        VariantState(
            variant=each.variant,
            wanted=each.replicas,
            ready=each.replicas,
            max_num_seqs=each.max_num_seqs,
            max_num_batched_tokens=each.max_num_batched_tokens,
        )
        for each in made.variants
    )


# Doubling stays on the grid, so that simulations serve many examples.
RATES = st.integers(0, 11).map(lambda power: 0.17 * 2.0**power)
HOSTILE: st.SearchStrategy[Signal] = st.one_of(
    st.builds(Known, value=st.floats(allow_nan=True, allow_infinity=True), age_s=st.floats(allow_nan=True)),
    st.builds(Missing, reason=st.sampled_from(MissingReason)),
)


@FEW
@given(RATES, RATES)
def test_more_demand_never_costs_less(first: float, second: float) -> None:
    low, high = (planned(seen(rate)).cost_usd_per_s for rate in sorted((first, second)))
    assert low is not None
    assert high is not None
    assert low <= high * (1.0 + 1e-9)


@FEW
@given(RATES)
def test_planning_again_on_what_a_plan_asked_for_changes_nothing(rate: float) -> None:
    first = planned(seen(rate))
    again = planned(seen(rate), running(first))
    assert [
        (each.variant, each.replicas, each.max_num_seqs, each.max_num_batched_tokens) for each in first.variants
    ] == [(each.variant, each.replicas, each.max_num_seqs, each.max_num_batched_tokens) for each in again.variants]


@FEW
@given(RATES)
def test_equal_arguments_give_equal_plans(rate: float) -> None:
    assert planned(seen(rate)) == planned(seen(rate))


@FEW
@given(RATES, RATES)
def test_a_missing_signal_never_lowers(before: float, after: float) -> None:
    states = running(planned(seen(before)))
    policy = replace(POLICY, scaling=replace(POLICY.scaling, scale_down_stabilisation_s=0.0))
    for name in ("arrivals_per_s", "waiting", "input_tokens_mean", "reporting_ratio"):
        gap = Known(value=0.5) if name == "reporting_ratio" else Missing(reason=MissingReason.STALE)
        made = planned(replace(seen(after), **{name: gap}), states, policy)
        assert made.replicas >= sum(state.wanted for state in states), name


@FEW
@given(st.fixed_dictionaries(dict.fromkeys(TierSignals.__dataclass_fields__, HOSTILE)), st.integers(0, 50))
def test_nothing_that_is_reported_breaks_a_plan_or_its_bounds(signals: dict[str, Signal], current: int) -> None:
    states = tuple(replace(each, wanted=current, ready=current) for each in running(planned(seen(10.0))))
    policy = replace(POLICY, scaling=Scaling(min_replicas=2, max_replicas=40))
    made = planned(TierSignals(**signals), states, policy)
    assert 2 <= made.replicas <= 40
    assert all(math.isfinite(each.power_w) for each in made.variants)


@FEW
@given(RATES, st.floats(1.0, 300.0))
def test_a_budget_holds_whatever_the_load(rate: float, dollars_per_h: float) -> None:
    policy = replace(POLICY, budget=Budget(usd_per_s=dollars_per_h / 3600.0))
    cost = planned(seen(rate), policy=policy).cost_usd_per_s
    assert cost is not None
    assert cost <= dollars_per_h / 3600.0 * (1.0 + 1e-6)


@FEW
@given(RATES)
def test_twice_the_demand_costs_at_most_twice_as_much_and_one_replica(rate: float) -> None:
    once, twice = planned(seen(rate)), planned(seen(2.0 * rate))
    assert once.cost_usd_per_s is not None
    assert twice.cost_usd_per_s is not None
    one_replica = max((each.cost_usd_per_s or 0.0) / max(each.replicas, 1) for each in twice.variants)
    assert twice.cost_usd_per_s <= 2.0 * once.cost_usd_per_s + one_replica + 1e-12
