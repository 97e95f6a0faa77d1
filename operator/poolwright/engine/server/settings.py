"""Flags of ``poolwright-engine``: typed, bounded, and refused at start when senseless.

The fields below are the only list of flags: ``--max-num-seqs`` is ``max_num_seqs``. Names are vLLM's where vLLM has the
same thing, so that pods and people can change engines.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from poolwright.engine.server.number_formats import AUTO, dtype_of, kv_format_of

PROGRAM: Final = "poolwright-engine"
PORTS: Final = 65_535
DEFAULT_REQUEST_BYTES: Final = 16 * 1024 * 1024
"""[bytes] Largest body taken: a context of a million tokens of five characters three times over."""
DEFAULT_TIMEOUT_S: Final = 600.0
"""[s] Longest answer: the official client gives up after the same time."""
DEFAULT_DRAIN_S: Final = 120.0
"""[s] A 2,000-token answer at 50 ms a token takes 100 s."""

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=PORTS)]


class Settings(BaseModel):
    """What the engine runs with."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: Annotated[str, Field(min_length=1)] = Field(
        description="directory of a Hugging Face checkpoint, or its name on the hub"
    )
    served_model_name: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="names that requests may use; the first is told; default: --model"
    )
    revision: str | None = Field(default=None, description="revision of a checkpoint that is named, not a directory")
    host: str = Field(default="0.0.0.0", description="address of the API")  # noqa: S104 - a pod's own; who may reach it is the NetworkPolicy's matter
    port: Port = Field(default=8000, description="port of the API; 0: any free one")
    weight_format: str = Field(default=AUTO, description="auto, or one of the planner's formats: bf16, w4a16, fp8 ...")
    kv_format: str = Field(default=AUTO, description="auto, fp32, fp16, bf16, fp8 or int8")
    dtype: str = Field(default=AUTO, description="vLLM's word for plain weights and activations: bfloat16, half ...")
    quantization: str | None = Field(default=None, description="vLLM's word for how the checkpoint is quantised")
    kv_cache_dtype: str = Field(default=AUTO, description="vLLM's word for --kv-format")
    max_model_len: Count | None = Field(default=None, description="most tokens of prompt and answer; default: model's")
    max_num_seqs: Count = Field(default=64, description="most requests in one step; settable live")
    max_num_batched_tokens: Count = Field(default=2048, description="most tokens in one step; settable live")
    max_queued_requests: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="most requests that wait; more are answered 503; default: any number; settable live"
    )
    gpu_memory_utilization: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=0.9, description="share of a GPU's memory that may be used"
    )
    kv_cache_memory_bytes: Count | None = Field(default=None, description="memory of the KV cache; default: what fits")
    block_size: Count = Field(default=16, description="tokens of one KV block")
    tensor_parallel_size: Count = Field(default=1, description="devices that share each layer")
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="of draws of requests that bring no seed")
    drain_seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = Field(
        default=DEFAULT_DRAIN_S, description="time to finish what runs after SIGTERM"
    )
    request_timeout_seconds: Seconds = Field(default=DEFAULT_TIMEOUT_S, description="longest time for one answer")
    max_request_bytes: Count = Field(default=DEFAULT_REQUEST_BYTES, description="largest request body")
    admin_host: str = Field(default="127.0.0.1", description="address of the admin routes")
    admin_port: Port | None = Field(default=None, description="port of the admin routes; default: there are none")
    admin_token_file: Path | None = Field(default=None, description="file with the admin routes' bearer token")
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )

    @model_validator(mode="after")
    def _agrees(self) -> "Settings":
        dtype_of(self.weight_format, self.dtype, self.quantization)
        kv_format_of(self.kv_format, self.kv_cache_dtype)
        if (self.admin_port is None) != (self.admin_token_file is None):
            raise ValueError("--admin-port and --admin-token-file: give both, or neither for no admin routes")
        if self.admin_port is not None and self.admin_port == self.port != 0:
            raise ValueError(f"--admin-port={self.admin_port}: must differ from --port")
        if self.max_model_len is not None and self.max_num_batched_tokens < self.block_size:
            raise ValueError(f"--max-num-batched-tokens={self.max_num_batched_tokens}: must hold a --block-size")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names that requests may use."""
        return self.served_model_name or (self.model,)

    @property
    def activation_dtype(self) -> str:
        """``auto``, ``float32``, ``bfloat16`` or ``float16``."""
        return dtype_of(self.weight_format, self.dtype, self.quantization)

    @property
    def cache_format(self) -> str:
        """Format of the KV cache; ``auto`` is that of activations."""
        return kv_format_of(self.kv_format, self.kv_cache_dtype)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return the command line: one flag for each field of ``Settings``."""
    made = _Parser(
        prog=PROGRAM, description="Serves a Hugging Face checkpoint over the OpenAI API.", allow_abbrev=False
    )
    for name, info in Settings.model_fields.items():
        made.add_argument(
            _flag(name),
            dest=name,
            default=argparse.SUPPRESS,
            required=info.is_required(),
            help=_help(info),
            metavar="VALUE",
            **({"nargs": "+"} if name == "served_model_name" else {}),
        )
    return made


def settings_of(arguments: Sequence[str]) -> Settings:
    """Return settings from a command line; ends the process with status 2 and a sentence when they make no sense."""
    command_line = parser()
    given = vars(command_line.parse_args(arguments))
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        command_line.error("; ".join(_complaint(each) for each in error.errors()))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _help(info: FieldInfo) -> str:
    shown = info.default if not info.is_required() and info.default not in (None, ()) else None
    text = info.description or ""
    return (text if shown is None else f"{text} (default: {shown})").replace("%", "%%").strip()


def _complaint(error: Any) -> str:
    """Return flag, value, and what would be right."""
    message = error["msg"].removeprefix("Value error, ")
    return f"{_flag(error['loc'][0])}={error['input']}: {message}" if error["loc"] else message
