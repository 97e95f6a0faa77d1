"""When latencies that were seen move the margin that a tier is planned with."""

import pytest

from poolwright.forecast.margin import GAIN, LOOK_S, START
from poolwright.planner.demand import load_of
from poolwright.planner.margin import is_missed, looked, margin_of
from poolwright.planner.policy import TierPolicy
from poolwright.planner.snapshot import History, Known, Missing, MissingReason, Snapshot, TierSignals
from poolwright.queueing.objectives import Objectives

TIER = TierPolicy(name="chat", objectives=Objectives(ttft_s=1.0, itl_s=0.05))
FAST = TierSignals(ttft_s=Known(value=0.5), itl_s=Known(value=0.02))
SLOW = TierSignals(ttft_s=Known(value=1.5), itl_s=Known(value=0.02))


def seen(history: History, signals: TierSignals, now_s: float) -> History:
    return looked(history, (TIER,), Snapshot(tiers=(("chat", signals),)), now_s)


def test_without_a_look_demand_is_planned_as_it_is() -> None:
    assert 1.0 == margin_of(seen(History(), TierSignals(), 0.0), "chat")


def test_a_missed_objective_raises_it_and_a_met_one_lowers_it_a_little() -> None:
    slow, fast = (margin_of(seen(History(), each, 0.0), "chat") for each in (SLOW, FAST))
    assert (START + 0.99 * GAIN, START - 0.01 * GAIN) == pytest.approx((slow, fast))


def test_nobody_looks_twice_within_one_window() -> None:
    once = seen(History(), SLOW, 100.0)
    assert once == seen(once, SLOW, 100.0 + LOOK_S - 1.0)
    assert once != seen(once, SLOW, 100.0 + LOOK_S)


def test_latencies_that_nobody_reports_leave_it() -> None:
    once = seen(History(), SLOW, 0.0)
    assert once == seen(once, TierSignals(ttft_s=Missing(reason=MissingReason.UNREACHABLE)), 1000.0)


def test_a_tier_that_is_gone_is_forgotten() -> None:
    assert () == looked(seen(History(), SLOW, 0.0), (), Snapshot(), 60.0).margins


def test_either_latency_can_miss_and_an_absurd_one_does_not_count() -> None:
    found = [
        is_missed(TIER, TierSignals(ttft_s=ttft, itl_s=itl))
        for ttft, itl in (
            (Known(value=0.5), Known(value=0.06)),
            (Known(value=float("nan")), Known(value=0.01)),
            (Known(value=float("inf")), Known(value=-1.0)),
        )
    ]
    assert [True, False, None] == found


def test_the_load_is_what_arrives_times_the_margin() -> None:
    signals = TierSignals(
        arrivals_per_s=Known(value=10.0),
        waiting=Known(value=0.0),
        input_tokens_mean=Known(value=100.0),
        output_tokens_mean=Known(value=10.0),
        reporting_ratio=Known(value=1.0),
    )
    history = History(margins=(("chat", 1.1, 0.0),))
    load = load_of(TIER, signals, history, headroom_ratio=0.0, horizon_s=120.0, now_s=60.0)
    assert 11.0 == pytest.approx(load.rate_per_s)
    assert ["margin"] == [step.name for step in load.steps if step.name == "margin"]
