"""Worked examples of demand ahead of now."""

import pytest

from poolwright.forecast.ahead import MAX_GROWTH_RATIO, demand_ahead, growth_ratios, history_s
from poolwright.forecast.burst import rate_levels
from poolwright.forecast.quantile import upper_quantile

HORIZON_S = 120.0


def windows(rates: list[float], *, end_s: float, period_s: float = 15.0) -> list[tuple[float, float]]:
    return [(end_s - period_s * (len(rates) - 1 - index), rate) for index, rate in enumerate(rates)]


def test_without_any_history_demand_ahead_is_demand_now() -> None:
    ahead = demand_ahead([], rate_per_s=7.0, now_s=0.0, horizon_s=HORIZON_S)
    assert (7.0, 1.0, 0) == (ahead.rate_per_s, ahead.growth_ratio, ahead.pairs)


def test_growth_is_not_judged_before_there_are_twenty_one_horizons_of_history() -> None:
    # 21 horizons of 120 s are 2520 s, 168 windows of 15 s; demand doubles every horizon and must not be trusted yet
    short = windows([1.0 + index for index in range(100)], end_s=3000.0)
    assert 1.0 == demand_ahead(short, rate_per_s=100.0, now_s=3000.0, horizon_s=HORIZON_S).growth_ratio


def test_a_steady_ramp_is_carried_on_by_its_own_measured_growth() -> None:
    # demand grows by 1 % a window: over 8 windows (120 s) by 1.01^8 = 1.0829
    rates = [1.01**index for index in range(200)]
    ahead = demand_ahead(windows(rates, end_s=9000.0), rate_per_s=rates[-1], now_s=9000.0, horizon_s=HORIZON_S)
    assert 1.0829 == pytest.approx(ahead.growth_ratio, rel=1e-4)
    assert rates[-1] * 1.0829 == pytest.approx(ahead.rate_per_s, rel=1e-4)


def test_a_single_step_is_rarer_than_the_quantile_and_never_extrapolated() -> None:
    rates = [2.0] * 100 + [20.0] * 80
    ahead = demand_ahead(windows(rates, end_s=9000.0), rate_per_s=20.0, now_s=9000.0, horizon_s=HORIZON_S)
    assert 20.0 == ahead.rate_per_s


def test_growth_beyond_a_doubling_is_not_believed() -> None:
    rates = [1.2**index for index in range(200)]
    ahead = demand_ahead(windows(rates, end_s=9000.0), rate_per_s=rates[-1], now_s=9000.0, horizon_s=HORIZON_S)
    assert MAX_GROWTH_RATIO == ahead.growth_ratio


def test_high_windows_of_the_present_keep_demand_up_after_a_lull() -> None:
    rates = [10.0] * 10 + [4.0]
    ahead = demand_ahead(windows(rates, end_s=500.0), rate_per_s=4.0, now_s=500.0, horizon_s=HORIZON_S)
    assert 10.0 == ahead.rate_per_s


def test_growth_needs_a_successor_one_horizon_later_and_a_rate_that_means_something() -> None:
    # 0.01/s is below the level where a ratio means anything; the last window has no successor
    assert [2.0] == growth_ratios([(0.0, 0.01), (10.0, 3.0), (130.0, 6.0)], HORIZON_S)


def test_history_is_kept_for_twenty_one_horizons() -> None:
    assert 21 * HORIZON_S == pytest.approx(history_s(HORIZON_S))


@pytest.mark.parametrize(("values", "ratio"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.5)])
def test_a_quantile_of_nothing_or_outside_its_range_is_refused(values: list[float], ratio: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        upper_quantile(values, ratio)


def test_poisson_arrivals_need_one_level_only() -> None:
    assert ((10.0,), (1.0,)) == rate_levels(10.0, 1.0)


def test_levels_carry_the_dispersion_that_was_seen() -> None:
    # dispersion 16 over 15 s at 10/s: relative variance (16 - 1) / (10 * 15) = 0.1
    rates, weights = rate_levels(10.0, 16.0)
    mean = sum(rate * weight for rate, weight in zip(rates, weights, strict=True))
    variance = sum(weight * (rate - mean) ** 2 for rate, weight in zip(rates, weights, strict=True))
    assert 10.0 == pytest.approx(mean)
    # three points of a lognormal miss its variance by the terms beyond degree five
    assert 0.1 == pytest.approx(variance / mean**2, rel=0.02)
