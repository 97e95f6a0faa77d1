"""Percentiles from buckets: interpolation, coarse buckets, restarts and pods with different buckets."""

from math import inf

import pytest

from poolwright.controller.signals.histogram import Histogram, increase, is_well_formed, merged, quantile_s

SPREAD = Histogram(bounds=(1.0, 2.0, 4.0, inf), counts=(25.0, 50.0, 100.0, 100.0), total=190.0)


@pytest.mark.parametrize(
    ("percentile_ratio", "expected"),
    [
        pytest.param(0.25, 1.0, id="a quarter lies at or below the first bound"),
        pytest.param(0.375, 1.5, id="half way through the second bucket"),
        pytest.param(0.5, 2.0, id="half lies at or below the second bound"),
        pytest.param(0.75, 3.0, id="half way through the third bucket"),
    ],
)
def test_a_percentile_inside_a_bucket_is_interpolated(percentile_ratio: float, expected: float) -> None:
    assert expected == pytest.approx(quantile_s(SPREAD, percentile_ratio))


def test_above_the_last_finite_bound_that_bound_is_returned() -> None:
    histogram = Histogram(bounds=(1.0, inf), counts=(1.0, 100.0), total=5000.0)
    assert quantile_s(histogram, 0.95) == 1.0


def test_a_bucket_that_holds_everything_is_resolved_by_its_mean() -> None:
    # All values in (10, 25] ms with mean 12 ms: k = 1 / (2 / 15) - 1 = 6.5, p95 = 10 + 15 * 0.95**6.5 = 20.7 ms, where
    # a straight line would say 24.25 ms.
    histogram = Histogram(bounds=(0.010, 0.025, inf), counts=(0.0, 100.0, 100.0), total=1.2)
    assert quantile_s(histogram, 0.95) == pytest.approx(0.010 + 0.015 * 0.95**6.5)


def test_a_coarse_bucket_with_its_mean_in_the_middle_is_a_straight_line() -> None:
    histogram = Histogram(bounds=(0.010, 0.030, inf), counts=(0.0, 100.0, 100.0), total=2.0)
    assert quantile_s(histogram, 0.95) == pytest.approx(0.010 + 0.020 * 0.95)


def test_an_increase_is_the_difference() -> None:
    earlier = Histogram(bounds=(1.0, inf), counts=(2.0, 5.0), total=9.0)
    later = Histogram(bounds=(1.0, inf), counts=(3.0, 9.0), total=20.0)
    assert increase(earlier, later) == Histogram(bounds=(1.0, inf), counts=(1.0, 4.0), total=11.0)


def test_after_a_restart_everything_counts_from_zero() -> None:
    earlier = Histogram(bounds=(1.0, inf), counts=(20.0, 50.0), total=90.0)
    later = Histogram(bounds=(1.0, inf), counts=(3.0, 9.0), total=20.0)
    assert increase(earlier, later) == later


def test_pods_with_different_buckets_are_added_on_all_bounds() -> None:
    coarse = Histogram(bounds=(2.0, inf), counts=(10.0, 10.0), total=10.0)
    fine = Histogram(bounds=(1.0, 2.0, inf), counts=(4.0, 8.0, 9.0), total=9.0)
    # The coarse pod's ten values spread evenly over (0, 2]: five of them at or below 1.
    expected = Histogram(bounds=(1.0, 2.0, inf), counts=(9.0, 18.0, 19.0), total=19.0)
    assert merged([coarse, fine]) == expected


@pytest.mark.parametrize(
    "histogram",
    [
        pytest.param(Histogram(bounds=(inf,), counts=(1.0,), total=1.0), id="no finite bound"),
        pytest.param(Histogram(bounds=(1.0, 2.0), counts=(1.0, 1.0), total=1.0), id="no infinite bound"),
        pytest.param(Histogram(bounds=(0.0, inf), counts=(1.0, 1.0), total=1.0), id="a bound of zero"),
        pytest.param(Histogram(bounds=(1.0, inf), counts=(2.0, 1.0), total=1.0), id="counts that fall"),
        pytest.param(Histogram(bounds=(1.0, inf), counts=(1.0, 1.0), total=-1.0), id="a negative sum"),
        pytest.param(Histogram(bounds=(1.0, inf), counts=(1.0, inf), total=1.0), id="an infinite count"),
    ],
)
def test_a_malformed_histogram_is_recognised(histogram: Histogram) -> None:
    assert not is_well_formed(histogram)
