"""From settings to a running engine with its text: everything that takes long at start."""

from pathlib import Path
from typing import Any

from poolwright.engine.generation import OnStep
from poolwright.engine.server.chat import open_chat_template
from poolwright.engine.server.model_directory import model_directory
from poolwright.engine.server.number_formats import AUTO, PLAIN_FORMATS
from poolwright.engine.server.service import SAMPLING_DEFAULTS, Served
from poolwright.engine.server.settings import Settings
from poolwright.engine.server.stored_weights import made_on_load
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
    # Everything that can be wrong without torch comes before it, which takes seconds to import.
    weights = made_on_load(settings, read_json(directory / "config.json"))
    dtype = computed_dtype(settings)
    from poolwright.engine.build import EngineOptions, open_engine  # noqa: PLC0415
    from poolwright.engine.formats.on_load import WeightFormat  # noqa: PLC0415

    options = EngineOptions(
        model=directory,
        dtype=dtype,
        weight_format=None if weights is None else WeightFormat(weights),
        block_tokens=settings.block_size,
        kv_cache_memory_bytes=settings.kv_cache_memory_bytes,
        max_model_len=settings.max_model_len,
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        max_queued_requests=settings.max_queued_requests,
        tensor_parallel_size=settings.tensor_parallel_size,
        seed=settings.seed,
    )
    engine = open_engine(options, on_step)
    engine.start()
    return Served(engine=engine, codec=codec, template=template, defaults=sampling_defaults(directory))


def computed_dtype(settings: Settings) -> str:
    """Return the data type of activations, which is also that of the KV cache.

    Raises
    ------
    ValueError
        The flags ask for what this engine has not.
    """
    dtype, cache = settings.activation_dtype, settings.cache_format
    if cache == AUTO:
        return dtype
    if cache not in PLAIN_FORMATS or dtype not in (AUTO, PLAIN_FORMATS[cache]):
        raise ValueError(
            f"the KV cache cannot be {cache} where activations are {dtype}: it is kept in their data type; "
            f"leave --kv-format and --kv-cache-dtype out, or set --dtype={PLAIN_FORMATS.get(cache, 'bfloat16')}"
        )
    return PLAIN_FORMATS[cache]


def sampling_defaults(directory: Path) -> dict[str, Any]:
    """Return the sampling parameters that a checkpoint's makers recommend, as far as they are numbers."""
    recommended = read_json(directory / "generation_config.json")
    return {name: recommended[name] for name in SAMPLING_DEFAULTS if isinstance(recommended.get(name), int | float)}
