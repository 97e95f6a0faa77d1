"""What a tier's signals obey whatever its pods do: restart, fall silent, come late, answer in any order."""

from dataclasses import fields
from itertools import accumulate
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwright.controller.signals.metrics_adapter import MIN_REPORTING_RATIO, tier_signals
from poolwright.controller.signals.pod_track import Track, Window
from poolwright.controller.signals.reading import CumulativeMean, Reading
from poolwright.planner.snapshot import Known, Missing, MissingReason, Signal, TierSignals

STEP_S = 10.0
WINDOW = Window(now_s=100.0, length_s=60.0, stale_after_s=30.0)
ABSENT = Missing(reason=MissingReason.UNKNOWN_METRIC)
UNREACHABLE = Missing(reason=MissingReason.UNREACHABLE, detail="pod: refused")

NUMBERS = st.floats(0.0, 1e6) | st.just(ABSENT) | st.just(Missing(reason=MissingReason.INVALID))
MEANS = st.builds(CumulativeMean, total=st.floats(0.0, 1e6), count=st.floats(0.0, 1e3)) | st.just(ABSENT)


def reading(
    time_s: float,
    *,
    arrivals: float | Missing = ABSENT,
    finished: float | Missing = ABSENT,
    running: float | Missing = 0.0,
    waiting: float | Missing = 0.0,
    tokens: CumulativeMean | Missing = ABSENT,
) -> Reading:
    return Reading(
        time_s=time_s,
        arrivals=arrivals,
        finished=finished,
        running=running,
        waiting=waiting,
        kv_utilisation_ratio=0.5,
        input_tokens=tokens,
        output_tokens=tokens,
        ttft=ABSENT,
        itl=ABSENT,
    )


def value_of(signal: Signal) -> float:
    assert isinstance(signal, Known), signal
    return signal.value


def known_of(signals: TierSignals) -> dict[str, float]:
    found = {each.name: getattr(signals, each.name) for each in fields(signals)}
    return {name: signal.value for name, signal in found.items() if isinstance(signal, Known)}


def counting(pod: str, steps: list[float], restarts: list[bool] | None = None) -> Track:
    """A pod that counts ``steps`` arrivals between readings, the last one now; a restart forgets what was counted."""
    counter, readings = 0.0, []
    first_s = WINDOW.now_s - STEP_S * (len(steps) - 1)
    for index, step in enumerate(steps):
        counter = step if restarts and restarts[index] else counter + step
        readings.append(reading(first_s + STEP_S * index, arrivals=counter, running=step))
    return Track(pod=pod, readings=tuple(readings))


@st.composite
def tracks(draw: st.DrawFn) -> list[Track]:
    """Pods with readings of any values, some of them silent."""
    made = []
    for index in range(draw(st.integers(1, 4))):
        values = draw(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, MEANS), max_size=8))
        readings = tuple(
            reading(
                WINDOW.now_s - STEP_S * (len(values) - 1 - position),
                arrivals=arrivals,
                finished=finished,
                running=running,
                waiting=waiting,
                tokens=tokens,
            )
            for position, (arrivals, finished, running, waiting, tokens) in enumerate(values)
        )
        ready_since_s = draw(st.none() | st.floats(-1e3, 100.0))
        made.append(Track(pod=f"pod-{index}", readings=readings, ready_since_s=ready_since_s, fault=UNREACHABLE))
    return made


STEPS = st.lists(st.floats(0.0, 1e4), min_size=7, max_size=7)


@given(tracks())
def test_every_known_signal_is_finite_and_not_negative(pods: list[Track]) -> None:
    known = known_of(tier_signals(pods, WINDOW, 0.95))
    assert {} == {name: value for name, value in known.items() if not (isfinite(value) and value >= 0.0)}


@given(tracks(), st.randoms(use_true_random=False))
def test_the_order_of_pods_does_not_matter(pods: list[Track], random: st.randoms) -> None:
    shuffled = random.sample(pods, len(pods))
    expected = known_of(tier_signals(pods, WINDOW, 0.95))
    assert expected == pytest.approx(known_of(tier_signals(shuffled, WINDOW, 0.95)))


@given(STEPS)
def test_without_restarts_the_rate_is_what_was_counted_over_the_window(steps: list[float]) -> None:
    # Seven readings, 10 s apart: the first lies at the start of the window of 60 s.
    signals = tier_signals([counting("a", steps)], WINDOW, 0.95)
    assert value_of(signals.arrivals_per_s) == pytest.approx(sum(steps[1:]) / 60.0)


@given(STEPS, st.lists(st.booleans(), min_size=7, max_size=7))
def test_restarts_never_make_a_rate_negative_nor_higher_than_the_truth(
    steps: list[float], restarts: list[bool]
) -> None:
    found = value_of(tier_signals([counting("a", steps, restarts)], WINDOW, 0.95).arrivals_per_s)
    truth = sum(steps[1:]) / 60.0
    assert 0.0 <= found <= truth * (1.0 + 1e-9) + 1e-9


@given(STEPS, st.integers(1, 6))
def test_a_restart_that_shows_costs_nothing_of_the_rate(steps: list[float], restart: int) -> None:
    # So much was counted before that what is counted after the restart stays below it.
    long_since = [1e5, *steps[1:]]
    found = tier_signals([counting("a", long_since, [index == restart for index in range(7)])], WINDOW, 0.95)
    assert value_of(found.arrivals_per_s) == pytest.approx(sum(steps[1:]) / 60.0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)), min_size=7, max_size=7))
def test_what_left_and_what_stays_give_the_same_rate_as_counting_arrivals(flows: list[tuple[int, int, int]]) -> None:
    arrived = list(accumulate(came for came, _, _ in flows))
    finished = [total * share / 100.0 for total, (_, share, _) in zip(arrived, flows, strict=True)]
    finished = list(accumulate(finished, max))  # a counter does not fall
    counted, inferred = [], []
    for index, (total, left) in enumerate(zip(arrived, finished, strict=True)):
        time_s = WINDOW.now_s - STEP_S * (6 - index)
        waiting = (total - left) * flows[index][2] / 50.0
        backlog = {"finished": left, "waiting": waiting, "running": total - left - waiting}
        counted.append(reading(time_s, arrivals=float(total), **backlog))
        inferred.append(reading(time_s, **backlog))
    rates = [
        value_of(tier_signals([Track(pod="a", readings=tuple(readings))], WINDOW, 0.95).arrivals_per_s)
        for readings in (counted, inferred)
    ]
    assert rates[0] == pytest.approx(rates[1], abs=1e-9)


@given(STEPS, st.integers(1, 6), st.data())
def test_a_silent_pod_lowers_the_reporting_ratio_and_is_not_counted_as_zero(
    steps: list[float], reporting: int, data: st.DataObject
) -> None:
    silent = data.draw(st.integers(0, reporting))
    pods = [counting(f"on-{index}", steps) for index in range(reporting)]
    pods += [Track(pod=f"off-{index}", fault=UNREACHABLE) for index in range(silent)]
    signals = tier_signals(pods, WINDOW, 0.95)
    assert value_of(signals.reporting_ratio) == pytest.approx(reporting / (reporting + silent))
    # Each pod that is seen has the same load, so the tier has as many times it as there are pods, seen or not.
    assert value_of(signals.arrivals_per_s) == pytest.approx(len(pods) * sum(steps[1:]) / 60.0)
    assert value_of(signals.running) == pytest.approx(len(pods) * steps[-1])


@given(STEPS, st.integers(0, 3), st.integers(1, 4))
def test_where_most_pods_are_silent_sums_are_missing_and_say_which_pods(
    steps: list[float], reporting: int, more: int
) -> None:
    silent = reporting + more
    pods = [counting(f"on-{index}", steps) for index in range(reporting)]
    pods += [Track(pod=f"off-{index}", fault=UNREACHABLE) for index in range(silent)]
    assert reporting / len(pods) < MIN_REPORTING_RATIO
    signals = tier_signals(pods, WINDOW, 0.95)
    expected = MissingReason.PARTIAL if reporting else MissingReason.UNREACHABLE
    for signal in (signals.arrivals_per_s, signals.running, signals.waiting, signals.kv_utilisation_ratio):
        assert isinstance(signal, Missing)
        assert expected == signal.reason
        assert "refused" in signal.detail


@given(STEPS, st.floats(30.001, 1e6))
def test_stale_readings_are_no_readings(steps: list[float], age_s: float) -> None:
    late = Window(now_s=WINDOW.now_s + age_s, length_s=60.0, stale_after_s=30.0)
    signals = tier_signals([counting("a", steps)], late, 0.95)
    assert value_of(signals.reporting_ratio) == 0.0
    assert {"reporting_ratio"} == set(known_of(signals))


@given(STEPS, st.floats(40.0, 99.0), st.integers(0, 500))
def test_a_pod_that_came_late_adds_what_it_took_and_not_a_whole_window_of_its_rate(
    steps: list[float], ready_s: float, took: int
) -> None:
    readings = (reading(ready_s, arrivals=0.0), reading(WINDOW.now_s, arrivals=float(took)))
    late = Track(pod="late", readings=readings, ready_since_s=ready_s)
    found = value_of(tier_signals([counting("a", steps), late], WINDOW, 0.95).arrivals_per_s)
    assert found == pytest.approx((sum(steps[1:]) + took) / 60.0)
