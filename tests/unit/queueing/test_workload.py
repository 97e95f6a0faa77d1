import numpy as np
import pytest

from poolwright.queueing.objectives import Objectives
from poolwright.queueing.predict import predict
from poolwright.queueing.station import Station, capacity, kv_limit
from poolwright.queueing.workload import INPUT_CV, Arrivals, RateDistribution, Workload

TWO = Workload.from_samples([100.0, 300.0], [11.0, 21.0])


def test_moments_of_two_requests_equal_hand_arithmetic() -> None:
    moments = TWO.moments
    # Later tokens 10 and 20: m = 15. Prompts: mean 200, squares (10,000 + 90,000) / 2, cubes (1e6 + 27e6) / 2.
    assert moments.m == pytest.approx(15.0)
    assert (moments.in1, moments.in2, moments.in3) == pytest.approx((200.0, 50_000.0, 14e6))
    # 50,000 / 200^2 - 1
    assert moments.ci2 == pytest.approx(0.25)
    # Mid contexts 100 + 5.5 and 300 + 10.5 count as often as later tokens: (10 x 105.5 + 20 x 310.5) / 30 = 242.1667
    assert moments.c == pytest.approx(7265.0 / 30.0)


def test_variance_of_context_counts_requests_against_each_other_and_growth_within_one() -> None:
    # (10 x (105.5^2 + 11^2 / 12) + 20 x (310.5^2 + 21^2 / 12)) / 30 - 242.1667^2
    square = (10.0 * (105.5**2 + 121.0 / 12.0) + 20.0 * (310.5**2 + 441.0 / 12.0)) / 30.0
    assert TWO.moments.sc2 == pytest.approx(square - (7265.0 / 30.0) ** 2)


def test_a_cached_prefix_lengthens_contexts_but_not_prompts() -> None:
    cached = Workload.from_samples([100.0, 300.0], [11.0, 21.0], cached=50.0)
    assert cached.mean_input == TWO.mean_input
    assert cached.moments.c == pytest.approx(TWO.moments.c + 50.0)


def test_weights_are_shares_whatever_their_scale() -> None:
    # Three of four requests are short: (3 x 100 + 300) / 4
    weighted = Workload.from_samples([100.0, 300.0], [11.0, 21.0], weights=[6.0, 2.0])
    assert weighted.mean_input == pytest.approx(150.0)
    assert weighted.mean_output == pytest.approx(13.5)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([40.0], 1.0),  # fixed: everybody survives until the end
        ([10.0, 20.0], (10.0 + 10.0 / 4.0) / (10.0 + 10.0 / 2.0)),  # survival 1 for 10 tokens, 1/2 for 10 more: 0.8333
    ],
    ids=["fixed answers", "two lengths"],
)
def test_the_spread_of_answers_is_the_share_of_squared_survival(outputs: list[float], expected: float) -> None:
    assert Workload.from_samples([1.0] * len(outputs), outputs).moments.eta == pytest.approx(expected)


def test_the_spread_of_exponential_answers_is_a_half() -> None:
    outputs = -1000.0 * np.log1p(-(np.arange(2000) + 0.5) / 2000)
    exponential = Workload.from_samples(np.ones(2000), np.maximum(outputs, 1.0))
    assert exponential.moments.eta == pytest.approx(0.5, abs=0.01)


def test_the_variation_of_work_joins_prompts_and_answers() -> None:
    # Prompt tokens cost 1, later tokens 10: works 100 + 100 = 200 and 300 + 200 = 500; mean 350, variance 150^2.
    assert TWO.work_cv2(1.0, 10.0) == pytest.approx((150.0 / 350.0) ** 2)
    # Later tokens alone: 10 and 20, (5 / 15)^2; one result for each pair of prices.
    assert TWO.work_cv2([1.0, 0.0], [10.0, 3.0]) == pytest.approx([(150.0 / 350.0) ** 2, 1.0 / 9.0])


def test_means_alone_become_the_usual_spread_around_them() -> None:
    usual = Workload.from_means(1000.0, 200.0)
    assert usual.mean_input == pytest.approx(1000.0)
    assert usual.mean_output == pytest.approx(200.0)
    # Sixteen bins cut off the far tail: a little less than the spread asked for.
    assert 0.6 * INPUT_CV**2 < usual.moments.ci2 < INPUT_CV**2


def test_a_cached_share_of_prompts_is_not_computed_again() -> None:
    half = Workload.from_means(1000.0, 200.0, cached_prefix_ratio=0.5)
    assert half.mean_input == pytest.approx(500.0)
    assert half.cached_tokens == 500.0


@pytest.mark.parametrize(
    ("inputs", "outputs", "weights", "message"),
    [
        ([1.0], [1.0, 2.0], None, "must be equal"),
        ([], [], None, "not empty"),
        ([0.0], [1.0], None, "at least 1"),
        ([1.0], [0.5], None, "at least 1"),
        ([1.0], [1.0], [-1.0], "not negative"),
        ([1.0, 1.0], [1.0, 1.0], [0.0, 0.0], "not all 0"),
        ([float("nan")], [1.0], None, "at least 1"),
    ],
)
def test_samples_that_are_no_requests_are_refused(
    inputs: list[float], outputs: list[float], weights: list[float] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Workload.from_samples(inputs, outputs, weights)


@pytest.mark.parametrize(
    ("rates", "weights", "message"),
    [
        ([], [], "0 rates and 0 weights"),
        ([1.0, 2.0], [1.0], "2 rates and 1 weights"),
        ([-1.0], [1.0], "must not be negative"),
        ([1.0], [-1.0], "must not be negative"),
        ([1.0, 2.0], [0.0, 0.0], "not all weights 0"),
    ],
)
def test_rates_that_are_no_distribution_are_refused(rates: list[float], weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RateDistribution(rates_per_s=rates, weights=weights)


@pytest.mark.parametrize(
    ("percentile", "ttft_s", "message"),
    [
        (0.0, 1.0, "percentile_ratio is 0.0"),
        (1.0, 1.0, "percentile_ratio is 1.0"),
        (float("nan"), 1.0, "percentile_ratio is nan"),
        (0.95, None, "at least one"),
        (0.95, 0.0, "positive"),
        (0.95, float("inf"), "finite"),
        (0.95, float("nan"), "positive"),
    ],
)
def test_objectives_that_nothing_could_be_checked_against_are_refused(
    percentile: float, ttft_s: float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Objectives(percentile_ratio=percentile, ttft_s=ttft_s)


def test_a_cache_of_equal_requests_holds_tokens_over_their_mean_footprint() -> None:
    # One length: 392 prompt + 201 answer tokens. The middle of the answer is 392 + 100.5 and half a block of 15 is 7.5:
    # 500 tokens a sequence, give or take 201^2 / 12 = 3366.75, whose root is 58.024; 2.33 of it is 135.2.
    moments = Workload.from_samples([392.0], [201.0]).moments
    n = kv_limit(moments, 50_000.0, 15)
    # 100 sequences would fill the cache on average; with room for fluctuation 97.33 do: 97.33 x 500 + 135.2 x 9.866
    assert n == pytest.approx(97.33, abs=0.01)
    assert n * 500.0 + 2.33 * np.sqrt(201.0**2 / 12.0 * n) == pytest.approx(50_000.0)


def test_no_cache_holds_no_sequence() -> None:
    assert kv_limit(TWO.moments, 0.0, 16) == 0.0


@pytest.mark.parametrize(
    ("sequences", "tokens", "cache", "bound"),
    [(16, 8192, 1e6, "Sequences"), (512, 8192, 20_000.0, "KVCache"), (512, 64, 1e6, "Tokens")],
)
def test_capacity_names_the_least_of_its_three_bounds(sequences: int, tokens: int, cache: float, bound: str) -> None:
    station = Station(
        step_time=lambda n, c, y: 6.5e-3 + 2e-5 * n + 3.9e-8 * n * c + 1.8e-5 * y,
        max_num_seqs=sequences,
        max_num_batched_tokens=tokens,
        kv_capacity_tokens=cache,
    )
    assert bound == capacity(station, Workload.from_means(400.0, 200.0)).bound


def test_the_rate_of_a_replica_bound_by_sequences_equals_hand_arithmetic() -> None:
    # Prompts of 1000, answers of 101, 10 sequences, a step of 10 ms whatever is in it: 100 steps for later tokens and
    # 1 + 1000 / 8192 steps for the prompt, 101.122 steps of 10 ms, for each of 10 sequences: 10 / 1.01122 s.
    station = Station(
        step_time=lambda n, c, y: 0.01 + 0.0 * (n + c + y),
        max_num_seqs=10,
        max_num_batched_tokens=8192,
        kv_capacity_tokens=1e6,
    )
    found = capacity(station, Workload.from_samples([1000.0], [101.0]))
    assert found.rate_per_s == pytest.approx(10.0 / (0.01 * (100.0 + 1.0 + 1000.0 / 8192.0)))


def test_a_pool_of_none_is_refused() -> None:
    station = Station(
        step_time=lambda n, c, y: 0.01 + 0.0 * (n + c + y),
        max_num_seqs=10,
        max_num_batched_tokens=8192,
        kv_capacity_tokens=1e6,
    )
    with pytest.raises(ValueError, match="replicas is 0"):
        predict(station, TWO, Arrivals(rate_per_s=1.0), replicas=0)
