"""Prices of tokens by hand: a station whose step law is known to the microsecond."""

import numpy as np
import pytest

from poolwright.planner.advice.token_share import OperatingPoint, Tokens, operating_point, request_seconds
from poolwright.queueing.station import Station
from poolwright.queueing.workload import Workload

BASE_S, SEQUENCE_S, CONTEXT_S, PROMPT_S = 8e-3, 20e-6, 40e-9, 25e-6


def affine(sequences: np.ndarray, context: np.ndarray, prefill: np.ndarray) -> np.ndarray:
    return BASE_S + SEQUENCE_S * sequences + CONTEXT_S * sequences * context + PROMPT_S * prefill


STATION = Station(step_time=affine, max_num_seqs=128, max_num_batched_tokens=2048, kv_capacity_tokens=400_000.0)
FIXED = Workload.from_samples([1000.0], [201.0])


def test_an_affine_law_gives_back_its_own_coefficients() -> None:
    point = operating_point(STATION, FIXED, 5.0)
    assert PROMPT_S == pytest.approx(point.prompt_s, rel=1e-6)
    assert 0.0 == pytest.approx(point.prompt_square_s, abs=1e-15)
    # 200 later tokens at a mean context of 1000 + 201 / 2 = 1100.5: 5/s x (25 us x 1000 + 200 x (20 + 44.02) us)
    caused = 5.0 * (0.025 + 200.0 * 64.02e-6)
    assert 1.0 - caused == pytest.approx(point.rent_ratio, rel=1e-3)


def test_a_request_takes_what_its_tokens_take() -> None:
    point = OperatingPoint(
        rate_per_s=1.0,
        batch=10.0,
        prompt_s=10e-6,
        prompt_square_s=1e-9,
        slot_s=100e-6,
        context_s=50e-9,
        rent_ratio=0.5,
        memory_ratio=0.5,
    )
    by_input, by_cached, by_output = request_seconds(point, np.array([1000.0]), np.array([101.0]), 400.0)
    # 1000 x 10 us + 1000^2 x 1 ns + half of 100 steps x 1000 tokens x 50 ns
    assert 10e-3 + 1e-3 + 2.5e-3 == pytest.approx(by_input[0])
    # half of 100 steps x 400 tokens x 50 ns
    assert 1e-3 == pytest.approx(by_cached[0])
    # 100 steps x (100 us + 50 ns x (50.5 own tokens + half of 1400))
    assert 100 * (100e-6 + 50e-9 * 750.5) == pytest.approx(by_output[0])


def test_where_memory_does_not_bind_the_rent_is_paid_by_slots() -> None:
    roomy = operating_point(STATION, FIXED, 5.0)
    tight = operating_point(
        Station(step_time=affine, max_num_seqs=128, max_num_batched_tokens=2048, kv_capacity_tokens=141_000.0),
        FIXED,
        5.0,
    )
    # 400,000 tokens hold 360 sequences of 1108.5 with half a block, 141,000 hold some 127
    assert 128 / 360 == pytest.approx(roomy.memory_ratio, rel=0.02)
    assert 1.0 == pytest.approx(tight.memory_ratio, rel=0.02)
    assert roomy.slot_s > tight.slot_s
    assert roomy.context_s < tight.context_s


def test_ratios_of_tokens_that_do_not_occur_are_zero() -> None:
    took, count = Tokens(input=2.0, cached=0.0, output=3.0), Tokens(input=4.0, cached=0.0, output=1.0)
    assert Tokens(input=0.5, cached=0.0, output=3.0) == took.over(count)
    assert 11.0 == took.dot(count)
