"""What is true of demand ahead for every history."""

from hypothesis import given
from hypothesis import strategies as st

from poolwright.forecast.ahead import MAX_GROWTH_RATIO, demand_ahead
from poolwright.forecast.burst import rate_levels
from poolwright.forecast.quantile import upper_quantile

RATES = st.floats(min_value=0.0, max_value=1e5)
HISTORIES = st.lists(RATES, max_size=60).map(
    lambda rates: [(100.0 * index, rate) for index, rate in enumerate(rates)],
)
NOW_S = 6000.0


@given(HISTORIES, RATES, st.floats(min_value=1.0, max_value=600.0))
def test_demand_ahead_is_never_below_now_nor_above_what_was_seen_times_the_cap(
    windows: list[tuple[float, float]], rate: float, horizon_s: float
) -> None:
    ahead = demand_ahead(windows, rate_per_s=rate, now_s=NOW_S, horizon_s=horizon_s).rate_per_s
    assert ahead >= rate
    assert ahead <= max([rate * MAX_GROWTH_RATIO, *(seen for _, seen in windows)])


@given(HISTORIES, RATES, RATES, st.floats(min_value=1.0, max_value=600.0))
def test_more_demand_now_is_never_less_demand_ahead(
    windows: list[tuple[float, float]], low: float, more: float, horizon_s: float
) -> None:
    ahead = [
        demand_ahead(windows, rate_per_s=rate, now_s=NOW_S, horizon_s=horizon_s).rate_per_s
        for rate in (low, low + more)
    ]
    assert ahead == sorted(ahead)


@given(st.floats(min_value=1e-3, max_value=1e5), st.floats(min_value=0.0, max_value=1e6))
def test_levels_keep_their_mean_and_their_weights_sum_to_one(rate: float, dispersion: float) -> None:
    rates, weights = rate_levels(rate, dispersion)
    assert abs(sum(weights) - 1.0) < 1e-12
    assert abs(sum(w * r for w, r in zip(weights, rates, strict=True)) / rate - 1.0) < 1e-9


@given(st.floats(min_value=1e-3, max_value=1e4), st.floats(min_value=1.0, max_value=3.0), st.floats(0.0, 1e6))
def test_more_demand_raises_the_highest_level_of_a_burst(rate: float, factor: float, dispersion: float) -> None:
    low, high = (max(rate_levels(each, dispersion)[0]) for each in (rate, rate * factor))
    assert low <= high * (1 + 1e-12)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(min_value=0.01, max_value=1.0))
def test_a_quantile_is_a_value_that_enough_of_the_sample_does_not_exceed(values: list[float], ratio: float) -> None:
    found = upper_quantile(values, ratio)
    assert found in values
    assert sum(value <= found for value in values) >= ratio * len(values) - 1e-9
