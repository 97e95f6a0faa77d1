"""What every plan for a fleet keeps: quotas, budgets, order, calm; and each pool its own choice if nothing is short."""

import math
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.candidates import candidates
from poolwright.planner.fleet.plan import FleetPlan, plan_fleet
from poolwright.planner.fleet.request import FleetLimits, FleetRequest, Purpose, Supply
from poolwright.planner.menu import Menu, options_of
from poolwright.planner.optimise import optimised
from poolwright.planner.outcome import Load
from poolwright.planner.policy import AcceleratorChoice, Budget, PoolPolicy, Scaling, TierPolicy
from poolwright.planner.snapshot import Variant, VariantState
from poolwright.queueing.objectives import Objectives

CATALOGUE = load_catalogue()
NAMES = ("h100-sxm", "l40s", "a100-sxm-80gb")
TIERS = (
    TierPolicy(name="chat", objectives=Objectives(ttft_s=0.8, itl_s=0.05)),
    TierPolicy(name="chat", objectives=Objectives(ttft_s=2.0, itl_s=0.08), priority=1),
)
POLICY = PoolPolicy(
    namespace="n",
    name="",
    model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
    tiers=(),
    accelerators=tuple(AcceleratorChoice(name=name) for name in NAMES),
    max_tensor_parallel=1,
    scaling=Scaling(max_replicas=1000),
)
OPTIONS = tuple(options_of(POLICY, Menu(accelerators=tuple(CATALOGUE.accelerator(name) for name in NAMES), refused=())))
FEW = settings(max_examples=8, deadline=None)


def load(rate_per_s: float, *, may_lower: bool = True) -> Load:
    return Load(
        tier="chat",
        rate_per_s=rate_per_s,
        rates_per_s=(rate_per_s,),
        weights=(1.0,),
        input_tokens_mean=1024.0,
        output_tokens_mean=256.0,
        cached_prefix_ratio=0.0,
        is_observed=True,
        may_lower=may_lower,
    )


def pools(rates: list[tuple[float, int]]) -> tuple[FleetRequest, ...]:
    return tuple(
        FleetRequest(
            policy=replace(POLICY, name=f"p{index}", tiers=(TIERS[kind],)), loads=(load(rate),), options=OPTIONS
        )
        for index, (rate, kind) in enumerate(rates)
    )


def occupied(made: FleetPlan) -> dict[str, int]:
    total: dict[str, int] = dict.fromkeys(NAMES, 0)
    for each in made.choices:
        for name, count in each.column.accelerators:
            total[name] += count
    return total


def limits(quotas: list[int | None], usd_per_h: float | None = None, purpose: Purpose = Purpose.COST) -> FleetLimits:
    return FleetLimits(
        supplies=tuple(Supply(accelerator=name, quota=quota) for name, quota in zip(NAMES, quotas, strict=True)),
        budget=Budget(usd_per_s=None if usd_per_h is None else usd_per_h / 3600.0),
        purpose=purpose,
    )


def running(request: FleetRequest, made: FleetPlan) -> FleetRequest:
    """Return a pool for which everything runs that a plan gave it."""
    states = tuple(
        VariantState(variant=part.variant, wanted=part.replicas, ready=part.replicas)
        for each in made.choices
        if each.pool == request.name
        for part in each.column.parts
    )
    return replace(request, running=states)


RATES = st.lists(st.tuples(st.sampled_from([0.5, 7.0, 20.0, 45.0, 90.0]), st.integers(0, 1)), min_size=1, max_size=4)
QUOTAS = st.lists(st.one_of(st.none(), st.integers(0, 8)), min_size=3, max_size=3)
BUDGETS = st.one_of(st.none(), st.sampled_from([0.0, 5.0, 12.0, 40.0]))


@given(RATES, QUOTAS, BUDGETS, st.sampled_from(Purpose))
@FEW
def test_no_quota_and_no_budget_is_ever_exceeded(
    rates: list[tuple[float, int]], quotas: list[int | None], usd_per_h: float | None, purpose: Purpose
) -> None:
    made = plan_fleet(pools(rates), limits(quotas, usd_per_h, purpose))
    over = [
        name for name, quota in zip(NAMES, quotas, strict=True) if quota is not None and occupied(made)[name] > quota
    ]
    assert [] == over
    assert made.usd_per_s * 3600.0 <= (math.inf if usd_per_h is None else usd_per_h) * (1.0 + 1e-9)


@given(RATES, QUOTAS, st.sampled_from([5.0, 12.0, 40.0]), st.sampled_from([1.0, 10.0, 1000.0]))
@FEW
def test_more_budget_never_serves_less_nor_costs_more_for_as_much(
    rates: list[tuple[float, int]], quotas: list[int | None], usd_per_h: float, more: float
) -> None:
    less = plan_fleet(pools(rates), limits(quotas, usd_per_h)).value
    wide = plan_fleet(pools(rates), limits(quotas, usd_per_h + more)).value
    first = next((i for i in range(len(less)) if not math.isclose(less[i], wide[i], abs_tol=1e-9)), None)
    assert first is None or wide[first] < less[first]


@given(RATES, QUOTAS, st.randoms(use_true_random=False))
@FEW
def test_the_order_of_pools_does_not_matter(
    rates: list[tuple[float, int]], quotas: list[int | None], random: Random
) -> None:
    asked = pools(rates)
    mixed = list(asked)
    random.shuffle(mixed)
    names = {each.pool: each for each in plan_fleet(asked, limits(quotas)).choices}
    assert names == {each.pool: each for each in plan_fleet(mixed, limits(quotas)).choices}


@given(RATES, QUOTAS, BUDGETS)
@FEW
def test_planning_again_on_what_was_planned_changes_nothing(
    rates: list[tuple[float, int]], quotas: list[int | None], usd_per_h: float | None
) -> None:
    asked = pools(rates)
    made = plan_fleet(asked, limits(quotas, usd_per_h))
    again = plan_fleet([running(each, made) for each in asked], limits(quotas, usd_per_h))
    assert [each.column.name for each in made.choices] == [each.column.name for each in again.choices]


@given(RATES)
@FEW
def test_without_shared_limits_each_pool_gets_its_own_cheapest(rates: list[tuple[float, int]]) -> None:
    asked = pools(rates)
    made = plan_fleet(asked, FleetLimits())
    for each, choice in zip(asked, made.choices, strict=True):
        tier, load_ = each.policy.tiers[0], each.loads[0]
        found, _ = candidates(each.policy.model, each.options, load_, tier.objectives)
        own = optimised(tier, load_, found, (), (), {}).offer
        assert own is not None
        # The same up to the replica in a hundred that the curve may plan too many.
        assert own.variant == choice.column.parts[0].variant
        assert own.verdict.replicas <= choice.column.parts[0].replicas <= math.ceil(own.verdict.replicas * 1.01)


@given(st.integers(0, 12), st.integers(0, 12))
@FEW
def test_what_runs_stays_while_a_signal_is_missing_whoever_else_wants_it(held: int, quota: int) -> None:
    blind, rich = pools([(7.0, 1), (90.0, 0)])
    states = [VariantState(variant=each, wanted=held) for each in variants("h100-sxm") if held]
    blind = replace(blind, loads=(load(7.0, may_lower=False),), running=tuple(states))
    made = plan_fleet([blind, rich], limits([max(quota, held), 0, 0]))
    kept = sum(part.replicas for part in made.choices[0].column.parts)
    assert held <= kept
    assert occupied(made)["h100-sxm"] <= max(quota, held)


def variants(accelerator: str) -> list[Variant]:
    made = plan_fleet(pools([(7.0, 1)]), limits([None if name == accelerator else 0 for name in NAMES]))
    return [part.variant for part in made.choices[0].column.parts]
