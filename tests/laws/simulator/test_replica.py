import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.engine.blocks import BlockPool
from poolwright.engine.request import Request
from poolwright.engine.scheduler import Limits
from poolwright.simulator.replica import Progress, Replica

rows = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 30)), min_size=1, max_size=10)


def law(sequences: float, context: float, prefill: float) -> float:
    return 1e-3 + 1e-4 * sequences + 1e-6 * sequences * context + 1e-5 * prefill


def replica(requests: list[tuple[int, int]], blocks: int) -> Replica:
    made = Replica(
        limits=Limits(max_num_seqs=4, max_num_batched_tokens=16), blocks=BlockPool(blocks, 4), step_time_s=law
    )
    for number, (prompt, output) in enumerate(requests):
        made.submit(Request(number, prompt, output), 0.0)
    return made


def times(progresses: list[Progress]) -> dict[tuple[str, int], float]:
    return {
        (kind, request.number): time_s
        for progress in progresses
        for kind, pairs in (("first", progress.first_tokens), ("finished", progress.finished))
        for request, time_s in pairs
    }


@given(rows, st.integers(18, 60))
@settings(deadline=None)
def test_stretches_of_decoding_end_when_single_steps_would(requests: list[tuple[int, int]], blocks: int) -> None:
    at_once, step_by_step = replica(requests, blocks), replica(requests, blocks)
    singles = []
    while step_by_step.in_flight:
        singles.append(step_by_step.advance(step_by_step.now_s + 1e-12))
    expected = times(singles)
    actual = times([at_once.advance(1e9)])
    assert expected.keys() == actual.keys()
    for key, time_s in expected.items():
        assert actual[key] == pytest.approx(time_s, abs=1e-9), key


@given(rows, st.integers(18, 60), st.floats(0.001, 0.2))
@settings(deadline=None)
def test_every_token_is_accounted_for_and_requests_are_conserved(
    requests: list[tuple[int, int]], blocks: int, tick_s: float
) -> None:
    engine = replica(requests, blocks)
    finished = decoded = 0
    to_s = 0.0
    while engine.in_flight:
        to_s += tick_s
        progress = engine.advance(to_s)
        finished += len(progress.finished)
        decoded += sum(each.steps * each.sequences for each in progress.tokens)
        assert finished + engine.in_flight == len(requests)
        assert engine.scheduler.blocks.free + engine.scheduler.blocks.used == blocks
    assert finished == len(requests)
    assert decoded <= sum(output - 1 for _, output in requests)
