"""What holds for every size and every limit that is chosen."""

from typing import Final

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poolwright.queueing.objectives import Objectives
from poolwright.queueing.predict import predict
from poolwright.queueing.sizing import CHUNKS, BatchLimits, batch_limits, smallest_replicas
from poolwright.queueing.station import KV_SAFETY, Station, capacity, kv_limit
from poolwright.queueing.workload import Arrivals, Workload

Array = NDArray[np.float64]

MOST: Final = 64
"""Replicas at which searches stop here."""


def law(n: Array, c: Array, y: Array) -> Array:
    """Llama-8B-like: 6.5 ms to read weights and start, 39 ns a token of context, 18 us a prompt token."""
    return np.asarray(6.5e-3 + 1e-5 * n + 3.9e-8 * n * c + 1.8e-5 * y)


def station(sequences: int, tokens: int, cache: float) -> Station:
    return Station(step_time=law, max_num_seqs=sequences, max_num_batched_tokens=tokens, kv_capacity_tokens=cache)


stations = st.builds(station, st.integers(8, 512), st.sampled_from([512, 2048, 8192]), st.floats(5e4, 1e6))
workloads = st.builds(Workload.from_means, st.floats(16.0, 4000.0), st.floats(8.0, 1000.0))
caches = st.floats(0.0, 1e6)
promises = st.builds(
    Objectives,
    percentile_ratio=st.sampled_from([0.5, 0.9, 0.95, 0.99]),
    ttft_s=st.floats(0.05, 10.0),
    itl_s=st.floats(0.01, 0.5),
    end_to_end_s=st.none() | st.floats(1.0, 200.0),
)


def limits(work: Workload, promise: Objectives, cache: float) -> BatchLimits:
    return batch_limits(law, work, promise, kv_capacity_tokens=cache)


@given(workloads, promises, caches)
@settings(max_examples=20)
def test_limits_never_exceed_what_the_cache_holds(work: Workload, promise: Objectives, cache: float) -> None:
    chosen = limits(work, promise, cache)
    assert chosen.max_num_batched_tokens in CHUNKS
    assert 1 <= chosen.max_num_seqs <= max(chosen.kv_limit, 1)
    held = chosen.kv_limit * (work.moments.c + 8.0) + KV_SAFETY * np.sqrt(work.moments.sc2 * chosen.kv_limit)
    assert held <= cache * (1.0 + 1e-9)
    if chosen.kv_limit == 0:
        assert 0.0 == chosen.rate_per_s


@given(workloads, promises, caches)
@settings(max_examples=20)
def test_a_rate_within_the_objectives_is_one_that_the_replica_sustains(
    work: Workload, promise: Objectives, cache: float
) -> None:
    chosen = limits(work, promise, cache)
    replica = station(chosen.max_num_seqs, chosen.max_num_batched_tokens, cache)
    assert 0.0 <= chosen.rate_per_s <= capacity(replica, work).rate_per_s * (1.0 + 1e-2)
    if chosen.rate_per_s > 0.0:
        # The rate is interpolated between two loads that were looked at: a little below it the promise must hold.
        assert predict(replica, work, Arrivals(rate_per_s=0.9 * chosen.rate_per_s), replicas=1).meets(promise)


@given(workloads, caches, st.floats(1.0, 3.0))
def test_a_larger_cache_holds_at_least_as_many_sequences(work: Workload, cache: float, larger: float) -> None:
    assert kv_limit(work.moments, cache, 16) <= kv_limit(work.moments, cache * larger, 16)


@given(stations, workloads, promises, st.floats(0.05, 20.0), st.floats(1.0, 6.0))
def test_one_replica_fewer_than_the_smallest_number_does_not_meet_the_objectives(
    at: Station, work: Workload, promise: Objectives, load: float, dispersion: float
) -> None:
    rates = Arrivals(rate_per_s=load * capacity(at, work).rate_per_s, dispersion=dispersion)
    found = smallest_replicas(at, work, rates, promise, most=MOST)
    assert found.is_feasible == predict(at, work, rates, replicas=found.replicas).meets(promise)
    if not found.is_feasible:
        assert found.replicas == MOST
    elif found.replicas > 1:
        assert not predict(at, work, rates, replicas=found.replicas - 1).meets(promise)


@given(stations, workloads, promises, st.floats(0.05, 10.0), st.floats(1.0, 6.0))
def test_twice_the_demand_needs_at_most_twice_the_replicas(
    at: Station, work: Workload, promise: Objectives, load: float, dispersion: float
) -> None:
    rate = load * capacity(at, work).rate_per_s
    once = smallest_replicas(at, work, Arrivals(rate_per_s=rate, dispersion=dispersion), promise, most=MOST)
    twice = smallest_replicas(at, work, Arrivals(rate_per_s=2.0 * rate, dispersion=dispersion), promise, most=2 * MOST)
    if once.is_feasible:
        assert twice.is_feasible
        assert once.replicas <= twice.replicas <= 2 * once.replicas
