"""The margin on demand, corrected by what was seen."""

import pytest

from poolwright.forecast.margin import ALLOWED_RATIO, LEAST, MOST, START, corrected


def test_the_allowed_share_of_misses_leaves_the_margin_where_it_was() -> None:
    margin = corrected(START, is_missed=True)
    for _ in range(round(1.0 / ALLOWED_RATIO) - 1):
        margin = corrected(margin, is_missed=False)
    assert START == pytest.approx(margin)


def test_endless_misses_end_at_the_largest_margin_and_none_at_the_least() -> None:
    high = low = START
    for _ in range(2000):
        high, low = corrected(high, is_missed=True), corrected(low, is_missed=False)
    assert (MOST, LEAST) == (high, low)
