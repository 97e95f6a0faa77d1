"""Our policy: the planner's decision in a replay, and the table that its sizing is read from."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.replica import ReplicaConfig
from poolwright.planner.candidates import workload_of
from poolwright.planner.outcome import Load
from poolwright.planner.policy import TierPolicy
from poolwright.planner.verify import closed_form, rates_of, verdict_of
from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_observed import Latencies, Observed, VariantSeen
from poolwright.replay.fleet_variant import FleetVariant, after, variant_of
from poolwright.replay.policies.planned import Planned, PlannedSettings, placed
from poolwright.replay.policies.sizing import Sizing

GOALS = Objectives(ttft_s=1.0, itl_s=0.05)
NONE = Latencies(counts=np.zeros(1, dtype=np.int64), least_s=1.0, step=1.0, total_s=0.0)


@pytest.fixture(scope="module")
def variant() -> FleetVariant:
    catalogue = load_catalogue()
    config = ReplicaConfig(
        accelerator=catalogue.accelerator("h100-sxm"),
        model=catalogue.model("llama-3.1-8b"),
        weight_format="bf16",
        kv_format="bf16",
    )
    return variant_of(config, max_num_seqs=128, max_num_batched_tokens=512, cold_start=after(120.0), key="gpu")


@pytest.fixture(scope="module")
def sizing(variant: FleetVariant) -> Sizing:
    return Sizing.of(variant, GOALS, closed_form)


def load(rate_per_s: float) -> Load:
    return Load(
        tier="tier",
        rate_per_s=rate_per_s,
        rates_per_s=(rate_per_s,),
        weights=(1.0,),
        input_tokens_mean=1000.0,
        output_tokens_mean=200.0,
        cached_prefix_ratio=0.0,
        is_observed=True,
        may_lower=True,
    )


@pytest.mark.parametrize("rate_per_s", [3.0, 17.0, 60.0, 150.0, 400.0])
def test_a_look_up_is_within_one_replica_of_a_plans_verdict(sizing: Sizing, rate_per_s: float) -> None:
    wanted = load(rate_per_s)
    verdict = verdict_of(sizing.station, workload_of(wanted), rates_of(wanted), GOALS, closed_form)
    assert abs(sizing.needed(wanted) - verdict.replicas) <= 1


def test_more_load_never_needs_fewer_replicas(sizing: Sizing) -> None:
    found = [sizing.needed(load(rate)) for rate in np.geomspace(0.1, 1000.0, 200)]
    assert sorted(found) == found


def test_what_a_number_of_replicas_serves_needs_no_more_of_them(sizing: Sizing) -> None:
    for count in (1, 5, 20, 50):
        assert sizing.needed(load(0.98 * sizing.served_per_s(load(1.0), count))) <= count


def seen(variant: FleetVariant, at_s: float, rate_per_s: float, wanted: int) -> Observed:
    own = VariantSeen(
        key="gpu",
        wanted=wanted,
        ready=wanted,
        starting=0,
        draining=0,
        quota=None,
        price_usd_per_s=variant.price_usd_per_s,
        max_num_seqs=128,
        kv_tokens=variant.kv_tokens,
        reporting=wanted,
        finished=100,
        finished_input_tokens=100_000,
        finished_output_tokens=20_000,
    )
    arrived = round(rate_per_s * 15.0)
    return Observed(
        seen_s=at_s - 15.0,
        window_s=15.0,
        variants=(own,),
        arrived=arrived,
        shed=0,
        held=0,
        ttft=NONE,
        itl=NONE,
        tpot=NONE,
        cold_start_s=120.0,
    )


@pytest.fixture
def policy(variant: FleetVariant, sizing: Sizing) -> Callable[[], Planned]:
    tier = TierPolicy(name="tier", objectives=GOALS)
    return lambda: Planned(PlannedSettings(), tier, (variant,), (sizing,))


def test_steady_traffic_gets_what_the_verdict_says(
    policy: Callable[[], Planned], variant: FleetVariant, sizing: Sizing
) -> None:
    own, wanted = policy(), 3
    for step in range(1, 60):
        wanted = own.decide(seen(variant, 15.0 * step, 40.0, wanted), 15.0 * step)["gpu"]
    assert sizing.needed(load(40.0)) == wanted


def test_a_step_up_is_answered_at_once_and_a_step_down_after_the_stabilisation(
    policy: Callable[[], Planned], variant: FleetVariant, sizing: Sizing
) -> None:
    own, wanted, counts = policy(), 1, []
    for step in range(1, 100):
        rate = 120.0 if 30 <= step < 40 else 20.0
        wanted = own.decide(seen(variant, 15.0 * step, rate, wanted), 15.0 * step)["gpu"]
        counts.append(wanted)
    before, peak = counts[28], max(counts)
    assert sizing.needed(load(120.0)) == counts[29]
    assert sizing.needed(load(20.0)) == before
    # The last window with the burst in it is at 40 * 15 s; 300 s of windows and 300 s of stabilisation follow.
    assert peak == counts[58]
    assert before == counts[-1]


def test_what_is_held_stays_where_it_runs_and_what_is_added_goes_to_the_first_with_room() -> None:
    first = VariantSeen(
        key="a", wanted=2, ready=2, starting=0, draining=0, quota=3, price_usd_per_s=1.0, max_num_seqs=1, kv_tokens=1
    )
    other = replace(first, key="b", wanted=4, quota=None)
    assert {"a": 2, "b": 3} == placed((first, other), {"a": 1, "b": 2}, 5)
    assert {"a": 3, "b": 7} == placed((first, other), {"a": 2, "b": 4}, 10)
