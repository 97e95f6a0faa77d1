from dataclasses import replace

import numpy as np
import pytest

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.replica import ReplicaConfig
from poolwright.queueing.objectives import Objectives
from poolwright.replay.profile import load_profile
from poolwright.replay.twin import Twin, TwinPod

CATALOGUE = load_catalogue()
OBJECTIVES = {"interactive": Objectives(ttft_s=0.8, itl_s=0.04)}


def pod(name: str, accelerator: str = "h100-sxm") -> TwinPod:
    return TwinPod(
        name=name,
        tier="interactive",
        config=ReplicaConfig(
            accelerator=CATALOGUE.accelerator(accelerator),
            model=CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"),
            weight_format="bf16",
            kv_format="bf16",
        ),
        max_num_seqs=128,
        max_num_batched_tokens=1024,
    )


def twin(factor: float = 1.0) -> Twin:
    rng = np.random.default_rng(0)
    return Twin(trace=load_profile().trace(rng, factor=factor), objectives=OBJECTIVES, rng=rng)


def check_conservation(fleet: Twin) -> None:
    assert fleet.arrived == fleet.finished + fleet.in_flight + fleet.held + fleet.shed


def test_without_a_ready_pod_the_gateway_holds_what_comes_and_one_pod_works_it_off() -> None:
    fleet = twin()
    fleet.advance(20.0)
    assert fleet.held == fleet.arrived > 0
    fleet.follow({"a": pod("a")})
    fleet.advance(60.0)
    assert fleet.held == 0
    check_conservation(fleet)


def test_a_pod_that_goes_finishes_what_it_has_and_gets_nothing_new() -> None:
    fleet = twin()
    fleet.follow({"a": pod("a"), "b": pod("b")})
    fleet.advance(60.0)
    fleet.follow({"b": pod("b")})
    fleet.advance(90.0)
    assert fleet.page("a") is None
    assert fleet.page("b") is not None
    check_conservation(fleet)


def test_light_load_meets_the_objectives_and_overload_does_not() -> None:
    light, heavy = twin(), twin(factor=8.0)
    for fleet in (light, heavy):
        fleet.follow({"a": pod("a")})
        fleet.advance(120.0)
        check_conservation(fleet)
    assert light.scores["interactive"].attainment_ratio > 0.99
    assert heavy.scores["interactive"].attainment_ratio < 0.9
    assert (heavy.scores["interactive"].recent_ttft_s or 0.0) > (light.scores["interactive"].recent_ttft_s or 0.0)


def test_the_same_seed_serves_the_same_pages() -> None:
    first, second = twin(), twin()
    for fleet in (first, second):
        fleet.follow({"a": pod("a")})
        fleet.advance(30.0)
    assert first.page("a") == second.page("a")


def test_accelerator_time_is_paid_for_from_the_moment_a_pod_is_ready() -> None:
    fleet = twin()
    fleet.advance(10.0)
    fleet.follow({"a": pod("a"), "b": pod("b")})
    fleet.advance(40.0)
    assert fleet.replica_seconds == {"h100-sxm": pytest.approx(60.0)}


def test_a_full_queue_sheds_and_what_is_shed_counts_as_an_arrival_and_as_late() -> None:
    small = replace(pod("a", "l4"), max_queued_requests=1)
    fleet = twin(factor=4.0)
    fleet.follow({"a": small})
    fleet.advance(60.0)
    check_conservation(fleet)
    score = fleet.scores["interactive"]
    assert score.shed > 0
    assert score.attainment_ratio <= score.served / (score.served + score.shed)
    page = fleet.page("a") or b""
    arrived = next(line for line in page.decode().splitlines() if line.startswith("poolwright_requests_arrived_total"))
    assert fleet.arrived - fleet.held == int(float(arrived.split()[-1]))
