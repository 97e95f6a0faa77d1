"""Worked examples of each limit, alone and in the chain."""

import pytest

from poolwright.planner.constraints import Constraint
from poolwright.planner.limits import CHAIN, Contender, Situation, limited, pace, pin, spread, stabilisation, to_zero
from poolwright.planner.outcome import Load
from poolwright.planner.policy import Scaling
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import History, Variant, Wanted

NOW_S = 10_000.0
CALM = tuple(Wanted(time_s=NOW_S - ago, tier=tier, replicas=1) for ago in (900.0, 150.0) for tier in ("a", "b"))


def load(tier: str = "a", *, rate_per_s: float = 5.0, may_lower: bool = True) -> Load:
    return Load(
        tier=tier,
        rate_per_s=rate_per_s,
        rates_per_s=(rate_per_s,),
        weights=(1.0,),
        input_tokens_mean=1000.0,
        output_tokens_mean=200.0,
        cached_prefix_ratio=0.0,
        is_observed=True,
        may_lower=may_lower,
    )


def contender(
    tier: str = "a", *, wanted: int, current: int = 0, rate: float = 5.0, may_lower: bool = True
) -> Contender:
    variant = Variant(tier=tier, accelerator="l4", weight_format="bf16", kv_format="bf16")
    tier_load = load(tier, rate_per_s=rate, may_lower=may_lower)
    return Contender(tier=tier, load=tier_load, variant=variant, current=current, wanted=wanted)


def situation(
    *contenders: Contender, scaling: Scaling | None = None, history: History | None = None, bound: float | None = None
) -> Situation:
    use = {each.variant.key: 1.0 for each in contenders}
    maximum = Constraint(
        name="maximum", reason=Reason.MAX_REPLICAS, binding=Binding.MAX_REPLICAS, bound=bound or 64.0, use=use
    )
    return Situation(
        contenders=contenders,
        scaling=scaling or Scaling(),
        constraints=(maximum,),
        history=history if history is not None else History(wanted=CALM),
        now_s=NOW_S,
    )


def replicas(world: Situation) -> tuple[int, ...]:
    return limited(world)[0]


def test_scale_up_goes_to_the_full_number_in_one_cycle() -> None:
    assert (7,) == replicas(situation(contender(wanted=7, current=1)))


def test_a_missing_signal_holds_what_runs() -> None:
    assert (5,) == replicas(situation(contender(wanted=2, current=5, may_lower=False)))


def test_a_missing_signal_does_not_stop_a_rise() -> None:
    assert (8,) == replicas(situation(contender(wanted=8, current=5, may_lower=False)))


def test_a_lower_number_waits_for_the_largest_wish_of_the_window() -> None:
    wishes = History(wanted=(*CALM, Wanted(time_s=NOW_S - 100.0, tier="a", replicas=4)))
    assert (4,) == replicas(situation(contender(wanted=2, current=6), history=wishes))


def test_the_wish_in_force_when_the_window_began_still_counts() -> None:
    wishes = History(wanted=(Wanted(time_s=NOW_S - 600.0, tier="a", replicas=3),))
    assert (3,) == replicas(situation(contender(wanted=1, current=6), history=wishes))


def test_nothing_is_lowered_while_less_than_a_window_is_remembered() -> None:
    assert (6,) == replicas(situation(contender(wanted=1, current=6), history=History()))


def test_without_a_window_a_lower_number_counts_at_once() -> None:
    world = situation(
        contender(wanted=1, current=6), history=History(), scaling=Scaling(scale_down_stabilisation_s=0.0)
    )
    assert (1.0,) == tuple(step.value for step in stabilisation(world, (1,)))


def test_removal_is_paced_over_the_pool_and_takes_the_lowest_priority_first() -> None:
    world = situation(
        contender("a", wanted=2, current=5),
        contender("b", wanted=1, current=4),
        scaling=Scaling(max_change_per_minute=4),
        history=History(wanted=CALM, removed=((NOW_S - 30.0, 1),)),
    )
    # 4 a minute, 1 already removed: 3 left, all from b
    assert (5.0, 1.0) == tuple(step.value for step in pace(world, (2, 1)))


def test_a_minimum_of_zero_is_not_clamped_to_one() -> None:
    scaling = Scaling(min_replicas=0, scale_to_zero_after_s=600.0)
    idle = tuple(Wanted(time_s=NOW_S - ago, tier="a", replicas=0) for ago in (500.0, 100.0))
    history = History(wanted=idle, busy=(("a", NOW_S - 601.0),))
    assert (0,) == replicas(situation(contender(wanted=0, current=1, rate=0.0), scaling=scaling, history=history))


def test_the_last_replica_waits_for_the_delay_to_zero() -> None:
    scaling = Scaling(min_replicas=0, scale_to_zero_after_s=600.0)
    history = History(wanted=CALM, busy=(("a", NOW_S - 599.0),))
    world = situation(contender(wanted=0, current=1, rate=0.0), scaling=scaling, history=history)
    assert (Reason.SCALE_TO_ZERO, 1.0) == (to_zero(world, (0,))[0].reason, to_zero(world, (0,))[0].value)


def test_without_a_delay_one_replica_stays_however_idle() -> None:
    world = situation(contender(wanted=0, current=1, rate=0.0), scaling=Scaling(min_replicas=0))
    assert (1,) == replicas(world)


def test_unknown_demand_never_reaches_zero() -> None:
    scaling = Scaling(min_replicas=0, scale_to_zero_after_s=1.0)
    history = History(wanted=CALM, busy=(("a", 0.0),))
    world = situation(contender(wanted=0, current=1, rate=0.0, may_lower=False), scaling=scaling, history=history)
    assert (1,) == replicas(world)


def test_the_minimum_is_spread_in_proportion() -> None:
    world = situation(
        contender("a", wanted=4), contender("b", wanted=2), scaling=Scaling(min_replicas=9), history=History()
    )
    assert (6, 3) == replicas(world)


def test_the_maximum_leaves_one_to_each_tier_and_the_rest_to_the_first() -> None:
    world = situation(contender("a", wanted=5), contender("b", wanted=5), bound=4.0)
    assert (3, 1) == replicas(world)


def test_a_maximum_of_one_goes_to_the_highest_priority() -> None:
    world = situation(contender("a", wanted=5), contender("b", wanted=5), bound=1.0)
    assert (1, 0) == replicas(world)


@pytest.mark.parametrize(("pinned", "expected"), [(1, (1, 0)), (4, (3, 1)), (9, (6, 3))])
def test_a_pin_gives_the_pool_exactly_that_many(pinned: int, expected: tuple[int, int]) -> None:
    world = situation(
        contender("a", wanted=4), contender("b", wanted=2), scaling=Scaling(pinned_replicas=pinned), history=History()
    )
    assert expected == tuple(int(step.value) for step in pin(world, (4, 2)))


def test_every_rule_leaves_a_step_for_every_tier() -> None:
    _, traces = limited(situation(contender("a", wanted=1), contender("b", wanted=1)))
    assert [len(CHAIN)] * 2 == [len(trace) for trace in traces]


def test_nothing_is_spread_over_nobody() -> None:
    assert () == spread((), 5)
