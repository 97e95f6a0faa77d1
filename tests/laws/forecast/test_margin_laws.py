"""What holds for the margin whatever is seen."""

from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.forecast.margin import ALLOWED_RATIO, GAIN, LEAST, MOST, START, corrected


@settings(max_examples=50)
@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_below_its_upper_end_it_rises_by_every_miss_beyond_the_allowed_share(looks: list[bool]) -> None:
    margin, is_capped = START, False
    for missed in looks:
        margin = corrected(margin, is_missed=missed)
        is_capped = is_capped or margin == MOST
        assert LEAST <= margin <= MOST
    allowed = ALLOWED_RATIO * len(looks) + (MOST - LEAST) / GAIN
    assert is_capped or sum(looks) <= allowed
