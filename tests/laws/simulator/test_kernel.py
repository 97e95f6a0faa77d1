import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwright.engine.blocks import BlockPool
from poolwright.engine.request import Request
from poolwright.engine.scheduler import Limits
from poolwright.simulator.layout import NOBODY, law_of
from poolwright.simulator.pool import Arrivals, Outcome, Pool, Routing, simulate
from poolwright.simulator.replica import Progress, Replica
from poolwright.simulator.step_table import StepTable

MOST_SEQS = 6
# Bends in every direction, and no two steps take a round time: an arrival never falls on a step's boundary.
TABLE = StepTable.of(
    lambda n, c, p: 1.0017e-3 + 1.13e-4 * np.sqrt(n) + 1.37e-6 * n * np.power(c, 1.2) + 1.71e-5 * np.power(p, 0.9),
    max_num_seqs=4,
    max_context_tokens=50,
    max_num_batched_tokens=24,
    points=6,
)
LAW = law_of(TABLE, MOST_SEQS)

Rows = list[tuple[float, int, int, int, int]]
"""Gap to the arrival before [ms], prompt, output, priority, cached tokens."""
rows = st.lists(
    st.tuples(st.floats(0.0, 40.0), st.integers(1, 40), st.integers(1, 30), st.integers(0, 2), st.integers(0, 40)),
    min_size=1,
    max_size=14,
)
# The longest request has 70 tokens: 18 blocks of 4 hold it, and not much beside it.
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


def arrivals(requests: Rows, *, with_priority: bool = True, with_cache: bool = True) -> Arrivals:
    gaps_ms, prompts, outputs, priorities, cached = zip(*requests, strict=True)
    return Arrivals(
        time_s=np.cumsum(gaps_ms) * 1.0009e-3,
        input_tokens=np.array(prompts),
        output_tokens=np.array(outputs),
        priority=np.array(priorities) if with_priority else None,
        cached_tokens=np.minimum(cached, prompts) if with_cache else None,
    )


@dataclass(slots=True)
class Reference:
    """A pool of the engine's own schedulers, taken one step at a time."""

    pool: Pool
    targets: list[int]
    until_s: float
    sent: dict[int, list[Request]] = field(default_factory=dict)

    def serve(self, arrivals: Arrivals) -> dict[tuple[str, int], float]:
        replicas = [self._replica() for _ in range(self.pool.replicas)]
        seen: dict[tuple[str, int], float] = {}
        for number, at_s in enumerate(arrivals.time_s.tolist()):
            if at_s >= self.until_s:
                break
            for index, each in enumerate(replicas):
                self._follow(each, index, at_s, seen)
            request = self._request(arrivals, number)
            target = self._target(request, replicas, at_s)
            chosen, most = replicas[target], self.pool.max_queued_requests
            if most is not None and chosen.scheduler.waiting >= most:
                seen["rejected", number] = at_s
                continue
            chosen.submit(request, at_s)
            self.sent.setdefault(target, []).append(request)
            seen["replica", number] = target
        for index, each in enumerate(replicas):
            self._follow(each, index, self.until_s, seen)
            seen["running", index] = len(each.scheduler.running)
            seen["queued", index] = each.scheduler.waiting
            seen["free", index] = each.scheduler.blocks.free
        return seen

    def _replica(self) -> Replica:
        return Replica(
            limits=Limits(max_num_seqs=self.pool.max_num_seqs, max_num_batched_tokens=self.pool.max_num_batched_tokens),
            blocks=BlockPool(self.pool.blocks, self.pool.block_tokens),
            step_time_s=TABLE.step_time_s,
        )

    def _request(self, arrivals: Arrivals, number: int) -> Request:
        return Request(
            number,
            int(arrivals.input_tokens[number]),
            int(arrivals.output_tokens[number]),
            0 if arrivals.priority is None else int(arrivals.priority[number]),
            cached_tokens=0 if arrivals.cached_tokens is None else int(arrivals.cached_tokens[number]),
        )

    def _target(self, request: Request, replicas: list[Replica], at_s: float) -> int:
        if self.pool.routing == Routing.ROUND_ROBIN:
            return request.number % len(replicas)
        if self.pool.routing == Routing.RANDOM:
            return self.targets[request.number]
        load = {
            Routing.LEAST_REQUESTS: lambda index: replicas[index].in_flight,
            Routing.LEAST_TOKENS: self._tokens,
            Routing.LEAST_WORK: lambda index: self._prompt_done_s(request, index, max(at_s, replicas[index].now_s)),
        }[self.pool.routing]
        return min(range(len(replicas)), key=lambda index: (load(index), index))

    def _in_flight(self, index: int) -> list[Request]:
        return [each for each in self.sent.get(index, []) if not each.is_finished]

    def _computed(self, request: Request) -> int:
        known = min(request.cached_tokens, request.prompt_tokens - 1) // self.pool.block_tokens * self.pool.block_tokens
        return max(request.computed, known)

    def _tokens(self, index: int) -> int:
        return sum(each.prompt_tokens + each.output_tokens - self._computed(each) for each in self._in_flight(index))

    def _prompt_done_s(self, request: Request, index: int, begin_s: float) -> float:
        decoding = [each for each in self._in_flight(index) if each.is_decoding]
        prompts = [each for each in self._in_flight(index) if not each.is_decoding]
        context = sum(each.tokens for each in decoding) / max(len(decoding), 1)
        left = sum(each.tokens - self._computed(each) for each in [*prompts, request])
        chunk = max(self.pool.max_num_batched_tokens - len(decoding), 1)
        while left > chunk:
            begin_s += TABLE.step_time_s(len(decoding), context, chunk)
            left -= chunk
        return begin_s + TABLE.step_time_s(len(decoding), context, left)

    def _follow(self, replica: Replica, index: int, to_s: float, seen: dict[tuple[str, int], float]) -> None:
        while replica.now_s < to_s and replica.in_flight:
            began_s = replica.now_s
            progress: Progress = replica.advance(math.nextafter(began_s, math.inf))
            for kind, pairs in (("first token", progress.first_tokens), ("finish", progress.finished)):
                for request, at_s in pairs:
                    seen[kind, request.number] = at_s
            decoded = sum(each.steps * each.sequences for each in progress.tokens)
            for kind, amount in (
                ("busy", replica.now_s - began_s),
                ("steps", 1),
                ("prefilled", progress.prefilled_tokens),
                ("preempted", progress.preempted),
                ("decoded", decoded),
            ):
                seen[kind, index] = seen.get((kind, index), 0) + amount


def seen_by_kernel(outcome: Outcome) -> dict[tuple[str, int], float]:
    seen: dict[tuple[str, int], float] = {}
    for kind, times in (("first token", outcome.first_token_s), ("finish", outcome.finish_s)):
        seen |= {(kind, number): time_s for number, time_s in enumerate(times.tolist()) if not math.isnan(time_s)}
    seen |= {("replica", number): each for number, each in enumerate(outcome.replica.tolist()) if each != NOBODY}
    return seen


def assert_agreement(coming: Arrivals, pool: Pool, seed: int, until_s: float) -> Outcome:
    outcome = simulate(coming, pool, LAW, seed=seed, until_s=until_s)
    targets = (np.random.PCG64(seed).random_raw(len(coming)) % np.uint64(pool.replicas)).tolist()
    expected = Reference(pool, targets, until_s).serve(coming)
    actual = seen_by_kernel(outcome)
    per_request = ("first token", "finish", "replica")
    assert expected.keys() & {key for key in expected if key[0] in per_request} == actual.keys()
    for key, value in actual.items():
        assert value == pytest.approx(expected[key], abs=1e-9), key
    rejected = [number for kind, number in expected if kind == "rejected"]
    assert sorted(rejected) == np.flatnonzero(outcome.is_rejected).tolist()
    for index in range(pool.replicas):
        totals = {
            "steps": outcome.steps,
            "prefilled": outcome.prefilled_tokens,
            "preempted": outcome.preemptions,
            "running": outcome.running,
            "queued": outcome.queued,
            "free": outcome.free_blocks,
        }
        for kind, counts in totals.items():
            assert expected.get((kind, index), 0) == counts[index], kind
        assert expected.get(("busy", index), 0.0) == pytest.approx(outcome.busy_s[index], abs=1e-9)
    return outcome


@given(
    requests=rows,
    pool=pools,
    seed=st.integers(0, 9),
    until_s=st.floats(0.01, 0.6) | st.just(math.inf),
    with_priority=st.booleans(),
    with_cache=st.booleans(),
)
def test_the_kernel_does_what_the_engines_own_scheduler_does(
    requests: Rows, pool: Pool, seed: int, until_s: float, *, with_priority: bool, with_cache: bool
) -> None:
    assert_agreement(arrivals(requests, with_priority=with_priority, with_cache=with_cache), pool, seed, until_s)


@pytest.mark.parametrize("routing", Routing)
def test_they_agree_where_blocks_are_short_and_many_lose_theirs(routing: Routing) -> None:
    # Five answers of 20 to 30 tokens outgrow 72 tokens of cache: preempted ones wait while others come.
    random = np.random.default_rng(3)
    count = 150
    coming = Arrivals(
        time_s=np.repeat(np.cumsum(random.exponential(0.035, count // 3)), 3),
        input_tokens=random.integers(9, 30, count),
        output_tokens=random.integers(20, 31, count),
        cached_tokens=np.tile([0, 0, 1, 1, 1], count // 5) * 9,
    )
    pool = Pool(replicas=3, max_num_seqs=6, max_num_batched_tokens=24, blocks=18, block_tokens=4, routing=routing)
    outcome = assert_agreement(coming, pool, 0, math.inf)
    assert outcome.preemptions.sum() > count // 3
