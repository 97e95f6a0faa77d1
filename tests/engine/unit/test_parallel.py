"""Two processes answer as one does."""

import threading
from pathlib import Path

import pytest

from poolwright.engine.build import EngineOptions, open_engine
from poolwright.engine.checkpoint import CheckpointError
from poolwright.engine.formats.on_load import WeightFormat
from poolwright.engine.generation import EngineFailedError, FinishReason, Generation, Sampling, Token
from poolwright.engine.loop import Engine
from poolwright.engine.model.step import Chunk
from poolwright.engine.parallel import flattened, unflattened
from poolwright.engine.tiny import TinyShape, write_checkpoint

PATIENCE_S = 60.0
PROMPTS = [(5, 6, 7), tuple(range(30, 60)), (9,)]


def engine_of(directory: Path, size: int, weight_format: WeightFormat | None = None) -> Engine:
    options = EngineOptions(
        model=directory,
        dtype="float32",
        tensor_parallel_size=size,
        weight_format=weight_format,
        max_num_seqs=4,
        max_num_batched_tokens=16,
    )
    engine = open_engine(options)
    engine.start()
    return engine


def answers(engine: Engine) -> list[list[Token]]:
    heard: list[list[Token]] = [[] for _ in PROMPTS]
    left = threading.Semaphore(0)
    for number, prompt in enumerate(PROMPTS):

        def listener(token: Token, number: int = number) -> None:
            heard[number].append(token)
            if token.finish_reason is not None:
                left.release()

        sampling = Sampling(temperature=0, logprobs=0)
        engine.submit(Generation(name=str(number), token_ids=prompt, max_tokens=8, sampling=sampling), listener)
    for _ in PROMPTS:
        assert left.acquire(timeout=PATIENCE_S)
    return heard


@pytest.mark.parametrize(
    ("architecture", "weight_format"), [("qwen2", None), ("qwen3_moe", None), ("llama", WeightFormat.FP8)]
)
def test_two_processes_answer_as_one(architecture: str, weight_format: WeightFormat | None, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, TinyShape(architecture=architecture))
    found = []
    for size in (1, 2):
        engine = engine_of(tmp_path, size, weight_format)
        found.append(answers(engine))
        team = engine._runner.team
        engine.stop(grace_s=0)
        assert team is None or [0] == [other.returncode for other in team.others]
        assert team is None or not team.meeting.parent.exists()
    for one, two in zip(*found, strict=True):
        assert [token.token_id for token in one] == [token.token_id for token in two]
        assert [token.logprob for token in one] == pytest.approx([token.logprob for token in two], abs=1e-4)


def test_a_lost_process_fails_the_engine_instead_of_hanging_it(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, TinyShape())
    engine = engine_of(tmp_path, 2)
    answers(engine)
    assert engine._runner.team is not None
    other = engine._runner.team.others[0]
    other.kill()
    other.wait()
    ended = threading.Event()
    heard: list[Token] = []

    def listener(token: Token) -> None:
        heard.append(token)
        ended.set()

    engine.submit(Generation(name="late", token_ids=(1, 2), max_tokens=4), listener)
    assert ended.wait(PATIENCE_S)
    assert [FinishReason.ABORT] == [token.finish_reason for token in heard]
    with pytest.raises(EngineFailedError):
        engine.state()
    engine.stop(grace_s=0)


def test_heads_that_cannot_be_divided_are_refused_before_anything_starts(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, TinyShape())
    with pytest.raises(CheckpointError, match="tensor_parallel_size 4 does not divide num_key_value_heads, 2"):
        engine_of(tmp_path, 4)
    with pytest.raises(ValueError, match="tensor_parallel_size 0 must be at least 1"):
        engine_of(tmp_path, 0)


def test_what_is_told_is_what_is_heard() -> None:
    chunks = [
        Chunk(token_ids=[4, 5], start=7, blocks=[1, 2, 3], wants_logits=False),
        Chunk(token_ids=[9], start=0, blocks=[0], wants_logits=False),
    ]
    assert chunks == unflattened(flattened(chunks))
    assert [] == unflattened([])
