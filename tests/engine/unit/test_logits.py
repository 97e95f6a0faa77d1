"""Logits are those of transformers, however a prompt comes into the cache."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from poolwright.engine.checkpoint import open_checkpoint
from poolwright.engine.kv_cache import kv_cache
from poolwright.engine.model.step import Chunk
from poolwright.engine.model.weights import load_decoder
from poolwright.engine.runner import Runner
from poolwright.engine.tiny import ARCHITECTURES, TinyShape, write_checkpoint

CPU = torch.device("cpu")
BLOCK = 4
PROMPT = [5, 17, 300, 42, 99, 7, 256, 31, 8, 64, 201, 3, 150, 77, 12, 290, 33]
TABLE = [9, 2, 11, 4, 7, 0]
"""Blocks of a sequence, scattered over the cache."""
OTHER = [21, 6, 170, 80, 33, 44]
OTHER_TABLE = [1, 3]

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    def made(architecture: str, changes: dict[str, object] | None = None, **shape: object) -> Path:
        directory = tmp_path_factory.mktemp(architecture)
        write_checkpoint(directory, TinyShape(architecture=architecture, **shape), shards=2)  # type: ignore[arg-type]
        config = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps(config | (changes or {})))
        return directory

    return made


def runner_of(directory: Path) -> Runner:
    decoder = load_decoder(open_checkpoint(directory), dtype=torch.float32, device=CPU)
    cache = kv_cache(decoder.config, 12, BLOCK, torch.float32, CPU, kv_heads=decoder.kv_heads)
    return Runner(model=decoder, cache=cache, device=CPU)


def reference(directory: Path, tokens: Sequence[int]) -> torch.Tensor:
    """Return the reference's logits after each token, (tokens, vocabulary)."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    with torch.inference_mode():
        return model.eval()(torch.tensor([tokens])).logits[0]


def in_parts(runner: Runner, parts: Sequence[int]) -> torch.Tensor:
    """Return logits after the prompt, computed in parts that end at these places."""
    start = 0
    result = torch.empty(0)
    for stop in parts:
        result = runner.logits([Chunk(token_ids=PROMPT[start:stop], start=start, blocks=TABLE)])[0]
        start = stop
    return result


def check(directory: Path) -> None:
    expected = reference(directory, PROMPT)[-1]
    for parts in ([17], [6, 13, 17], list(range(1, 18)), [8, 17]):
        torch.testing.assert_close(in_parts(runner_of(directory), parts), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_equal_the_reference_whole_in_chunks_and_token_by_token(architecture: str, make: Make) -> None:
    check(make(architecture))


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_one_table_for_embeddings_and_head_is_read_once(architecture: str, make: Make) -> None:
    check(make(architecture, is_tied=True))


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "linear", "factor": 4.0},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        {
            "rope_type": "yarn",
            "factor": 2.0,
            "original_max_position_embeddings": 64,
            "mscale": 1.0,
            "mscale_all_dim": 0.7,
        },
        {
            "rope_type": "yarn",
            "factor": 2.0,
            "original_max_position_embeddings": 64,
            "truncate": False,
            "beta_fast": 16,
        },
    ],
    ids=lambda scaling: "-".join(map(str, scaling.values())),
)
def test_stretched_positions_equal_the_reference(scaling: dict[str, object], make: Make) -> None:
    check(make("llama", {"rope_scaling": scaling}))


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
        ("mixtral", {"sliding_window": 5}),
        ("llama", {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 6}),
        ("qwen3_moe", {"use_sliding_window": True, "sliding_window": 5}),
    ],
)
def test_windows_equal_the_reference(architecture: str, changes: dict[str, object], make: Make) -> None:
    check(make(architecture, changes))


def test_routing_without_normalised_probabilities_equals_the_reference(make: Make) -> None:
    check(make("qwen3_moe", {"norm_topk_prob": False}))


def test_new_spelling_of_rotary_positions_is_read(make: Make) -> None:
    check(make("llama", {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_chunks_and_single_tokens_share_a_step(architecture: str, make: Make) -> None:
    directory = make(architecture)
    runner = runner_of(directory)
    runner.logits(
        [Chunk(token_ids=PROMPT[:9], start=0, blocks=TABLE), Chunk(token_ids=OTHER[:5], start=0, blocks=OTHER_TABLE)]
    )
    both = runner.logits(
        [Chunk(token_ids=OTHER[5:], start=5, blocks=OTHER_TABLE), Chunk(token_ids=PROMPT[9:], start=9, blocks=TABLE)]
    )
    torch.testing.assert_close(both[0], reference(directory, OTHER)[-1], atol=1e-4, rtol=0)
    torch.testing.assert_close(both[1], reference(directory, PROMPT)[-1], atol=1e-4, rtol=0)


def test_a_prefix_in_the_cache_serves_another_sequence(make: Make) -> None:
    directory = make("llama")
    runner = runner_of(directory)
    in_parts(runner, [17])
    other = [*PROMPT[:8], 11, 12, 13]
    shared = [*TABLE[:2], 6]  # two full blocks of the first sequence, and one of its own
    result = runner.logits([Chunk(token_ids=other[8:], start=8, blocks=shared)])[0]
    torch.testing.assert_close(result, reference(directory, other)[-1], atol=1e-4, rtol=0)


def test_sequences_of_many_lengths_decode_together(make: Make) -> None:
    directory = make("qwen3")
    runner = runner_of(directory)
    tables = [[0], [1, 2], [3, 4, 5]]
    prompts = [PROMPT[:3], PROMPT[:7], PROMPT[:10]]
    for prompt, table in zip(prompts, tables, strict=True):
        runner.logits([Chunk(token_ids=prompt[:-1], start=0, blocks=table)])
    together = runner.logits(
        [Chunk(token_ids=p[-1:], start=len(p) - 1, blocks=t) for p, t in zip(prompts, tables, strict=True)]
    )
    whole = reference(directory, PROMPT)
    expected = torch.stack([whole[len(prompt) - 1] for prompt in prompts])
    torch.testing.assert_close(together, expected, atol=1e-4, rtol=0)
