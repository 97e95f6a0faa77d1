"""What holds for every pool: order in load, replicas and objective; overload is a value."""

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poolwright.queueing.objectives import Objectives
from poolwright.queueing.predict import Prediction, predict
from poolwright.queueing.station import Station
from poolwright.queueing.steady import Routing
from poolwright.queueing.step_grid import StepTime
from poolwright.queueing.workload import Arrivals, RateDistribution, Workload

Array = NDArray[np.float64]

ROUNDING: Final = 1e-9
"""Probabilities are sums of some hundred terms."""

SHAPES: Final = 0.02
"""Waits are gammas with the right mean and variance, and three batches stand for all: as the load moves, so do shapes,
and a probability near its objective may be met by this share of time sooner or later. 1,200 pools showed no more."""

SECANTS: Final = 0.05
"""A roofline is moreover replaced by secants at the operating point, which may move to a flatter part of the law."""


def affine(n: Array, c: Array, y: Array) -> Array:
    """Llama-8B-like: 6.5 ms to read weights and start, 39 ns a token of context, 18 us a prompt token.

    A decoding token costs no less than a prompt's. Where it does cost less and steps fill their budget, more load
    shortens the longest step, and the share of tokens that come within that very time may grow.
    """
    return np.asarray(6.5e-3 + 2e-5 * n + 3.9e-8 * n * c + 1.8e-5 * y)


def roofline(n: Array, c: Array, y: Array) -> Array:
    """The same, but reads and products overlap."""
    return np.asarray(1.5e-3 + ((5e-3 + 3.9e-8 * n * c) ** 4 + (1.8e-5 * (n + y)) ** 4) ** 0.25)


def station(law: StepTime, sequences: int, tokens: int, cache: float) -> Station:
    return Station(
        step_time=law, max_num_seqs=sequences, max_num_batched_tokens=tokens, kv_capacity_tokens=cache, block_tokens=16
    )


limits = st.tuples(st.integers(4, 512), st.sampled_from([512, 2048, 8192]), st.floats(5e4, 1e6))
workloads = st.builds(Workload.from_means, st.floats(16.0, 4000.0), st.floats(8.0, 1000.0))
loads = st.floats(0.02, 1.3)
objectives_s = st.floats(0.01, 30.0)
planned = st.floats(0.02, 0.9)
percentiles = st.tuples(st.floats(0.9, 0.99), st.floats(1.0, 1.3))
laws = pytest.mark.parametrize(
    ("law", "slack"), [(affine, SHAPES), (roofline, SECANTS)], ids=["an affine law", "a roofline"]
)


def rate_at(at: Station, work: Workload, load: float, replicas: int = 1) -> float:
    """Return the rate [1/s] at a share of what a pool sustains."""
    return load * predict(at, work, Arrivals(rate_per_s=0.0), replicas=replicas).capacity_per_s


def probabilities(prediction: Prediction, objective_s: float) -> dict[str, float]:
    every = Objectives(ttft_s=objective_s, itl_s=objective_s / 10.0, end_to_end_s=10.0 * objective_s)
    return prediction.attainment(every)


def promises(prediction: Prediction, near: tuple[float, float]) -> Objectives:
    """Return objectives that a pool meets at a percentile, or a little better: where planning takes place."""
    percentile, stretch = near
    return Objectives(
        percentile_ratio=percentile,
        ttft_s=stretch * prediction.ttft_s(percentile),
        itl_s=stretch * prediction.itl_s(percentile),
        end_to_end_s=stretch * prediction.end_to_end_s(percentile),
    )


def eased(objectives: Objectives, slack: float) -> Objectives:
    """Return objectives with a little more time."""
    times = {name: (1.0 + slack) * getattr(objectives, name) for name in ("ttft_s", "itl_s", "end_to_end_s")}
    return Objectives(percentile_ratio=objectives.percentile_ratio, **times)


def raised(before: dict[str, float], after: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Return what is likelier after than before."""
    return {name: (before[name], value) for name, value in after.items() if value > before[name] + ROUNDING}


@laws
@given(limits, workloads, planned, st.floats(1.01, 3.0), st.integers(1, 8), percentiles)
@settings(max_examples=20)
def test_more_load_never_raises_the_probability_of_meeting_an_objective(
    law: StepTime,
    slack: float,
    limit: tuple[int, int, float],
    work: Workload,
    load: float,
    more: float,
    replicas: int,
    near: tuple[float, float],
) -> None:
    at = station(law, *limit)
    rate = rate_at(at, work, load, replicas)
    less_loaded = predict(at, work, Arrivals(rate_per_s=rate), replicas=replicas)
    objectives = promises(less_loaded, near)
    before = less_loaded.attainment(eased(objectives, slack))
    after = predict(at, work, Arrivals(rate_per_s=rate * more), replicas=replicas).attainment(objectives)
    assert {} == raised(before, after)


@laws
@pytest.mark.parametrize("routing", Routing)
@given(limits, workloads, planned, st.tuples(st.integers(1, 12), st.floats(0.5, 8.0)), percentiles)
@settings(max_examples=20)
def test_one_more_replica_never_lowers_the_probability_of_meeting_an_objective(
    law: StepTime,
    slack: float,
    routing: Routing,
    limit: tuple[int, int, float],
    work: Workload,
    load: float,
    crowd: tuple[int, float],
    near: tuple[float, float],
) -> None:
    replicas, dispersion = crowd
    at = station(law, *limit)
    rates = Arrivals(rate_per_s=rate_at(at, work, load, replicas), dispersion=dispersion)
    small = predict(at, work, rates, replicas=replicas, routing=routing)
    objectives = promises(small, near)
    large = predict(at, work, rates, replicas=replicas + 1, routing=routing)
    assert {} == raised(large.attainment(eased(objectives, slack)), small.attainment(objectives))


@pytest.mark.parametrize("law", [affine, roofline])
@given(limits, workloads, loads, objectives_s, st.floats(1.0, 4.0), st.sampled_from(Routing))
def test_a_probability_lies_within_0_and_1_and_grows_with_the_objective(
    law: StepTime,
    limit: tuple[int, int, float],
    work: Workload,
    load: float,
    objective_s: float,
    longer: float,
    routing: Routing,
) -> None:
    at = station(law, *limit)
    prediction = predict(at, work, Arrivals(rate_per_s=rate_at(at, work, load)), replicas=1, routing=routing)
    near, far = probabilities(prediction, objective_s), probabilities(prediction, longer * objective_s)
    for name, value in near.items():
        assert 0.0 <= value <= far[name] + ROUNDING <= 1.0 + 2.0 * ROUNDING, name


@given(limits, workloads, st.floats(0.02, 0.97), st.floats(0.05, 0.98))
def test_a_percentile_is_the_least_time_with_at_least_its_probability(
    limit: tuple[int, int, float], work: Workload, load: float, percentile: float
) -> None:
    at = station(roofline, *limit)
    prediction = predict(at, work, Arrivals(rate_per_s=rate_at(at, work, load)), replicas=1)
    pairs = [
        (prediction.ttft_s, prediction.ttft_probability),
        (prediction.itl_s, prediction.itl_probability),
        (prediction.end_to_end_s, prediction.end_to_end_probability),
    ]
    for percentile_s, probability in pairs:
        value_s = percentile_s(percentile)
        assert percentile <= probability(value_s)
        # The search stops at 0.1 %.
        assert percentile > probability(value_s / 1.002)


@given(limits, workloads, st.floats(0.02, 0.97))
def test_means_lie_between_the_floor_and_the_farthest_percentile(
    limit: tuple[int, int, float], work: Workload, load: float
) -> None:
    at = station(affine, *limit)
    prediction = predict(at, work, Arrivals(rate_per_s=rate_at(at, work, load)), replicas=1)
    alone_s = float(affine(np.array(1.0), np.array(work.moments.c), np.array(0.0)))
    assert alone_s * (1.0 - ROUNDING) <= prediction.itl_mean_s
    assert prediction.ttft_mean_s <= prediction.ttft_s(0.9999)
    assert 0.0 <= prediction.mean_batch <= at.max_num_seqs
    assert 0.0 <= prediction.kv_utilisation_ratio <= 1.0


@given(limits, workloads, st.floats(1.0, 50.0), st.integers(1, 4), objectives_s)
def test_overload_is_probability_0_and_infinite_times_and_never_an_error(
    limit: tuple[int, int, float], work: Workload, load: float, replicas: int, objective_s: float
) -> None:
    at = station(affine, *limit)
    prediction = predict(at, work, Arrivals(rate_per_s=rate_at(at, work, load, replicas)), replicas=replicas)
    assert {"ttft": 0.0, "itl": 0.0, "end_to_end": 0.0} == probabilities(prediction, objective_s)
    times = [prediction.ttft_mean_s, prediction.itl_mean_s]
    times += [each(0.5) for each in (prediction.ttft_s, prediction.itl_s, prediction.end_to_end_s)]
    assert [float("inf")] * 5 == times
    assert prediction.utilisation_ratio == pytest.approx(load)
    assert prediction.at_edge


@given(workloads, st.floats(0.0, 7.0), st.floats(0.01, 100.0), objectives_s)
def test_a_cache_too_small_for_one_sequence_serves_nothing(
    work: Workload, cache: float, rate: float, objective_s: float
) -> None:
    prediction = predict(station(affine, 64, 2048, cache), work, Arrivals(rate_per_s=rate), replicas=3)
    assert 0.0 == prediction.capacity_per_s
    assert float("inf") == prediction.utilisation_ratio
    assert {"ttft": 0.0, "itl": 0.0, "end_to_end": 0.0} == probabilities(prediction, objective_s)


@given(limits, workloads, st.lists(st.tuples(st.floats(0.02, 1.3), st.floats(0.01, 5.0)), min_size=1, max_size=4))
def test_a_distribution_of_rates_is_a_mean_over_requests_whatever_the_scale_of_its_weights(
    limit: tuple[int, int, float], work: Workload, levels: list[tuple[float, float]]
) -> None:
    at = station(affine, *limit)
    rates = [rate_at(at, work, load, 2) for load, _ in levels]
    weights = [weight for _, weight in levels]
    mixed = predict(at, work, RateDistribution(rates_per_s=rates, weights=weights), replicas=2)
    scaled = predict(
        at, work, RateDistribution(rates_per_s=rates, weights=[7.0 * each for each in weights]), replicas=2
    )
    single = [predict(at, work, Arrivals(rate_per_s=rate), replicas=2).ttft_probability(1.0) for rate in rates]
    requests = [rate * weight for rate, weight in zip(rates, weights, strict=True)]
    assert mixed.ttft_probability(1.0) == pytest.approx(np.average(single, weights=requests), abs=1e-6)
    assert mixed.ttft_probability(1.0) == pytest.approx(scaled.ttft_probability(1.0), abs=ROUNDING)
