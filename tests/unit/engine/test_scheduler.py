import pytest

from poolwright.engine.blocks import BlockPool
from poolwright.engine.request import Request
from poolwright.engine.scheduler import Limits, Scheduler


def scheduler(*, seqs: int = 4, tokens: int = 8, blocks: int = 8) -> Scheduler:
    return Scheduler(Limits(max_num_seqs=seqs, max_num_batched_tokens=tokens), BlockPool(blocks, 4))


def computed(engine: Scheduler) -> dict[int, int]:
    batch = engine.schedule()
    engine.complete(batch)
    return {request.number: tokens for request, tokens in batch.entries}


def test_a_long_prompt_is_prefilled_in_chunks_of_the_token_budget_beside_decoding() -> None:
    engine = scheduler()
    engine.add(Request(0, prompt_tokens=2, output_tokens=9))
    assert {0: 2} == computed(engine)
    engine.add(Request(1, prompt_tokens=10, output_tokens=2))
    assert {0: 1, 1: 7} == computed(engine)  # 8 tokens a step: 1 decodes, 7 are left for the prompt
    assert {0: 1, 1: 3} == computed(engine)


def test_a_more_important_request_is_admitted_first() -> None:
    engine = scheduler(seqs=1)
    engine.add(Request(0, prompt_tokens=2, output_tokens=1, priority=1))
    engine.add(Request(1, prompt_tokens=2, output_tokens=1, priority=0))
    assert {1: 2} == computed(engine)


def test_the_newest_request_loses_its_blocks_when_they_run_out_and_is_computed_again() -> None:
    engine = scheduler(blocks=4)
    engine.add(Request(0, prompt_tokens=4, output_tokens=8))
    engine.add(Request(1, prompt_tokens=4, output_tokens=8))
    preempted = []
    for _ in range(40):
        batch = engine.schedule()
        preempted += [request.number for request in batch.preempted]
        engine.complete(batch)
    assert set(preempted) == {1}
    assert engine.blocks.free == 4


def test_a_known_prefix_is_not_computed_twice() -> None:
    engine = scheduler(tokens=32)
    prompt = tuple(range(10))
    engine.add(Request(0, 10, 1, token_ids=prompt))
    assert {0: 10} == computed(engine)
    engine.add(Request(1, 10, 1, token_ids=prompt))
    assert {1: 2} == computed(engine)  # two full blocks of four tokens are known


def test_a_prompt_that_is_all_known_still_computes_its_last_block() -> None:
    engine = scheduler(tokens=32)
    prompt = tuple(range(8))
    engine.add(Request(0, 8, 1, token_ids=prompt))
    computed(engine)
    engine.add(Request(1, 8, 1, token_ids=prompt))
    assert {1: 4} == computed(engine)


def test_a_request_that_could_never_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(ValueError, match="request 7 needs 40 tokens of cache, there are 32"):
        scheduler().add(Request(7, prompt_tokens=30, output_tokens=10))


def test_an_aborted_request_leaves_no_trace() -> None:
    engine = scheduler(seqs=1)
    for number in range(3):
        engine.add(Request(number, prompt_tokens=4, output_tokens=4))
    computed(engine)
    assert [0, 2] == [request.number for request in map(engine.abort, (0, 2)) if request]
    assert engine.abort(9) is None
    assert {1: 4} == computed(engine)
    assert engine.blocks.used == 1
