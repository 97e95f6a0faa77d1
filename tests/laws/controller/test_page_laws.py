"""Whatever a pod serves as its metrics page: no exception but the declared one, and no number that cannot be."""

from dataclasses import fields
from math import inf, isfinite, nan

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poolwright.controller.signals.exposition import ExpositionError, Sample, samples_of
from poolwright.controller.signals.histogram import Histogram, is_well_formed
from poolwright.controller.signals.reading import CumulativeMean, Reading, reading_of
from poolwright.controller.signals.vocabulary import NAMES
from poolwright.planner.snapshot import Missing, MissingReason

KNOWN_NAMES = st.sampled_from(sorted(NAMES))
MARKS = ("{", "}", "{{", '"', "\\", "=", ",", "#", "# TYPE ", "le=", '{le="0.1"}', '{le="0.1",le="0.1"}', '{a="\\"}')
BLANKS = (" ", "\t", "\n", "\r", "\x00", "\x0b", "\u2028", "\ud800")
NUMBERS = (" 1", " -1", " NaN", " +Inf", " 1e999", " 0x10", " 1_000", " 1 2", " 1 2 3", ' 1 # {a="b"} 1', " ٣", " 1e")
FRAGMENTS = st.sampled_from((*MARKS, *BLANKS, *NUMBERS))
LINES = st.tuples(KNOWN_NAMES, st.lists(FRAGMENTS, max_size=4).map("".join)).map("".join)
PAGES = st.lists(LINES | FRAGMENTS | st.text(max_size=8), max_size=12).map(lambda lines: "\n".join([*lines, ""]))
BYTES = st.lists(st.binary(max_size=12) | KNOWN_NAMES.map(str.encode) | st.just(b"\n"), max_size=30).map(b"".join)

COUNTERS = st.sampled_from(
    ["vllm:request_success_total", "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"]
)
LE = st.sampled_from(["0.1", "1.0", "+Inf", "NaN", "-1", "nonsense", ""])
SAMPLES = st.lists(
    st.builds(
        Sample,
        name=KNOWN_NAMES,
        value=st.floats() | st.integers(0, 100).map(float),
        labels=st.fixed_dictionaries(
            {}, optional={"le": LE, "engine": st.sampled_from("01"), "priority": st.just("1")}
        ),
    ),
    max_size=40,
)


def numbers_of(reading: Reading) -> list[float]:
    """Every number that a reading holds."""
    found: list[float] = []
    for each in fields(reading):
        value = getattr(reading, each.name)
        if isinstance(value, CumulativeMean):
            found += [value.total, value.count]
        elif isinstance(value, Histogram):
            assert is_well_formed(value)
            found += [*value.counts, *value.bounds[:-1], value.total]
        elif not isinstance(value, Missing):
            found.append(value)
    return found


@given(PAGES)
@example('vllm:num_requests_running{le="\\')
@example("vllm:num_requests_running\x0b1\n")
def test_a_page_parses_whole_or_is_refused(page: str) -> None:
    try:
        samples = samples_of(page)
    except ExpositionError:
        return
    assert {sample.name for sample in samples} <= NAMES


@given(BYTES)
def test_bytes_of_any_kind_are_a_page_or_are_refused(body: bytes) -> None:
    try:
        numbers = numbers_of(reading_of("pod", samples_of(body.decode()), 1.0))
    except (ExpositionError, UnicodeDecodeError):
        return
    assert all(isfinite(number) and number >= 0.0 for number in numbers)


@given(SAMPLES)
def test_a_reading_holds_only_numbers_that_can_be(samples: list[Sample]) -> None:
    assert all(isfinite(number) and number >= 0.0 for number in numbers_of(reading_of("pod", samples, 1.0)))


@given(COUNTERS, st.sampled_from([nan, inf, -inf, -1e-9, -5.0, 1e300]), st.integers(0, 3))
def test_one_absurd_series_makes_its_quantity_invalid_whatever_the_others_say(
    name: str, absurd: float, others: int
) -> None:
    sane = [Sample(name=name, value=0.5, labels={"engine": str(index)}) for index in range(others)]
    reading = reading_of("pod", [*sane, Sample(name=name, value=absurd, labels={"engine": "x"})], 1.0)
    invalid = [
        value
        for each in fields(reading)
        if isinstance(value := getattr(reading, each.name), Missing) and value.reason is MissingReason.INVALID
    ]
    assert len(invalid) == 1
    assert name in invalid[0].detail


@given(st.integers(0, 20))
def test_a_page_cut_anywhere_never_reads_as_a_smaller_number(cut: int) -> None:
    page = "vllm:num_requests_running 123456\n"
    with pytest.raises(ExpositionError):
        samples_of(page[: len(page) - 1 - cut % 6])
