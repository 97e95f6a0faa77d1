"""The clairvoyant bound, on numbers that can be checked by hand."""

from collections.abc import Iterator

import numpy as np
import pytest

from poolwright.replay.bound import Bound, Clairvoyant, cheapest, demand_of
from poolwright.replay.fleet_block import Block
from poolwright.replay.fleet_observed import Latencies, Observed
from poolwright.replay.source import Source


def line(each: float, most: int) -> list[float]:
    return [each * count for count in range(most + 1)]


def test_one_kind_takes_the_first_number_that_serves_the_rate() -> None:
    assert (3,) == cheapest([line(4.0, 10)], [1.0], 8.1)


def test_a_rate_on_the_edge_needs_no_more() -> None:
    assert (2,) == cheapest([line(4.0, 10)], [1.0], 8.0)


def test_two_kinds_are_mixed_where_that_is_cheaper() -> None:
    # 9/s: three of the first cost 9, two of the first and one of the second 7.
    assert (2, 1) == cheapest([line(4.0, 5), line(1.0, 5)], [3.0, 1.0], 9.0)


def test_a_quota_sends_the_rest_to_the_dearer_kind() -> None:
    assert (2, 3) == cheapest([line(4.0, 2), line(4.0, 9)], [1.0, 2.0], 20.0)


def test_what_no_fleet_serves_is_refused() -> None:
    with pytest.raises(ValueError, match=r"serves 100/s"):
        cheapest([line(4.0, 2), line(4.0, 2)], [1.0, 2.0], 100.0)


def blocks() -> Iterator[Block]:
    """Yield 60 requests in the first minute and 30 in the first half of the second."""
    arrivals = np.concatenate((np.arange(60.0), 60.0 + np.arange(30.0)))
    tokens = np.full(90, 10, dtype=np.int64)
    yield Block(arrivals_s=arrivals, input_tokens=tokens, output_tokens=2 * tokens)


SOURCE = Source(name="x", citation="", duration_s=90.0, requests=90, longest_tokens=30, opened=blocks)


def test_demand_is_counted_by_window_and_the_last_one_may_be_shorter() -> None:
    demand = demand_of(SOURCE)
    assert [1.0, 1.0] == demand.rates_per_s.tolist()
    assert [10.0, 20.0] == [demand.workloads[0].input_tokens.mean(), demand.workloads[0].output_tokens.mean()]


def test_demand_ends_where_the_replay_ends() -> None:
    assert [1.0] == demand_of(SOURCE, until_s=60.0).rates_per_s.tolist()


def test_who_knows_the_future_orders_a_cold_start_ahead() -> None:
    none = Latencies(counts=np.zeros(1, dtype=np.int64), least_s=1.0, step=1.0, total_s=0.0)
    seen = Observed(
        seen_s=0.0,
        window_s=15.0,
        variants=(),
        arrived=0,
        shed=0,
        held=0,
        ttft=none,
        itl=none,
        tpot=none,
        cold_start_s=120.0,
    )
    counts = np.array([[1.0], [5.0], [2.0], [3.0], [1.0]])
    bound = Bound(window_s=60.0, counts=counts, replica_s=counts.sum(axis=0) * 60.0, usd=0.0)
    policy = Clairvoyant(("gpu",), bound, 120.0)
    assert [5, 5, 3, 1] == [policy.decide(seen, now_s)["gpu"] for now_s in (0.0, 60.0, 120.0, 280.0)]
