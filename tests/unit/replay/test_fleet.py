"""Fleets that are small enough to follow by hand: a step takes 10 ms whatever it does."""

from dataclasses import replace

import numpy as np
import pytest

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet import Fleet, FleetRules
from poolwright.replay.fleet_block import Block
from poolwright.replay.fleet_life import Quota
from poolwright.replay.fleet_minutes import PERCENTILES
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_replay import replay, together
from poolwright.replay.fleet_variant import ColdStart, FleetVariant
from poolwright.replay.policies import policy_of
from poolwright.simulator.layout import law_of
from poolwright.simulator.pool import Routing
from poolwright.simulator.step_table import StepTable

STEP_S = 0.01
LAW = law_of(
    StepTable.of(
        lambda n, c, p: STEP_S + 0.0 * (n + c + p),
        max_num_seqs=8,
        max_context_tokens=4096,
        max_num_batched_tokens=512,
        points=4,
    ),
    8,
)
ONE = FleetVariant(
    key="one",
    law=LAW,
    max_num_seqs=8,
    max_num_batched_tokens=512,
    blocks=1000,
    block_tokens=16,
    cold_start_s=20.0,
    price_usd_per_s=2.0,
    idle_w=100.0,
    tdp_w=300.0,
)


def requests(*arrivals_s: float, output: int = 100, tiers: tuple[int, ...] | None = None) -> list[Block]:
    count = len(arrivals_s)
    return [
        Block(
            arrivals_s=np.array(arrivals_s, dtype=np.float64),
            input_tokens=np.full(count, 10),
            output_tokens=np.full(count, output),
            tiers=None if tiers is None else np.array(tiers),
        )
    ]


def test_a_cold_start_is_the_sum_of_its_parts() -> None:
    # 60 + 10/0.5 + 16/4 + 20 = 104
    start = ColdStart(
        provisioning_s=60.0, image_bytes=10e9, image_bytes_per_s=0.5e9, storage_bytes_per_s=4e9, warm_up_s=20.0
    )
    assert 104.0 == start.seconds(16e9)


def test_who_comes_before_a_replica_is_ready_is_held_at_the_gateway() -> None:
    fleet = Fleet((ONE,), FleetRules(), requests(5.0), {"one": 0})
    fleet.advance(1.0)
    fleet.want({"one": 1})
    fleet.advance(20.0)
    assert (1, 0, 1) == (fleet.totals.arrived, fleet.totals.running, fleet.totals.queued)
    fleet.advance(30.0)
    # Ready at 1 + 20 s; the first step gives the first token 10 ms later, 16.01 s after the request came.
    made = fleet.recorded()
    assert made.minutes["ttft_s"].sum() == pytest.approx(16.01)
    assert 1 == made.minutes["ttft_late"].sum()
    assert 29.0 == pytest.approx(made.replica_s)
    assert 58.0 == pytest.approx(made.usd)


def test_a_start_that_is_no_longer_wanted_is_paid_until_then_and_never_opens() -> None:
    fleet = Fleet((ONE,), FleetRules(), requests(5.0), {"one": 0})
    fleet.want({"one": 1})
    fleet.advance(15.0)
    fleet.want({"one": 0})
    fleet.advance(60.0)
    assert 15.0 == pytest.approx(fleet.recorded().replica_s)
    assert 1 == fleet.totals.queued


def test_a_closed_replica_finishes_what_it_has_and_takes_nothing_else() -> None:
    fleet = Fleet((ONE,), FleetRules(), requests(1.0, 10.0, output=1000), {"one": 2})
    fleet.advance(5.0)
    fleet.want({"one": 0})
    fleet.advance(9.0)
    assert (0, 0, 1) == fleet.lives.count(0, fleet.now_s)  # the idle one is gone, the busy one drains
    fleet.advance(30.0)
    assert (1, 0, 1) == (fleet.totals.finished, fleet.totals.running, fleet.totals.queued)
    # One is idle and paid for 5 s; the other finishes 1000 tokens, 10 ms each, after 1 s.
    assert 5.0 + 11.0 == pytest.approx(fleet.recorded().replica_s)


def test_a_drain_ends_at_its_limit_and_what_had_begun_is_lost() -> None:
    rules = FleetRules(drain_most_s=2.0)
    fleet = Fleet((ONE,), rules, requests(1.0, output=1000), {"one": 1})
    fleet.advance(5.0)
    fleet.want({"one": 0})
    fleet.advance(10.0)
    assert 1 == fleet.totals.lost
    assert 7.0 == pytest.approx(fleet.recorded().replica_s)


def test_a_failed_replica_loses_who_had_a_token_and_sends_back_who_had_none() -> None:
    variant = replace(ONE, max_num_seqs=1, mean_life_s=30.0)
    fleet = Fleet((variant,), FleetRules(seed=3), requests(*np.zeros(20), output=1000), {"one": 1})
    ends_s = fleet.lives.alive[0].ends_s
    done = int(ends_s / 10.0)  # 1000 tokens of 10 ms each, one request at a time
    assert 0 < done < 19
    fleet.advance(ends_s - 0.1)
    assert (done, 1, 19 - done) == (fleet.totals.finished, fleet.totals.running, fleet.totals.queued)
    fleet.advance(ends_s + 0.1)
    assert (done, 0, 19 - done) == (fleet.totals.finished, fleet.totals.running, fleet.totals.queued)
    assert (1, 1) == (fleet.totals.lost, fleet.lives.failed)
    assert (0, 1, 0) == fleet.lives.count(0, fleet.now_s)  # another one is on its way
    fleet.advance(ends_s + 25.0)
    assert (1, 0, 0) == fleet.lives.count(0, fleet.now_s)
    assert 1 == fleet.totals.running


def test_a_reclaimed_replica_drains_from_its_notice_and_another_is_ordered() -> None:
    variant = replace(ONE, mean_spot_s=50.0, notice_s=30.0)
    fleet = Fleet((variant,), FleetRules(seed=1), [], {"one": 1})
    notice_s = fleet.lives.alive[0].notice_s
    fleet.advance(notice_s + 1e-6)
    assert (0, 1, 0) == fleet.lives.count(0, fleet.now_s)  # it was empty, so it is gone at once
    fleet.advance(notice_s + 20.0)
    assert (1, 0, 0) == fleet.lives.count(0, fleet.now_s)


def test_a_quota_bounds_what_is_paid_for() -> None:
    fleet = Fleet((replace(ONE, quota=2),), FleetRules(), requests(1.0, output=4000), {"one": 1})
    fleet.want({"one": 5})
    assert (1, 1, 0) == fleet.lives.count(0, fleet.now_s)
    fleet.advance(25.0)
    assert (2, 0, 0) == fleet.lives.count(0, fleet.now_s)


def test_fleets_that_share_accelerators_get_what_others_leave() -> None:
    quota = Quota({"one": 3})
    first, second = (Fleet((ONE,), FleetRules(), [], {"one": 1}, quota) for _ in range(2))
    first.want({"one": 2})
    second.want({"one": 2})
    assert [(1, 1, 0), (1, 0, 0)] == [each.lives.count(0, 0.0) for each in (first, second)]
    first.want({"one": 1})
    second.want({"one": 2})
    assert [(1, 0, 0), (1, 1, 0)] == [each.lives.count(0, 0.0) for each in (first, second)]
    assert {"one": 3} == quota.taken


def test_a_policy_sees_counts_of_now_and_figures_of_the_period_before() -> None:
    fleet = Fleet((ONE,), FleetRules(), requests(1.0, 2.0, 16.0, output=10), {"one": 1})
    seen: list[Observed] = []
    for period in range(1, 4):
        fleet.advance(period * 15.0)
        fleet.want({"one": 1 + period})
        seen.append(fleet.observe())
    assert [-1.0, 15.0, 30.0] == [each.seen_s for each in seen]
    assert [0, 2, 1] == [each.arrived for each in seen]
    assert [2, 3, 4] == [each.variants[0].wanted for each in seen]
    assert [1, 1, 2] == [each.ready for each in seen]  # ordered at 15 s, ready at 35 s
    assert 10 == seen[1].variants[0].finished_input_tokens // 2
    assert 0.01 == pytest.approx(seen[1].tpot.mean_s)
    assert 0.01 == pytest.approx(seen[1].itl.percentile_s(0.9), rel=0.01)
    assert 0.01 == pytest.approx(seen[1].ttft.percentile_s(0.5), rel=0.03)


def test_replicas_that_do_not_answer_are_missing_from_the_figures() -> None:
    fleet = Fleet((ONE,), FleetRules(silent_ratio=0.5, seed=2), requests(*(16.0 + np.arange(64))), {"one": 8})
    reporting = []
    for period in range(1, 8):
        fleet.advance(period * 15.0)
        reporting.append(fleet.observe().variants[0].reporting)
    # The first scrape was drawn before anybody could be silent; the rest are binomial(8, 1/2).
    assert 8 == reporting[1]
    assert 0 < np.mean(reporting[2:]) < 8


def test_a_more_important_tier_waits_less() -> None:
    variant = replace(ONE, max_num_seqs=1)
    goals = Objectives(ttft_s=1.0)
    fleet = Fleet((variant,), FleetRules(tiers=(goals, goals)), requests(0.0, 0.1, 0.2, tiers=(1, 1, 0)), {"one": 1})
    fleet.advance(60.0)
    # One at a time, a second each: the urgent one overtakes the one that waits.
    assert [0.81, 0.01 + 1.91] == pytest.approx(fleet.recorded().minutes["ttft_s"][0])


def test_minutes_tell_violations_by_when_requests_came() -> None:
    variant = replace(ONE, max_num_seqs=1)
    coming = requests(0.0, 59.5, 59.9, 130.0)
    fleet = Fleet((variant,), FleetRules(tiers=(Objectives(ttft_s=0.5),)), coming, {"one": 1})
    fleet.advance(180.0)
    made = fleet.recorded()
    # The third waits 0.6 s for the second: a third of its minute is late, 5 % may be.
    assert [True, False, False] == made.violates[:, 0].tolist()
    assert 1 / 3 == pytest.approx(made.violating_ratio)
    assert (0.75,) == made.attainment
    assert [3, 0, 1] == made.minutes["arrived"][:, 0].tolist()
    assert made.ttft_s[0, 0, PERCENTILES.index(0.99)] == pytest.approx(0.61, rel=0.02)
    assert np.isnan(made.ttft_s[1]).all()


def test_who_is_never_served_is_late() -> None:
    fleet = Fleet((ONE,), FleetRules(), requests(10.0, 59.5), {"one": 0})
    fleet.advance(60.0)
    # The second came half a second before the end: its objective of a second has not passed.
    assert 1 == fleet.recorded().late.sum()


def test_a_busy_replica_draws_more_power_than_an_idle_one() -> None:
    made = []
    for output in (1, 1000):
        fleet = Fleet((ONE,), FleetRules(), requests(0.0, output=output), {"one": 1})
        fleet.advance(10.0)
        made.append(fleet.recorded().joules)
    # 10 s idle at 100 W; one step, or 10 s of steps, at 0.55 of the 200 W above that.
    assert [1000.0 + 110.0 * STEP_S, 1000.0 + 1100.0] == pytest.approx(made)


def test_a_replica_in_the_place_of_another_begins_with_nothing() -> None:
    fleet = Fleet((replace(ONE, cold_start_s=0.0),), FleetRules(), requests(0.0, output=500), {"one": 1})
    fleet.advance(10.0)
    row = fleet.lives.alive[0].row
    fleet.want({"one": 0})
    fleet.advance(20.0)
    fleet.want({"one": 1})
    fleet.advance(30.0)
    assert row == fleet.lives.alive[0].row
    # 20 s paid in two pieces, 5 s of steps in the first.
    assert 20 * 100.0 + 5 * 110.0 == pytest.approx(fleet.recorded().joules)
    fleet.observe()
    assert 0 == fleet.observe().variants[0].generated_tokens


def test_round_robin_takes_turns_and_a_faster_kind_gets_more_of_least_requests() -> None:
    twice = replace(ONE, key="two", weight=2.0)
    shares = {}
    for routing in (Routing.ROUND_ROBIN, Routing.LEAST_REQUESTS):
        fleet = Fleet(
            (ONE, twice), FleetRules(routing=routing), requests(*np.arange(6) * 0.1, output=4000), {"one": 1, "two": 1}
        )
        fleet.advance(1.0)
        fleet.observe()
        fleet.advance(2.0)
        shares[routing] = [each.arrived for each in fleet.observe().variants]
    assert {Routing.ROUND_ROBIN: [3, 3], Routing.LEAST_REQUESTS: [2, 4]} == shares


def conversation(*parts: tuple[int, ...], output: int = 2) -> list[Block]:
    """Return prompts of whole parts of 32 tokens, a second apart."""
    return [
        Block(
            arrivals_s=np.arange(len(parts), dtype=np.float64),
            input_tokens=np.array([32 * len(each) for each in parts]),
            output_tokens=np.full(len(parts), output),
            parts=np.array([number for each in parts for number in each]),
            parts_from=np.cumsum([0, *(len(each) for each in parts)]),
            part_tokens=32,
        )
    ]


def test_a_replica_does_not_compute_again_what_it_knows_of_a_prompt() -> None:
    coming = conversation((1, 2), (1, 2, 3), (4, 2, 3), (1, 2, 3))
    fleet = Fleet((ONE,), FleetRules(), coming, {"one": 1})
    fleet.advance(20.0)
    # 64 tokens; 32 of 96; all 96, as only a beginning counts; and of the last all but 80, as one token is computed.
    assert 64 + 32 + 96 + 16 == int(fleet.world.sites["prefilled"].sum())
    assert 4 == fleet.totals.finished


def test_affinity_draws_requests_to_who_knows_their_prompt() -> None:
    # All run for 5 s: the third and fourth meet one request at each replica, and without affinity take the older one
    # and then the other, which knows the other prompt.
    coming = conversation((1, 2), (7, 8), (7, 8, 9), (1, 2, 3), output=500)
    computed = []
    for is_drawn in (False, True):
        fleet = Fleet((ONE,), FleetRules(prefix_affinity=is_drawn), coming, {"one": 2})
        fleet.advance(20.0)
        computed.append(int(fleet.world.sites["prefilled"].sum()))
    assert [64 + 64 + 96 + 96, 64 + 64 + 32 + 32] == computed


def test_a_request_that_no_replica_could_hold_is_refused_by_name() -> None:
    fleet = Fleet((ONE,), FleetRules(), requests(1.0, output=17_000), {"one": 1})
    with pytest.raises(ValueError, match="needs 17010 tokens of cache, a replica has 16000"):
        fleet.advance(2.0)


def test_a_replay_asks_its_policy_every_period_and_stops_with_the_traffic() -> None:
    policy = policy_of("static", (ONE,), Objectives(ttft_s=1.0), {"replicas": 3})
    made = replay((ONE,), FleetRules(), requests(1.0, 40.0), policy, initial={"one": 1})
    assert 45.0 == made.recorded.until_s
    assert (2, 0, 0, 1) == (made.started, made.stopped, made.failed, made.changes)
    # One from the beginning, two from 15 s on.
    assert 45.0 + 2 * 30.0 == pytest.approx(made.recorded.replica_s)


def test_pools_replay_together_within_what_they_share() -> None:
    quota = Quota({"one": 3})
    fleets = [Fleet((ONE,), FleetRules(), requests(1.0, 2.0), {"one": 1}, quota) for _ in range(2)]
    policies = [policy_of("static", (ONE,), Objectives(ttft_s=1.0), {"replicas": 2}) for _ in range(2)]
    found = together(fleets, policies, 60.0)
    # Both want a second one at 15 s, and the first one asked gets it.
    assert [60.0 + 45.0, 60.0] == pytest.approx([each.replica_s for each in found])
    assert [2, 2] == [each.minutes["finished"].sum() for each in found]


def test_policies_and_settings_that_do_not_exist_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"policy 'magic': known are .*static"):
        policy_of("magic", (ONE,), Objectives(ttft_s=1.0))
    with pytest.raises(ValueError, match="no setting speed"):
        policy_of("static", (ONE,), Objectives(ttft_s=1.0), {"speed": 1.0})
