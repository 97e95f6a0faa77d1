"""Stop strings end an answer wherever they are split, and hold back nothing that is certain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwright.engine.server.stops import StopStrings

TEXTS = st.text(alphabet="abc", max_size=12)
STOPS = st.lists(st.text(alphabet="abc", min_size=1, max_size=3), max_size=3)


@given(pieces=st.lists(TEXTS, max_size=8), stops=STOPS)
def test_what_is_told_is_the_text_before_the_first_stop_however_it_is_split(
    pieces: list[str], stops: list[str]
) -> None:
    text = "".join(pieces)
    filtered = StopStrings(stops)
    told = "".join(filtered.push(piece) for piece in pieces) + filtered.rest()
    # Read as it comes, the answer ends with the first stop string that is whole; of those, at the earliest start.
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    if not ends:
        assert (text, False) == (told, filtered.is_hit)
    else:
        assert filtered.is_hit
        assert text.startswith(told)
        assert not any(stop in told for stop in stops)
        assert any(text[len(told) :].startswith(stop) for stop in stops)


def test_text_that_may_be_the_start_of_a_stop_is_held_back_until_it_is_not() -> None:
    filtered = StopStrings(["END"])
    assert ["a", "", "", "EN!"] == [filtered.push(piece) for piece in ("a", "E", "N", "!")]


def test_nothing_follows_a_stop() -> None:
    filtered = StopStrings(["x"])
    assert ["1", "", ""] == [filtered.push("1x2"), filtered.push("3"), filtered.rest()]


@pytest.mark.parametrize(("keeps_stop", "expected"), [(False, "a"), (True, "aEND")])
def test_the_stop_itself_is_told_only_on_request(keeps_stop: bool, expected: str) -> None:  # noqa: FBT001 - a parameter
    assert expected == StopStrings(["END"], keeps_stop).push("aENDb")
