"""Tokens a second of the engine against ``transformers`` on the same cores and in the same data type.

The checkpoint has the shape of Qwen2.5 0.5B and random weights; prompts are random and new in every round, so no prefix
is known. Rounds alternate between the two; the best of each counts, because a machine shared with others slows single
rounds down. Both times are from handing over the prompts to the last token. Prints one JSON object in the last line:
``speedup_bN`` is the engine over transformers at batch N, ``int8_bN`` and ``w4a16_bN`` are the engine with weights
quantised on load over the engine without.
"""

import argparse
import json
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from poolwright.engine.build import EngineOptions, activation_dtype, open_engine
from poolwright.engine.formats.on_load import WeightFormat
from poolwright.engine.generation import Generation, Sampling, Token
from poolwright.engine.loop import Engine
from poolwright.engine.tiny import TinyShape, write_checkpoint

BATCHES = (1, 8)
PROMPT_TOKENS = 32
ANSWER_TOKENS = 64
PATIENCE_S = 600.0
HALF_BILLION = {
    "architecture": "qwen2",
    "layers": 24,
    "hidden": 896,
    "heads": 14,
    "kv_heads": 2,
    "head_dim": 64,
    "width": 4864,
    "tokens": 151_936,
    "is_tied": True,
    "max_positions": 4096,
}
"""Widths of Qwen/Qwen2.5-0.5B's config.json."""

Prompts = list[tuple[int, ...]]
Answer = Callable[[Prompts], None]


def prompts(batch: int, seed: int) -> Prompts:
    """Return prompts that nobody has seen."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(10, HALF_BILLION["tokens"], (batch, PROMPT_TOKENS), generator=generator)
    return [tuple(row) for row in drawn.tolist()]


def tokens_per_s(answer: Answer, batch: int, seed: int) -> float:
    """Return the answer's tokens of all prompts over the time that they took."""
    asked = prompts(batch, seed)
    started_s = time.perf_counter()
    answer(asked)
    return batch * ANSWER_TOKENS / (time.perf_counter() - started_s)


def of_engine(engine: Engine) -> Answer:
    """Return what lets the engine answer."""

    def answer(asked: Prompts) -> None:
        left = threading.Semaphore(0)

        def heard(token: Token) -> None:
            if token.finish_reason is not None:
                left.release()

        for number, prompt in enumerate(asked):
            engine.submit(
                Generation(
                    name=str(number),
                    token_ids=prompt,
                    max_tokens=ANSWER_TOKENS,
                    sampling=Sampling(temperature=0),
                ),
                heard,
            )
        for _ in asked:
            if not left.acquire(timeout=PATIENCE_S):
                raise TimeoutError("the engine did not answer")

    return answer


def of_transformers(model: Any) -> Answer:
    """Return what lets the reference answer."""

    def answer(asked: Prompts) -> None:
        with torch.inference_mode():
            model.generate(
                torch.tensor(asked),
                attention_mask=torch.ones(len(asked), PROMPT_TOKENS, dtype=torch.int64),
                do_sample=False,
                min_new_tokens=ANSWER_TOKENS,
                max_new_tokens=ANSWER_TOKENS,
                pad_token_id=0,
            )

    return answer


def best(answers: dict[str, Answer], batch: int, rounds: int) -> dict[str, float]:
    """Return tokens a second of each in its best round, after one that warms up."""
    found: dict[str, list[float]] = {name: [] for name in answers}
    for number in range(rounds + 1):
        for name, answer in answers.items():
            rate = tokens_per_s(answer, batch, seed=1000 * batch + number)
            if number:
                found[name].append(rate)
    return {name: max(rates) for name, rates in found.items()}


def started(directory: Path, dtype: str, weight_format: WeightFormat | None) -> Engine:
    """Return a running engine."""
    options = EngineOptions(
        model=directory,
        dtype=dtype,
        weight_format=weight_format,
        max_model_len=PROMPT_TOKENS + ANSWER_TOKENS,
        max_num_seqs=max(BATCHES),
    )
    engine = open_engine(options)
    engine.start()
    return engine


def compared(directory: Path, dtype: str, rounds: int) -> dict[str, float]:
    """Return every rate [tokens per s] and every ratio."""
    result: dict[str, float] = {}
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=activation_dtype(dtype)).eval()
    engines = {"engine": started(directory, dtype, None)}
    engines |= {to.value: started(directory, dtype, to) for to in (WeightFormat.INT8, WeightFormat.W4A16)}
    answers = {"transformers": of_transformers(model)} | {name: of_engine(engine) for name, engine in engines.items()}
    for batch in BATCHES:
        rates = best(answers, batch, rounds)
        result |= {f"{name}_tokens_per_s_b{batch}": round(rate, 2) for name, rate in rates.items()}
        result[f"speedup_b{batch}"] = round(rates["engine"] / rates["transformers"], 3)
        for to in (WeightFormat.INT8, WeightFormat.W4A16):
            result[f"{to.value}_b{batch}"] = round(rates[to.value] / rates["engine"], 3)
        print(f"batch {batch}: {', '.join(f'{name} {rate:.1f}' for name, rate in rates.items())} tokens/s", flush=True)
    for engine in engines.values():
        engine.stop(grace_s=0)
    return result


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    name = str(activation_dtype(arguments.dtype)).removeprefix("torch.")
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        write_checkpoint(directory, TinyShape(**HALF_BILLION, dtype=name))  # type: ignore[arg-type]
        result = compared(directory, name, arguments.rounds)
    machine = {"dtype": name, "threads": arguments.threads, "cpu": platform.processor(), "torch": torch.__version__}
    print(json.dumps(result | machine))


if __name__ == "__main__":
    main()
