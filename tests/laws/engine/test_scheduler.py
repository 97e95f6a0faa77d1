from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.engine.blocks import BlockPool
from poolwright.engine.request import Request
from poolwright.engine.scheduler import Limits, Scheduler

BLOCK = 4
POOL = 24

requests = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 30), st.integers(0, 2)), min_size=1, max_size=12).map(
    lambda rows: [row for row in rows if sum(row[:2]) <= BLOCK * POOL] or [(1, 1, 0)]
)
limits = st.builds(Limits, max_num_seqs=st.integers(1, 8), max_num_batched_tokens=st.integers(1, 64))


def check_blocks(scheduler: Scheduler) -> None:
    held = [block for request in scheduler.running for block in request.blocks]
    assert scheduler.blocks.total == scheduler.blocks.free + scheduler.blocks.used
    assert len(held) == len(set(held)) == scheduler.blocks.used
    for request in scheduler.running:
        assert len(request.blocks) >= scheduler.blocks.blocks_for(request.computed)


@given(requests, limits, st.integers(1, 8), st.integers(1, 64))
@settings(deadline=None)
def test_every_request_gets_every_token_whatever_the_limits_and_however_they_change(
    rows: list[tuple[int, int, int]], limit: Limits, later_seqs: int, later_tokens: int
) -> None:
    scheduler = Scheduler(limit, BlockPool(POOL, BLOCK))
    everyone = [Request(number, *row) for number, row in enumerate(rows)]
    for request in everyone:
        scheduler.add(request)
    finished: list[Request] = []
    for step in range(20_000):
        if len(finished) == len(everyone):
            break
        if step == 10:
            scheduler.limits.max_num_seqs, scheduler.limits.max_num_batched_tokens = later_seqs, later_tokens
        batch = scheduler.schedule()
        assert batch.entries
        assert sum(tokens for _, tokens in batch.entries) <= scheduler.limits.max_num_batched_tokens
        check_blocks(scheduler)
        finished += scheduler.complete(batch)[1]
        assert len(everyone) == len(finished) + len(scheduler.running) + scheduler.waiting
    assert {request.number for request in everyone} == {request.number for request in finished}
    assert all(request.generated == request.output_tokens for request in everyone)
    assert scheduler.blocks.free == POOL


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=24).map(tuple), min_size=1, max_size=8))
@settings(deadline=None)
def test_shared_prefixes_conserve_blocks_and_leave_a_token_to_compute(prompts: list[tuple[int, ...]]) -> None:
    scheduler = Scheduler(Limits(max_num_seqs=4, max_num_batched_tokens=16), BlockPool(POOL, BLOCK))
    for number, prompt in enumerate(prompts):
        scheduler.add(Request(number, len(prompt), 3, token_ids=prompt))
    finished = 0
    while finished < len(prompts):
        batch = scheduler.schedule()
        assert all(tokens >= 1 for _, tokens in batch.entries)
        assert scheduler.blocks.total == scheduler.blocks.free + scheduler.blocks.used
        finished += len(scheduler.complete(batch)[1])
    assert scheduler.blocks.free == POOL
