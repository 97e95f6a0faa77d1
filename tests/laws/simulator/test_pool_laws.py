"""What holds for every pool and every traffic, whatever the figures."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.simulator.layout import NOBODY, law_of
from poolwright.simulator.pool import Arrivals, Outcome, Pool, Routing, simulate
from poolwright.simulator.step_table import StepTable

MOST_SEQS = 6


def table(factor: float) -> StepTable:
    return StepTable.of(
        lambda n, c, p: factor * (1e-3 + 1.13e-4 * np.sqrt(n) + 1.37e-6 * n * np.power(c, 1.2) + 1.71e-5 * p),
        max_num_seqs=MOST_SEQS,
        max_context_tokens=70,
        max_num_batched_tokens=24,
        points=6,
    )


LAW = law_of(table(1.0), MOST_SEQS)
HALF = law_of(table(0.5), MOST_SEQS)

pools = st.builds(
    Pool,
    replicas=st.integers(1, 3),
    max_num_seqs=st.integers(1, MOST_SEQS),
    max_num_batched_tokens=st.integers(1, 24),
    blocks=st.integers(18, 40),
    block_tokens=st.sampled_from([4, 5, 7]),
    max_queued_requests=st.none() | st.integers(1, 4),
    routing=st.sampled_from(Routing),
)


@st.composite
def arrivals(draw: st.DrawFn) -> Arrivals:
    rows = draw(
        st.lists(
            st.tuples(st.floats(0.0, 40.0), st.integers(1, 40), st.integers(1, 30), st.integers(0, 40)),
            min_size=1,
            max_size=30,
        )
    )
    gaps_ms, prompts, outputs, cached = (np.array(column) for column in zip(*rows, strict=True))
    return Arrivals(
        time_s=np.cumsum(gaps_ms) * 1e-3,
        input_tokens=prompts,
        output_tokens=outputs,
        cached_tokens=np.minimum(cached, prompts),
    )


def content(outcome: Outcome) -> dict[str, bytes]:
    return {each.name: np.asarray(getattr(outcome, each.name)).tobytes() for each in fields(outcome)}


@given(arrivals(), pools, st.integers(0, 9), st.floats(0.01, 0.6))
@settings(max_examples=40)
def test_the_same_seed_gives_the_same_bytes(coming: Arrivals, pool: Pool, seed: int, until_s: float) -> None:
    first = simulate(coming, pool, LAW, seed=seed, until_s=until_s)
    assert content(first) == content(simulate(coming, pool, LAW, seed=seed, until_s=until_s))


def test_another_seed_routes_otherwise() -> None:
    coming = Arrivals(time_s=np.zeros(64), input_tokens=np.full(64, 4), output_tokens=np.full(64, 4))
    pool = Pool(
        replicas=3, max_num_seqs=6, max_num_batched_tokens=24, blocks=40, block_tokens=4, routing=Routing.RANDOM
    )
    chosen = [simulate(coming, pool, LAW, seed=seed).replica.tolist() for seed in (1, 2)]
    assert chosen[0] != chosen[1]


@given(arrivals(), pools, st.floats(0.01, 0.6) | st.just(float("inf")))
@settings(max_examples=30)
def test_nobody_is_lost_and_no_block(coming: Arrivals, pool: Pool, until_s: float) -> None:
    outcome = simulate(coming, pool, LAW, until_s=until_s)
    in_flight = outcome.running.sum() + outcome.queued.sum()
    assert outcome.arrived == outcome.finished + in_flight + outcome.rejected
    # Who runs has at least one block and at most those of its whole length; who waits has none.
    assert np.all(outcome.free_blocks <= pool.blocks - outcome.running)
    longest = -(-int(np.max(coming.input_tokens + coming.output_tokens)) // pool.block_tokens)
    assert np.all(outcome.free_blocks >= pool.blocks - longest * outcome.running)
    if until_s == float("inf"):
        assert 0 == in_flight
        assert [pool.blocks] * pool.replicas == outcome.free_blocks.tolist()


@given(arrivals(), pools)
@settings(max_examples=40)
def test_requests_in_flight_are_their_rate_times_their_stay(coming: Arrivals, pool: Pool) -> None:
    """Little's law: looks at a fixed pace see on average as many requests as stays add up to over the time."""
    outcome = simulate(coming, pool, LAW)
    served = ~outcome.is_rejected
    stays_s = float((outcome.finish_s - coming.time_s)[served].sum())
    end_s = float(outcome.finish_s[served].max())
    looks = 24
    seen = []
    for look in range(looks):
        until_s = end_s * (look + 0.5) / looks
        before = simulate(coming, pool, LAW, until_s=until_s)
        # A step that began before the look is complete in the figures: who finished in it was still there.
        late = int(np.count_nonzero(before.finish_s > until_s))
        seen.append(int(before.running.sum() + before.queued.sum()) + late)
    # Between two looks each request is off by one look at most at either end.
    assert np.mean(seen) * end_s == pytest.approx(stays_s, abs=int(served.sum()) * end_s / looks)


@given(arrivals(), pools, st.floats(0.01, 0.6), st.permutations(range(3)))
@settings(max_examples=30)
def test_the_order_of_equal_replicas_does_not_matter(
    coming: Arrivals, pool: Pool, until_s: float, order: list[int]
) -> None:
    three = replace(pool, replicas=3, routing=Routing.LEAST_REQUESTS, max_queued_requests=None)
    expected = simulate(coming, three, LAW, until_s=until_s)
    renamed = np.array([*order, NOBODY])[expected.replica]
    actual = simulate(replace(coming, replica=renamed), three, LAW, until_s=until_s)
    for name in ("finish_s", "first_token_s"):
        assert getattr(expected, name).tobytes() == getattr(actual, name).tobytes(), name
    for name in ("busy_s", "steps", "prefilled_tokens", "preemptions", "free_blocks", "queued"):
        assert getattr(expected, name).tolist() == getattr(actual, name)[order].tolist(), name


def test_a_pinned_request_goes_where_it_is_told_and_nowhere_else() -> None:
    coming = Arrivals(
        time_s=np.zeros(4), input_tokens=np.ones(4), output_tokens=np.ones(4), replica=np.array([1, 1, NOBODY, 0])
    )
    pool = Pool(replicas=2, max_num_seqs=6, max_num_batched_tokens=24, blocks=40, block_tokens=4)
    assert [1, 1, 0, 0] == simulate(coming, pool, LAW).replica.tolist()
    with pytest.raises(ValueError, match="must be from 0 to 0"):
        simulate(coming, replace(pool, replicas=1), LAW)


@given(arrivals(), pools)
@settings(max_examples=30)
def test_half_of_all_times_halves_all_times(coming: Arrivals, pool: Pool) -> None:
    slow, fast = simulate(coming, pool, LAW), simulate(replace(coming, time_s=0.5 * coming.time_s), pool, HALF)
    assert slow.replica.tolist() == fast.replica.tolist()
    for name in ("first_token_s", "finish_s", "busy_s", "mean_itl_s"):
        assert 0.5 * getattr(slow, name) == pytest.approx(getattr(fast, name), abs=1e-12, nan_ok=True), name


def test_work_waits_behind_fewer_prompt_tokens_than_requests_do() -> None:
    # Replica 0 takes one long prompt, 1 two short ones; requests send the fourth to 0, work to 1.
    coming = Arrivals(
        time_s=np.array([0.0, 0.0, 1e-9, 2e-9]),
        input_tokens=np.array([40, 2, 2, 4]),
        output_tokens=np.array([5, 5, 5, 5]),
    )
    pool = Pool(replicas=2, max_num_seqs=6, max_num_batched_tokens=24, blocks=40, block_tokens=4)
    by_requests = simulate(coming, pool, LAW)
    by_work = simulate(coming, replace(pool, routing=Routing.LEAST_WORK), LAW)
    assert [0, 1, 0, 1] == by_requests.replica.tolist()
    assert [0, 1, 1, 1] == by_work.replica.tolist()


@given(arrivals(), pools)
@settings(max_examples=40)
def test_a_known_prefix_saves_exactly_its_blocks(coming: Arrivals, pool: Pool) -> None:
    single = replace(coming, time_s=np.zeros(len(coming)))
    roomy = replace(pool, replicas=1, blocks=18 * len(coming), max_queued_requests=None)
    cold = simulate(replace(single, cached_tokens=None), roomy, LAW)
    warm = simulate(single, roomy, LAW)
    assert coming.cached_tokens is not None
    known = np.minimum(coming.cached_tokens, coming.input_tokens - 1) // pool.block_tokens * pool.block_tokens
    assert cold.prefilled_tokens.sum() - known.sum() == warm.prefilled_tokens.sum()
    assert warm.busy_s.sum() <= cold.busy_s.sum() + 1e-12
