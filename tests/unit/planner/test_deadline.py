"""Deadlines by hand: what may wait is averaged, and what waits too long is worked off."""

from dataclasses import replace

import pytest

from poolwright.planner.deadline import deferred_load
from poolwright.planner.demand import load_of
from poolwright.planner.policy import TierPolicy
from poolwright.planner.reason import Reason
from poolwright.planner.snapshot import History, Known, Missing, MissingReason, TierSignals
from poolwright.queueing.objectives import Objectives

NOW_S = 10_000.0
BATCH = TierPolicy(name="batch", objectives=Objectives(end_to_end_s=3600.0), deadline_s=3600.0)
SEEN = History(rates=((NOW_S - 60.0, "batch", 2.0), (NOW_S - 30.0, "batch", 4.0), (NOW_S, "batch", 12.0)))


def signals(rate_per_s: float, waiting: float) -> TierSignals:
    return TierSignals(
        arrivals_per_s=Known(value=rate_per_s),
        dispersion=Known(value=40.0),
        waiting=Known(value=waiting),
        input_tokens_mean=Known(value=1000.0),
        output_tokens_mean=Known(value=100.0),
    )


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        (0.0, 6.0),  # (2 + 4 + 12) / 3
        (10_800.0, 6.0),  # 6/s x 1800 s: half the deadline serves it
        (14_400.0, 8.0),  # 3600 more in 1800 s: 2/s
    ],
)
def test_demand_is_averaged_and_queues_are_served_in_half_the_deadline(waiting: float, expected: float) -> None:
    windows = [(time_s, rate) for time_s, _, rate in SEEN.rates]
    rate, _ = deferred_load(windows, rate_per_s=12.0, waiting=waiting, deadline_s=3600.0, now_s=NOW_S)
    assert expected == rate
    assert waiting / rate <= 1800.0


def test_windows_before_the_deadline_do_not_count() -> None:
    windows = [(NOW_S - 7200.0, 100.0), (NOW_S, 5.0)]
    rate, _ = deferred_load(windows, rate_per_s=5.0, waiting=0.0, deadline_s=3600.0, now_s=NOW_S)
    assert 5.0 == rate


def test_a_tier_with_a_deadline_plans_for_the_mean_and_one_without_for_the_burst() -> None:
    def rate(tier: TierPolicy) -> float:
        load = load_of(tier, signals(12.0, 0.0), SEEN, headroom_ratio=0.0, horizon_s=60.0, now_s=NOW_S)
        return max(load.rates_per_s)

    assert 6.0 == rate(BATCH)
    assert rate(replace(BATCH, deadline_s=None)) >= 12.0


def test_the_trace_says_that_work_waits_and_why_more_is_planned() -> None:
    load = load_of(BATCH, signals(12.0, 14_400.0), SEEN, headroom_ratio=0.0, horizon_s=60.0, now_s=NOW_S)
    smooth, backlog = load.steps[2:]
    assert ("smoothed", "work may wait 3600 s: 6 requests/s on average") == (smooth.name, smooth.detail)
    assert Reason.BACKLOG is backlog.reason
    assert ("(14400 waiting - 6/s x 1800 s) / 1800 s = 2 requests/s",) == backlog.arithmetic


def test_missing_arrivals_are_never_averaged_away() -> None:
    blind = replace(signals(0.0, 0.0), arrivals_per_s=Missing(reason=MissingReason.STALE))
    load = load_of(BATCH, blind, SEEN, headroom_ratio=0.0, horizon_s=60.0, now_s=NOW_S)
    assert (12.0, False) == (load.rate_per_s, load.may_lower)
