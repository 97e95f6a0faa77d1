"""A fleet's plan on cases that can be worked out by hand: quotas, reserved and spot supply, spares, reasons."""

import math
from dataclasses import replace

import pytest

from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.fleet.plan import FleetPlan, allotted, plan_fleet
from poolwright.planner.fleet.request import FleetLimits, FleetRequest, Purpose, Supply
from poolwright.planner.fleet.solve import Settings, Status
from poolwright.planner.menu import Menu, options_of
from poolwright.planner.outcome import Load
from poolwright.planner.policy import AcceleratorChoice, Budget, PoolPolicy, Scaling, TierPolicy
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import VariantState
from poolwright.queueing.objectives import Objectives

CATALOGUE = load_catalogue()
H100, L40S = "h100-sxm", "l40s"
PRICES = ((H100, 4.0 / 3600.0), (L40S, 0.5 / 3600.0))
"""4 and 0.5 $/h."""


def pool(
    name: str, rate_per_s: float, *, priority: int = 0, only: str | None = None, **request: object
) -> FleetRequest:
    names = (H100, L40S) if only is None else (only,)
    policy = PoolPolicy(
        namespace="n",
        name=name,
        model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
        tiers=(TierPolicy(name="chat", objectives=Objectives(ttft_s=0.8, itl_s=0.05), priority=priority),),
        accelerators=tuple(AcceleratorChoice(name=each) for each in names),
        max_tensor_parallel=1,
        scaling=Scaling(max_replicas=1000),
        prices_usd_per_s=PRICES,
    )
    menu = Menu(accelerators=tuple(CATALOGUE.accelerator(each) for each in names), refused=())
    load = Load(
        tier="chat",
        rate_per_s=rate_per_s,
        rates_per_s=(rate_per_s,),
        weights=(1.0,),
        input_tokens_mean=1024.0,
        output_tokens_mean=256.0,
        cached_prefix_ratio=0.0,
        is_observed=True,
        may_lower=True,
    )
    return FleetRequest(policy=policy, loads=(load,), options=tuple(options_of(policy, menu)), **request)  # type: ignore[arg-type]


def quota(count: int, accelerator: str = H100, **supply: object) -> FleetLimits:
    return FleetLimits(supplies=(Supply(accelerator=accelerator, quota=count, **supply),))  # type: ignore[arg-type]


def got(made: FleetPlan) -> dict[str, int]:
    return {each.pool: sum(part.replicas for part in each.column.parts) for each in made.choices}


def needed(rate_per_s: float, **request: object) -> int:
    return got(plan_fleet([pool("a", rate_per_s, only=H100, **request)], FleetLimits()))["n/a"]  # type: ignore[arg-type]


def test_the_tier_with_priority_gets_the_accelerators_and_the_other_is_told_who_has_them() -> None:
    first, second = pool("first", 50.0, priority=0, only=H100), pool("second", 50.0, priority=1, only=H100)
    made = plan_fleet([second, first], quota(needed(50.0)))
    assert {"n/first": needed(50.0), "n/second": 0} == got(made)
    loser = made.choices[0].why
    assert (Reason.FLEET, Binding.ACCELERATORS, "n/first chat") == (loser.reason, loser.binding, loser.rival)
    assert f"the quota of {needed(50.0)} {H100} is worth more to n/first chat" in loser.detail


def test_at_one_priority_the_dearer_requests_are_served_first() -> None:
    cheap, dear = pool("cheap", 50.0, only=H100, utility=1.0), pool("dear", 50.0, only=H100, utility=3.0)
    made = plan_fleet([cheap, dear], quota(needed(50.0)))
    assert {"n/cheap": 0, "n/dear": needed(50.0)} == got(made)
    # All of 50 requests/s worth 1 each are lost, none of those worth 3.
    assert (50.0,) == made.losses


def test_what_a_quota_leaves_goes_to_a_part_of_the_other_tiers_load() -> None:
    first, second = pool("first", 50.0, only=H100), pool("second", 50.0, priority=1, only=H100)
    made = plan_fleet([first, second], quota(needed(50.0) + 1))
    assert {"n/first": needed(50.0), "n/second": 1} == got(made)
    part = made.choices[1].column.served_ratio
    assert pytest.approx(50.0 * (1.0 - part)) == made.losses[1]
    assert 0.0 < part < 1.0


def test_a_pool_that_a_quota_cuts_moves_to_what_costs_it_least_more() -> None:
    # One of both must leave the L40S; the quota leaves room for either.
    small, large = pool("small", 4.0), pool("large", 30.0)
    alone = plan_fleet([small, large], FleetLimits())
    cheap = {each.pool: each.column for each in alone.choices}
    assert {L40S} == {part.variant.accelerator for each in cheap.values() for part in each.parts}
    made = plan_fleet([small, large], quota(dict(cheap["n/large"].accelerators)[L40S], L40S), may_mix=False)
    assert made.cost > alone.cost
    assert made.bindings[0].name.startswith("the quota of")
    assert made.bindings[0].worth > 0.0


def test_reserved_accelerators_are_used_first_and_cost_nothing_more() -> None:
    one = pool("a", 50.0)
    free = plan_fleet([one], FleetLimits())
    assert L40S == free.choices[0].column.parts[0].variant.accelerator
    paid = plan_fleet([one], FleetLimits(supplies=(Supply(accelerator=H100, reserved=needed(50.0)),)))
    assert ((H100, needed(50.0)),) == allotted(paid, "n/a")
    assert pytest.approx(0.0, abs=1e-12) == paid.usd_per_s


def test_spot_accelerators_carry_their_risk_and_no_more_than_the_share_that_a_pool_accepts() -> None:
    count = needed(50.0)
    supply = Supply(accelerator=H100, spot=100, spot_usd_per_s=2.0 / 3600.0)
    limits = FleetLimits(supplies=(supply,), spot_risk_ratio=0.5)
    half = plan_fleet([pool("a", 50.0, only=H100, spot_ratio=0.5)], limits)
    none = plan_fleet([pool("a", 50.0, only=H100)], limits)
    # 4 $/h each; at half of them 2 $/h are paid, and 2 * 1.5 = 3 $/h compared.
    assert pytest.approx(4.0 * count / 3600.0) == none.usd_per_s
    assert pytest.approx((4.0 * count - 2.0 * (count // 2)) / 3600.0) == half.usd_per_s
    assert pytest.approx((4.0 * count - 1.0 * (count // 2)) / 3600.0) == half.cost


def test_a_spare_replica_is_one_more_and_domains_ask_for_one_each() -> None:
    assert needed(50.0) + 1 == needed(50.0, spare_replicas=1)
    assert (1, 3) == (needed(0.5), needed(0.5, min_domains=3))


def test_a_tier_that_must_be_spread_does_not_take_accelerators_of_too_few_domains() -> None:
    spread = pool("a", 0.5, only=H100, min_domains=2)
    one, two = quota(8, domains=(8,)), quota(8, domains=(4, 4))
    assert [0, 2] == [got(plan_fleet([spread], limits))["n/a"] for limits in (one, two)]


def test_a_change_that_saves_less_than_it_costs_is_not_made() -> None:
    one = pool("a", 50.0)
    best = plan_fleet([one], FleetLimits()).choices[0].column
    other = plan_fleet([pool("a", 50.0, only=H100)], FleetLimits()).choices[0].column
    state = VariantState(variant=other.parts[0].variant, wanted=other.parts[0].replicas, ready=1)
    assert best.usd_per_s is not None
    assert other.usd_per_s is not None
    # Prices under which what runs costs 10 and then 20 % more than the best: the threshold is 15 % of what runs.
    for dearer, stays in ((1.10, True), (1.20, False)):
        price = best.usd_per_s * dearer / other.parts[0].replicas
        policy = replace(one.policy, prices_usd_per_s=((H100, price), PRICES[1]))
        made = plan_fleet([replace(one, policy=policy, running=(state,))], FleetLimits())
        assert stays == (made.choices[0].column.parts == other.parts)


def test_a_second_accelerator_serves_what_a_quota_cuts_off() -> None:
    whole = dict(allotted(plan_fleet([pool("a", 60.0)], FleetLimits()), "n/a"))[L40S]
    made = plan_fleet([pool("a", 60.0)], quota(math.ceil(whole * 0.75), L40S))
    alone = plan_fleet([pool("a", 60.0)], quota(math.ceil(whole * 0.75), L40S), may_mix=False)
    assert {H100, L40S} == {part.variant.accelerator for part in made.choices[0].column.parts}
    assert made.cost < alone.cost
    assert 1.0 == made.choices[0].column.served_ratio


def test_energy_and_carbon_choose_by_watts_and_by_where_they_are_drawn() -> None:
    one = pool("a", 50.0)
    energy = plan_fleet([one], FleetLimits(purpose=Purpose.ENERGY))
    assert energy.cost == energy.choices[0].column.energy_w
    chosen = energy.choices[0].column.parts[0].variant.accelerator
    # A hundred times the carbon where the frugal one stands: the other is taken.
    dirty = FleetLimits(
        purpose=Purpose.CARBON, grams_per_j=1e-4, supplies=(Supply(accelerator=chosen, grams_per_j=1e-2),)
    )
    assert chosen != plan_fleet([one], dirty).choices[0].column.parts[0].variant.accelerator


def test_a_budget_that_is_short_is_named_with_its_figure() -> None:
    made = plan_fleet([pool("a", 50.0)], FleetLimits(budget=Budget(usd_per_s=1.0 / 3600.0)))
    assert "the fleet's budget of 1.00 $/h" in made.choices[0].why.detail
    assert Binding.BUDGET == made.choices[0].why.binding


def test_without_time_for_the_solver_a_plan_comes_all_the_same_with_its_bound() -> None:
    asked = [pool("a", 50.0), pool("b", 20.0), pool("c", 7.0)]
    exact = plan_fleet(asked, quota(3, L40S))
    quick = plan_fleet(asked, quota(3, L40S), Settings(time_limit_s=0.0))
    assert Status.OPTIMAL == exact.status
    assert quick.bound <= exact.cost <= quick.cost


def test_nothing_asked_is_nothing_planned() -> None:
    assert ((), 0.0) == (plan_fleet([], FleetLimits()).choices, plan_fleet([], FleetLimits()).cost)
