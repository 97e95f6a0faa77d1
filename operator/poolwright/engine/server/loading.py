"""From settings to a running engine with its text: everything that takes long at start."""

from pathlib import Path
from typing import Any

from poolwright.engine.generation import OnStep
from poolwright.engine.server.chat import open_chat_template
from poolwright.engine.server.model_directory import model_directory
from poolwright.engine.server.service import SAMPLING_DEFAULTS, Served
from poolwright.engine.server.settings import Settings
from poolwright.engine.server.text import open_codec, read_json


def load(settings: Settings, on_step: OnStep) -> Served:
    """Return a model that is ready, its engine started.

    Raises
    ------
    ValueError
        It cannot be served so; the message names the file, or the flag and what would be right.
    """
    directory = model_directory(settings.model, settings.revision)
    codec, template = open_codec(directory), open_chat_template(directory)
    # The engine's own files import torch, which takes seconds: after everything that can be wrong without it.
    from poolwright.engine.build import EngineOptions, open_engine  # noqa: PLC0415

    options = EngineOptions(
        model=directory,
        dtype=settings.activation_dtype,
        block_tokens=settings.block_size,
        kv_cache_memory_bytes=settings.kv_cache_memory_bytes,
        max_model_len=settings.max_model_len,
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        max_queued_requests=settings.max_queued_requests,
        seed=settings.seed,
    )
    engine = open_engine(options, on_step)
    engine.start()
    return Served(engine=engine, codec=codec, template=template, defaults=sampling_defaults(directory))


def sampling_defaults(directory: Path) -> dict[str, Any]:
    """Return the sampling parameters that a checkpoint's makers recommend, as far as they are numbers."""
    recommended = read_json(directory / "generation_config.json")
    return {name: recommended[name] for name in SAMPLING_DEFAULTS if isinstance(recommended.get(name), int | float)}
