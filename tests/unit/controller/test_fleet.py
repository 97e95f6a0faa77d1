"""What a fleet leaves to each of its pools, from one pass to the next."""

import asyncio
from dataclasses import replace
from typing import Any

from poolwright.api.fleet_policy import FleetPolicy
from poolwright.api.translate import parsed
from poolwright.api.translate_fleet import fleet_limits, spot_ratio, utility
from poolwright.controller.cluster.pod_state import PoolRef
from poolwright.controller.fleet import Fleets, Governed
from poolwright.controller.objects import labels
from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.allotment import Allotment
from poolwright.planner.fleet.request import FleetLimits, FleetRequest, Purpose, Supply
from poolwright.planner.menu import Menu, options_of
from poolwright.planner.outcome import Load
from poolwright.planner.policy import AcceleratorChoice, PoolPolicy, Scaling, TierPolicy
from poolwright.planner.snapshot import Inventory, Variant, VariantState
from poolwright.queueing.objectives import Objectives

CATALOGUE = load_catalogue()
H100 = "h100-sxm"
VARIANT = Variant(tier="chat", accelerator=H100, weight_format="bf16", kv_format="bf16")
A, B = PoolRef(namespace="n", name="a"), PoolRef(namespace="n", name="b")
PLENTY = Inventory(provisionable=(H100,))


def request(pool: PoolRef, rate_per_s: float, priority: int = 0, wanted: int = 0) -> FleetRequest:
    policy = PoolPolicy(
        namespace=pool.namespace,
        name=pool.name,
        model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
        tiers=(TierPolicy(name="chat", objectives=Objectives(ttft_s=0.8, itl_s=0.05), priority=priority),),
        accelerators=(AcceleratorChoice(name=H100),),
        max_tensor_parallel=1,
        scaling=Scaling(max_replicas=1000),
    )
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
    menu = Menu(accelerators=(CATALOGUE.accelerator(H100),), refused=())
    running = (VariantState(variant=VARIANT, wanted=wanted, ready=wanted),) if wanted else ()
    return FleetRequest(policy=policy, loads=(load,), options=tuple(options_of(policy, menu)), running=running)


def deployment(replicas: int, variant: Variant = VARIANT) -> dict[str, Any]:
    notes = labels.variant_annotations(labels.Described(variant=variant, max_num_seqs=64, max_num_batched_tokens=2048))
    return {"metadata": {"labels": {labels.TIER: "chat"}, "annotations": notes}, "spec": {"replicas": replicas}}


def fleets_of(*times_s: float) -> Fleets:
    """Return fleets on a clock that shows some times, the last of them for ever; it stands still without any."""
    left = list(times_s) or [0.0]
    return Fleets(monotonic_s=lambda: left.pop(0) if len(left) > 1 else left[0])


def shared(quota: int, *pools: PoolRef) -> Governed:
    limits = FleetLimits(supplies=(Supply(accelerator=H100, quota=quota),))
    return Governed(name="all", limits=limits, pools=pools)


def asked(
    fleets: Fleets, pool: PoolRef, what: FleetRequest, governed: Governed, running: dict[PoolRef, int]
) -> Allotment:
    found, _ = asyncio.run(
        fleets.allotment(
            pool, what, governed, PLENTY, lambda each: ([deployment(running[each])] if running.get(each) else [], [])
        )
    )
    return found


def test_a_pool_alone_gets_what_it_needs_and_is_told_nothing() -> None:
    found = asked(fleets_of(), A, request(A, 7.0), shared(8, A), {})
    assert (((H100, 1),), ()) == (found.accelerators, found.told)


def test_a_pool_grows_only_into_what_the_other_has_let_go() -> None:
    fleets, governed = fleets_of(), shared(4, A, B)
    low = request(A, 90.0, priority=5, wanted=4)
    assert ((H100, 4),) == asked(fleets, A, low, governed, {A: 4}).accelerators
    # The other needs all four, but they still run: nothing is granted yet.
    first = asked(fleets, B, request(B, 90.0), governed, {A: 4})
    assert ((H100, 0),) == first.accelerators
    cut = asked(fleets, A, low, governed, {A: 4})
    assert ((H100, 0),) == cut.accelerators
    assert "worth more to n/b chat" in cut.why
    # Two of them are gone, so two may be taken.
    assert ((H100, 2),) == asked(fleets, B, request(B, 90.0), governed, {A: 2}).accelerators
    assert ((H100, 4),) == asked(fleets, B, request(B, 90.0), governed, {A: 0}).accelerators


def test_what_runs_of_a_pool_that_nobody_has_planned_yet_is_left_alone() -> None:
    # After a start the first pool to be looked at must not take what the others have.
    found = asked(fleets_of(), A, request(A, 90.0), shared(4, A, B), {B: 3})
    assert ((H100, 1),) == found.accelerators


def test_a_pool_that_came_after_the_last_plan_keeps_what_it_has_until_the_next() -> None:
    # Planning took 2 s on this clock, so the next plan is due 10 s later.
    fleets = fleets_of(0.0, 0.0, 2.0, 2.0)
    asked(fleets, A, request(A, 90.0), shared(4, A, B), {B: 3})
    kept = asked(fleets, B, request(B, 90.0, wanted=3), shared(4, A, B), {B: 3})
    assert (((H100, 3),), ()) == (kept.accelerators, kept.told)


def test_a_pool_that_is_gone_leaves_what_it_had() -> None:
    fleets = fleets_of()
    asked(fleets, B, request(B, 90.0), shared(4, A, B), {})
    fleets.forget(B)
    assert ((H100, 4),) == asked(fleets, A, request(A, 90.0, priority=5), shared(4, A), {}).accelerators


def test_a_pool_that_moves_keeps_what_it_has_until_the_new_replicas_are_ready() -> None:
    both = request(A, 7.0, wanted=1)
    old = replace(VARIANT, accelerator="a100-sxm-80gb")
    menu = Menu(accelerators=tuple(CATALOGUE.accelerator(each) for each in (H100, old.accelerator)), refused=())
    moving = replace(
        both,
        options=tuple(options_of(both.policy, menu)),
        running=(VariantState(variant=old, wanted=3, ready=3),),
    )
    limits = FleetLimits(supplies=(Supply(accelerator=H100, quota=4), Supply(accelerator=old.accelerator, quota=4)))
    governed = Governed(name="all", limits=limits, pools=(A,))
    dear = replace(moving, policy=replace(moving.policy, prices_usd_per_s=((old.accelerator, 1.0), (H100, 0.001))))
    found, _ = asyncio.run(fleets_of().allotment(A, dear, governed, PLENTY, lambda _: ([deployment(3, old)], [])))
    assert {H100: 1, old.accelerator: 3} == dict(found.accelerators)


def test_a_policy_in_hours_and_kilowatts_becomes_limits_in_seconds_and_watts() -> None:
    policy = parsed(
        FleetPolicy,
        {
            "metadata": {"name": "all"},
            "spec": {
                "shared": {
                    "accelerators": [
                        {"accelerator": H100, "maxAccelerators": 16, "reserved": 4, "spot": 2, "spotUsdPerHour": "1.80"}
                    ],
                    "budget": {"usdPerHour": "36.00", "watts": 20000},
                    "objective": "Carbon",
                    "carbonGramsPerKilowattHour": 360,
                    "spotPercent": 50,
                    "utilities": [{"namespace": "n", "pool": "a", "weight": 250}],
                }
            },
        },
    )
    limits = fleet_limits(policy)
    assert limits is not None
    supply = limits.supply(H100)
    # 36 $/h = 0.01 $/s; 360 g/kWh = 1e-4 g/J; a weight of 250 is 2.5 times the usual 100.
    assert (16, 4, 2, 0.0005) == (supply.quota, supply.reserved, supply.spot, supply.spot_usd_per_s)
    assert (0.01, 20000.0, Purpose.CARBON) == (limits.budget.usd_per_s, limits.budget.watts, limits.purpose)
    assert (1e-4, 0.5) == (limits.grams_per_j, spot_ratio(policy))
    assert (2.5, 1.0) == (utility(policy, "n", "a"), utility(policy, "n", "b"))


def test_a_policy_without_a_shared_part_shares_nothing() -> None:
    assert fleet_limits(parsed(FleetPolicy, {"metadata": {"name": "all"}, "spec": {}})) is None
