"""The loop: queue limits, aborts, preemption, the prefix cache, ends of life, failures."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from poolwright.engine.build import EngineOptions, open_engine
from poolwright.engine.generation import (
    EngineFailedError,
    FinishReason,
    Generation,
    QueueFullError,
    Sampling,
    StepRecord,
    Token,
)
from poolwright.engine.loop import Engine
from poolwright.engine.runner import Runner
from poolwright.engine.tiny import TinyShape, write_checkpoint

PATIENCE_S = 60.0
GREEDY = Sampling(temperature=0)
TOKEN_BYTES = 2 * 2 * 2 * 16 * 4
"""Keys and values, 2 layers, 2 KV heads of 16 values of 4 bytes."""


@dataclass
class Listener:
    tokens: list[Token] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self, token: Token) -> None:
        self.tokens.append(token)
        if token.finish_reason is not None:
            self.ended.set()

    def last(self) -> Token:
        assert self.ended.wait(PATIENCE_S)
        return self.tokens[-1]

    def answer(self) -> list[int | None]:
        self.last()
        return [token.token_id for token in self.tokens]


@dataclass
class Steps:
    records: list[StepRecord] = field(default_factory=list)

    def __call__(self, record: StepRecord) -> None:
        self.records.append(record)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_checkpoint(directory, TinyShape(max_positions=256))
    return directory


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def engine(model: Path, steps: Steps) -> Iterator[Engine]:
    """An engine with 16 blocks of 4 tokens, not started."""
    options = EngineOptions(model=model, dtype="float32", block_tokens=4, kv_cache_memory_bytes=64.0 * TOKEN_BYTES)
    made = open_engine(options, steps)
    yield made
    made.stop(grace_s=0)


def asked(name: str, prompt: Sequence[int] = (5, 6, 7), max_tokens: int = 4, **rest: object) -> Generation:
    return Generation(name=name, token_ids=tuple(prompt), max_tokens=max_tokens, **{"sampling": GREEDY, **rest})  # type: ignore[arg-type]


def test_the_cache_is_as_large_as_its_budget(engine: Engine) -> None:
    assert 64 == engine.state().kv_tokens
    assert 64 == engine.max_model_len


def test_a_budget_below_one_block_is_refused(model: Path) -> None:
    with pytest.raises(ValueError, match="holds no block of 8192 bytes"):
        open_engine(EngineOptions(model=model, kv_cache_memory_bytes=100.0, dtype="float32"))


def test_a_cache_without_a_budget_holds_the_largest_batch_and_no_more(model: Path) -> None:
    made = open_engine(EngineOptions(model=model, max_num_seqs=2))
    assert (512, 256) == (made.state().kv_tokens, made.max_model_len)


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        (asked("long", range(60), 5), "longer than max_model_len 64"),
        (asked("foreign", (320,)), "between 0 and 319"),
        (asked("negative", (-1,)), "between 0 and 319"),
        (asked("empty", ()), "must be at least 1"),
        (asked("nothing", (1,), 0), "must be at least 1"),
    ],
)
def test_what_could_never_be_served_is_refused_at_once(engine: Engine, generation: Generation, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine.submit(generation, Listener())
    assert 0 == engine.state().waiting


def test_a_name_is_taken_until_its_generation_ends(engine: Engine) -> None:
    first, second = Listener(), Listener()
    engine.submit(asked("a"), first)
    with pytest.raises(ValueError, match="a generation named a is under way"):
        engine.submit(asked("a"), Listener())
    engine.start()
    first.last()
    engine.submit(asked("a"), second)
    assert first.answer() == second.answer()


def test_a_full_queue_refuses_and_takes_again_when_it_has_moved(engine: Engine) -> None:
    engine.set_limits(max_queued_requests=2)
    listeners = [Listener(), Listener()]
    for name, listener in zip("ab", listeners, strict=True):
        engine.submit(asked(name), listener)
    with pytest.raises(QueueFullError, match="2 requests wait, as many as may"):
        engine.submit(asked("c"), Listener())
    engine.start()
    for listener in listeners:
        listener.last()
    engine.submit(asked("c"), listeners[0])


@pytest.mark.parametrize("limit", ["max_num_seqs", "max_num_batched_tokens", "max_queued_requests"])
def test_limits_under_which_nothing_runs_are_refused_and_change_nothing(engine: Engine, limit: str) -> None:
    before = engine.state()
    with pytest.raises(ValueError, match="must be at least 1"):
        engine.set_limits(**{limit: 0})  # type: ignore[arg-type]
    assert before == engine.state()


def test_an_abort_ends_a_waiting_and_a_running_generation_and_frees_its_blocks(engine: Engine) -> None:
    engine.set_limits(max_num_seqs=1)
    started, waits, later = threading.Event(), Listener(), Listener()
    runs = Listener()
    engine.submit(asked("runs", range(10), 50), runs, started.set)
    engine.submit(asked("waits"), waits)
    engine.submit(asked("later"), later)
    engine.abort("waits")
    engine.start()
    assert started.wait(PATIENCE_S)
    engine.abort("runs")
    engine.abort("nobody")
    assert (None, FinishReason.ABORT) == (waits.last().token_id, waits.last().finish_reason)
    assert FinishReason.ABORT is runs.last().finish_reason
    assert 4 == len(later.answer())
    assert 0 == engine.state().kv_used_ratio


def test_the_important_are_served_first(engine: Engine) -> None:
    engine.set_limits(max_num_seqs=1)
    order: list[str] = []
    listeners = []
    for name, priority in (("low", 2), ("high", 0), ("middle", 1)):
        listeners.append(Listener())
        engine.submit(asked(name, priority=priority), listeners[-1], lambda name=name: order.append(name))
    engine.start()
    for listener in listeners:
        listener.last()
    assert ["high", "middle", "low"] == order


def test_preempted_generations_answer_as_if_nothing_had_happened(engine: Engine) -> None:
    # four times 6 + 30 tokens are 36 blocks, of which there are 16
    listeners = [Listener() for _ in range(4)]
    for number, listener in enumerate(listeners):
        engine.submit(asked(str(number), range(number, number + 6), 30), listener)
    engine.start()
    together = [listener.answer() for listener in listeners]
    assert engine.state().preemptions > 0
    for number, answer in enumerate(together):
        single = Listener()
        engine.submit(asked("single", range(number, number + 6), 30), single)
        assert answer == single.answer()


def test_a_known_prefix_is_not_computed_again(engine: Engine, steps: Steps) -> None:
    engine.start()
    first, second = Listener(), Listener()
    engine.submit(asked("first", range(13), 1), first)
    assert 0 == first.last().cached_tokens
    engine.submit(asked("second", [*range(11), 99], 1), second)
    assert 8 == second.last().cached_tokens  # two full blocks of four
    assert (25, 8) == (engine.state().cache_queries, engine.state().cache_hits)
    engine.stop(grace_s=0)
    assert [13, 4] == [record.prefill_tokens for record in steps.records]


def test_steps_say_what_they_did(engine: Engine, steps: Steps) -> None:
    listener = Listener()
    engine.submit(asked("a", range(5), 3), listener)
    engine.start()
    listener.last()
    engine.stop(grace_s=0)
    assert [(0, 5, 5), (1, 0, 6), (1, 0, 7)] == [
        (record.decoding, record.prefill_tokens, record.context_tokens) for record in steps.records
    ]
    # a layer's matrices: qkv 64 x 128, output 64 x 64, SwiGLU 3 x 64 x 96; head 64 x 320; 2 FLOP a weight
    matrices, head = 2 * (64 * 128 + 64 * 64 + 3 * 64 * 96), 64 * 320
    # attention: 4 FLOP per value of 4 heads of 16, for each token seen, in 2 layers; 5 tokens see 1 + 2 + 3 + 4 + 5
    flop = [2 * (5 * matrices + head) + 4 * 64 * 2 * 15, 2 * (matrices + head) + 4 * 64 * 2 * 6]
    assert flop == [record.flop for record in steps.records[:2]]
    # float32 weights once, keys and values of the context read and of the new tokens written
    moved = [4 * (matrices + head) + TOKEN_BYTES * (5 + 5), 4 * (matrices + head) + TOKEN_BYTES * (6 + 1)]
    assert moved == [record.bytes for record in steps.records[:2]]
    assert all(record.seconds > 0 for record in steps.records)


def test_a_stopping_engine_finishes_within_its_grace_and_takes_no_more(engine: Engine) -> None:
    listener = Listener()
    engine.submit(asked("a", max_tokens=20), listener)
    engine.start()
    engine.stop(grace_s=PATIENCE_S)
    assert FinishReason.LENGTH is listener.last().finish_reason
    with pytest.raises(QueueFullError, match="stopping"):
        engine.submit(asked("b"), Listener())


def test_a_stopping_engine_without_grace_aborts_what_is_left(engine: Engine) -> None:
    engine.set_limits(max_num_seqs=1)
    listeners = [Listener() for _ in range(8)]
    for number, listener in enumerate(listeners):
        engine.submit(asked(str(number), max_tokens=50), listener)
    engine.start()
    engine.stop(grace_s=0)
    assert FinishReason.ABORT is listeners[-1].last().finish_reason
    assert all(listener.ended.is_set() for listener in listeners)


def test_a_listener_that_fails_harms_only_itself(engine: Engine) -> None:
    def fails(_: Token) -> None:
        raise RuntimeError("broken listener")

    listener = Listener()
    engine.submit(asked("a"), fails)
    engine.submit(asked("b"), listener)
    engine.start()
    assert 4 == len(listener.answer())


def test_a_failing_step_ends_everybody_and_is_told_to_whoever_asks(model: Path) -> None:
    options = EngineOptions(model=model, dtype="float32", kv_cache_memory_bytes=64.0 * TOKEN_BYTES)
    engine = open_engine(options)
    whole = engine._runner
    broken = Runner(model=whole.model, cache=whole.cache, device=None)  # type: ignore[arg-type]
    object.__setattr__(broken, "model", None)
    listener = Listener()
    engine.submit(asked("a"), listener)
    engine._runner = broken
    engine.start()
    assert FinishReason.ABORT is listener.last().finish_reason
    engine._thread.join()
    with pytest.raises(EngineFailedError, match="a step failed"):
        engine.state()
    engine._runner = whole
    with pytest.raises(EngineFailedError, match="a step failed"):
        engine.submit(asked("b"), Listener())


def test_answers_without_a_seed_differ_and_repeat_with_the_engine_seed(model: Path) -> None:
    def answers(seed: int) -> list[list[int | None]]:
        engine = open_engine(EngineOptions(model=model, dtype="float32", seed=seed, max_num_seqs=4))
        listeners = [Listener() for _ in range(3)]
        for number, listener in enumerate(listeners):
            engine.submit(asked(str(number), max_tokens=12, sampling=Sampling()), listener)
        engine.start()
        engine.stop(grace_s=PATIENCE_S)
        return [listener.answer() for listener in listeners]

    first = answers(1)
    assert first == answers(1)
    assert first != answers(2)
    assert first[0] != first[1]
