"""From a directory with a checkpoint to an engine ready to start: the one place that puts the parts together."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from poolwright.engine.checkpoint import open_checkpoint
from poolwright.engine.formats.on_load import WeightFormat
from poolwright.engine.generation import OnStep
from poolwright.engine.kv_cache import affordable_blocks, kv_cache
from poolwright.engine.loop import Engine
from poolwright.engine.memory import available_bytes
from poolwright.engine.model.config import ModelConfig, model_config
from poolwright.engine.model.cpu_linear import has_fast_bfloat16
from poolwright.engine.model.part import WHOLE, Part
from poolwright.engine.model.weights import alone, load_decoder, to_format, unchanged
from poolwright.engine.parallel import Team, lead
from poolwright.engine.runner import Runner
from poolwright.engine.scheduler import Limits

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What an engine is made of; the names are those of the command line.

    Attributes
    ----------
    model
        Directory of the checkpoint.
    dtype
        Of activations and plain weights: ``float32``, ``bfloat16``, ``float16``, or ``auto``: as the device likes it.
    weight_format
        What plain matrices of the layers are quantised to while loading; None: they stay plain.
    block_tokens
        Tokens of one KV block.
    kv_cache_memory_bytes
        Memory of the KV cache; None: ``kv_cache_memory_ratio`` of what the weights leave free.
    max_model_len
        Most tokens of prompt and answer; None: as the model was made for, or as fits the cache.
    max_num_seqs, max_num_batched_tokens
        What a step may hold; live-settable later.
    max_queued_requests
        Most requests that wait; None: any number.
    tensor_parallel_size
        Processes that compute the model together.
    seed
        Of everything random.
    """

    model: Path
    dtype: str = "auto"
    weight_format: WeightFormat | None = None
    block_tokens: int = 16
    kv_cache_memory_bytes: float | None = None
    kv_cache_memory_ratio: float = 0.5
    max_model_len: int | None = None
    max_num_seqs: int = 32
    max_num_batched_tokens: int = 512
    max_queued_requests: int | None = None
    tensor_parallel_size: int = 1
    seed: int = 0


def open_engine(options: EngineOptions, on_step: OnStep | None = None) -> Engine:
    """Load a checkpoint and return its engine, not started.

    Raises
    ------
    CheckpointError
        The checkpoint cannot be served.
    ValueError
        An option under which nothing could run.
    """
    limits = Limits(max_num_seqs=options.max_num_seqs, max_num_batched_tokens=options.max_num_batched_tokens)
    if options.tensor_parallel_size < 1:
        raise ValueError(f"tensor_parallel_size {options.tensor_parallel_size} must be at least 1")
    config = model_config(open_checkpoint(options.model).config, str(options.model / "config.json"))
    Part(size=options.tensor_parallel_size).check(config)
    blocks = _blocks(options, config)
    runner = runner_of(options, blocks, _team(options, blocks))
    return Engine(
        runner,
        limits,
        max_queued_requests=options.max_queued_requests,
        max_model_len=options.max_model_len,
        on_step=on_step,
        seed=options.seed,
    )


def runner_of(options: EngineOptions, blocks: int, team: Team | None) -> Runner:
    """Load a model, or a process's part of it, and return it with a cache of so many blocks."""
    device = torch.device("cpu")
    dtype = activation_dtype(options.dtype)
    transform = unchanged if options.weight_format is None else to_format(options.weight_format)
    decoder = load_decoder(
        open_checkpoint(options.model),
        dtype=dtype,
        device=device,
        transform=transform,
        part=WHOLE if team is None else team.part,
        added=alone if team is None else team.added,
    )
    cache = kv_cache(decoder.config, blocks, options.block_tokens, dtype, device, kv_heads=decoder.kv_heads)
    return Runner(model=decoder, cache=cache, device=device, team=team)


def options_from(values: Mapping[str, Any]) -> EngineOptions:
    """Return options from what ``_team`` wrote of them."""
    weight_format = values["weight_format"]
    return EngineOptions(
        model=Path(values["model"]),
        dtype=values["dtype"],
        weight_format=None if weight_format is None else WeightFormat(weight_format),
        block_tokens=values["block_tokens"],
    )


def _team(options: EngineOptions, blocks: int) -> Team | None:
    """Start the other processes of a model that several compute; they share the threads of this one."""
    size = options.tensor_parallel_size
    if size == 1:
        return None
    threads = max(1, torch.get_num_threads() // size)
    torch.set_num_threads(threads)
    written = {
        "model": str(options.model),
        "dtype": options.dtype,
        "weight_format": options.weight_format,
        "block_tokens": options.block_tokens,
    }
    return lead(size, [json.dumps(written), str(blocks), str(threads)])


def activation_dtype(name: str) -> torch.dtype:
    """Return the data type that a name stands for; ``auto`` is bfloat16 where the processor multiplies it by itself."""
    if name == "auto":
        return torch.bfloat16 if has_fast_bfloat16() else torch.float32
    if name not in DTYPES:
        raise ValueError(f"dtype {name} is none of auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def _blocks(options: EngineOptions, config: ModelConfig) -> int:
    """Return how many blocks the budget pays for, and no more than the largest batch can use."""
    budget = options.kv_cache_memory_bytes
    if budget is None:
        weights = sum(path.stat().st_size for path in options.model.glob("*.safetensors"))
        budget = options.kv_cache_memory_ratio * max(available_bytes() - weights, 0.0)
    longest = min(options.max_model_len or config.max_positions, config.max_positions)
    usable = options.max_num_seqs * -(-longest // options.block_tokens)
    return min(affordable_blocks(config, budget, options.block_tokens, activation_dtype(options.dtype)), usable)
