"""Turn the options of ``predict`` and ``roofline`` into a replica; what is wrong ends the command with code 2."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from poolwright.cli.pool_file import refuse
from poolwright.hardware.catalogue import load_catalogue
from poolwright.hardware.hf_config import model_shape_from_config
from poolwright.hardware.model_shape import ModelShape
from poolwright.perf.engine_traits import ENGINES
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.row_engine import on_accelerator

OPTIONS: Final = {
    "tensor_parallel": "--tp",
    "pipeline_parallel": "--pp",
    "expert_parallel": "--ep",
    "weight_format": "--weights",
    "kv_format": "--kv",
}
"""Option by the replica's name for it."""


def replica_of(options: Mapping[str, Any]) -> ReplicaConfig:
    """Return the replica that the options describe; absent parallelism is 1, an absent engine vLLM."""
    try:
        accelerator = load_catalogue().accelerator(options["accelerator"])
    except ValueError as error:
        refuse(f"--accelerator: {error}")
    model = _model(options["model"])
    try:
        return ReplicaConfig(
            accelerator=accelerator,
            model=model,
            weight_format=options["weights"] or model.native_format,
            kv_format=options["kv"],
            tensor_parallel=options["tp"],
            pipeline_parallel=options.get("pp", 1),
            expert_parallel=options.get("ep", 1),
            engine=on_accelerator(ENGINES[options.get("engine", "vllm")], accelerator),
        )
    except ValueError as error:
        refuse(_as_option(str(error)))


def _model(name: str) -> ModelShape:
    """Return the model of a name in the catalogue or of a config.json."""
    path = Path(name)
    try:
        if path.suffix == ".json" or path.is_file():
            return model_shape_from_config(json.loads(path.read_text(encoding="utf-8")), path.parent.name or name, name)
        return load_catalogue().model(name)
    except OSError as error:
        refuse(f"--model {name}: {error.strerror}")
    except ValueError as error:
        refuse(f"--model: {error}")


def _as_option(message: str) -> str:
    """Return a replica's message with the option that people typed."""
    for name, option in OPTIONS.items():
        message = message.replace(name, option)
    return message if message.startswith("--") else f"--weights: {message}"
