"""What is true of the engine whatever is asked of it, in whatever order and under whatever limits."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.engine.checkpoint import open_checkpoint
from poolwright.engine.generation import FinishReason, Generation, Sampling, Token
from poolwright.engine.kv_cache import kv_cache
from poolwright.engine.loop import Engine
from poolwright.engine.model.decoder import Decoder
from poolwright.engine.model.step import Chunk
from poolwright.engine.model.weights import load_decoder
from poolwright.engine.runner import Runner
from poolwright.engine.scheduler import Limits
from poolwright.engine.tiny import TinyShape, write_checkpoint

CPU = torch.device("cpu")
BLOCK = 4
PATIENCE_S = 60.0
GREEDY = Sampling(temperature=0)


@dataclass
class Listener:
    """Collects what is said of one generation."""

    tokens: list[Token] = field(default_factory=list)
    scheduled: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self, token: Token) -> None:
        self.tokens.append(token)
        if token.finish_reason is not None:
            self.ended.set()

    def joined(self) -> None:
        self.scheduled += 1

    def answer(self) -> list[int]:
        assert self.ended.wait(PATIENCE_S)
        return [token.token_id for token in self.tokens if token.token_id is not None]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    directory: Path = tmp_path_factory.mktemp("tiny")
    write_checkpoint(directory, TinyShape(architecture="qwen3"))
    return load_decoder(open_checkpoint(directory), dtype=torch.float32, device=CPU)


def engine_of(decoder: Decoder, *, blocks: int = 64, seqs: int = 4, tokens: int = 32, **options: object) -> Engine:
    cache = kv_cache(decoder.config, blocks, BLOCK, torch.float32, CPU, kv_heads=decoder.kv_heads)
    runner = Runner(model=decoder, cache=cache, device=CPU)
    limits = Limits(max_num_seqs=seqs, max_num_batched_tokens=tokens)
    return Engine(runner, limits, **options)  # type: ignore[arg-type]


def alone(decoder: Decoder, generation: Generation) -> list[int]:
    """Return the greedy answer computed one whole sequence at a time, without cache, scheduler or loop."""
    tokens = list(generation.token_ids)
    while len(tokens) < len(generation.token_ids) + generation.max_tokens:
        blocks = range(-(-len(tokens) // BLOCK))
        cache = kv_cache(decoder.config, len(blocks), BLOCK, torch.float32, CPU, kv_heads=decoder.kv_heads)
        chunk = Chunk(token_ids=tokens, start=0, blocks=blocks)
        best = int(Runner(model=decoder, cache=cache, device=CPU).logits([chunk])[0].argmax())
        tokens.append(best)
        if best in generation.stop_token_ids:
            break
    return tokens[len(generation.token_ids) :]


def check_idle(engine: Engine) -> None:
    blocks = engine._roster.scheduler.blocks
    assert (blocks.total, 0) == (blocks.free, blocks.used)
    assert (0, 0) == (engine.state().running, engine.state().waiting)


prompts = st.one_of(
    st.lists(st.integers(0, 319), min_size=1, max_size=24).map(tuple),
    st.integers(1, 24).map(lambda length: tuple(range(40, 40 + length))),  # shared beginnings
)
generations = st.lists(
    st.builds(
        Generation,
        name=st.just(""),
        token_ids=prompts,
        max_tokens=st.sampled_from([1, 5, 12]),
        sampling=st.just(GREEDY),
        stop_token_ids=st.sampled_from([frozenset(), frozenset(range(0, 320, 29))]),
        priority=st.integers(0, 2),
    ),
    min_size=3,
    max_size=8,
).map(lambda rows: [replace(row, name=str(number)) for number, row in enumerate(rows)])


@given(generations, st.integers(9, 16), st.integers(1, 8), st.integers(1, 40), st.integers(1, 6), st.integers(1, 40))
@settings(max_examples=40)
def test_greedy_answers_are_those_of_each_request_alone_whatever_the_limits_and_however_they_change(
    decoder: Decoder, asked: Sequence[Generation], blocks: int, seqs: int, tokens: int, later_seqs: int, later: int
) -> None:
    engine = engine_of(decoder, blocks=blocks, seqs=seqs, tokens=tokens)
    listeners = {generation.name: Listener() for generation in asked}
    half = len(asked) // 2
    for generation in asked[:half]:
        engine.submit(generation, listeners[generation.name], listeners[generation.name].joined)
    engine.start()
    engine.set_limits(max_num_seqs=later_seqs, max_num_batched_tokens=later)
    for generation in asked[half:]:
        engine.submit(generation, listeners[generation.name], listeners[generation.name].joined)
    for generation in asked:
        listener = listeners[generation.name]
        answer = listener.answer()
        assert alone(decoder, generation) == answer
        assert 1 == listener.scheduled
        stopped = answer[-1] in generation.stop_token_ids
        assert (FinishReason.STOP if stopped else FinishReason.LENGTH) is listener.tokens[-1].finish_reason
        assert all(token.finish_reason is None for token in listener.tokens[:-1])
        assert all(token.cached_tokens < len(generation.token_ids) for token in listener.tokens)
    check_idle(engine)
    engine.stop(grace_s=0)


@given(
    st.floats(0.2, 2.0),
    st.floats(0.1, 1.0),
    st.integers(0, 20),
    st.floats(0.0, 0.3),
    st.floats(-1.0, 1.0),
    st.integers(-(2**63), 2**63),
)
@settings(max_examples=15)
def test_a_seeded_answer_does_not_depend_on_company(
    decoder: Decoder, temperature: float, top_p: float, top_k: int, min_p: float, penalty: float, seed: int
) -> None:
    sampling = Sampling(
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        min_p=min_p,
        presence_penalty=penalty,
        frequency_penalty=-penalty,
        repetition_penalty=1.0 + abs(penalty),
        seed=seed,
    )
    wanted = Generation(name="wanted", token_ids=(9, 8, 7, 6, 5, 4), max_tokens=10, sampling=sampling)
    answers = []
    for company in range(3):
        engine = engine_of(decoder, blocks=16, seqs=4, tokens=7)
        listener = Listener()
        for number in range(company):
            other = Generation(name=str(number), token_ids=tuple(range(50, 60 + number)), max_tokens=15)
            engine.submit(other, Listener())
        engine.submit(wanted, listener)
        engine.start()
        answers.append(listener.answer())
        engine.stop(grace_s=PATIENCE_S)
    assert 1 == len({tuple(answer) for answer in answers})
