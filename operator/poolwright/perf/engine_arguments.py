"""Reads an engine's command line into what the model needs: traits, cache format, memory share, parallelism.

Flags move latency by factors that no physics replaces, so they are read from the pod's arguments (and, for published
benchmarks, from their launch scripts). Unknown flags are ignored: they are the engine's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from poolwright.perf.engine_traits import ENGINES, EngineTraits

RECEIVE_WAIT_RATIO: Final = 0.5
"""Steps that a request waits on average per step of a receive interval [ratio]: it arrives anywhere in it."""

BATCH_WAIT_RATIO: Final = 0.9
"""Steps that a request waits per iteration of a batch-wait limit [ratio]: most waits run to the limit unless many
prompts come together. Erring high makes TTFT look long at high concurrency."""

_ALIASES: Final = {
    "max_num_batched_tokens": "token_budget",
    "chunked_prefill_size": "token_budget",
    "max_num_tokens": "token_budget",
    "max_num_seqs": "max_sequences",
    "max_running_requests": "max_sequences",
    "max_batch_size": "max_sequences",
    "gpu_memory_utilization": "memory_ratio",
    "mem_fraction_static": "memory_ratio",
    "free_gpu_memory_fraction": "free_memory_ratio",
    "kv_cache_dtype": "kv_format",
    "tensor_parallel_size": "tensor_parallel",
    "tp_size": "tensor_parallel",
    "tp": "tensor_parallel",
    "pipeline_parallel_size": "pipeline_parallel",
    "pp_size": "pipeline_parallel",
    "ep_size": "expert_parallel",
    "expert_parallel_size": "expert_parallel",
}
"""Our name by the engines' flags, dashes as underscores."""

_EIGHT_BIT: Final = ("fp8", "fp8_e4m3", "fp8_e5m2", "int8")


class EngineArgumentError(ValueError):
    """An argument that cannot be read; the message names the flag and its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineArguments:
    """What a command line says; None where it says nothing."""

    traits: EngineTraits
    kv_format: str | None = None
    memory_utilisation_ratio: float | None = None
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    expert_parallel: int | None = None
    has_data_parallel_attention: bool = False
    has_prefix_cache: bool = True


def read_arguments(engine: str, arguments: Sequence[str], traits: EngineTraits | None = None) -> EngineArguments:
    """Return what the arguments of an engine say.

    Parameters
    ----------
    engine
        Name in ``engine_traits.ENGINES``.
    arguments
        As in a container's ``args``: ``--flag value``, ``--flag=value`` or ``--switch``.
    traits
        What holds without arguments; the engine's own where None.

    Raises
    ------
    EngineArgumentError
        The engine is not known, or a number is not one.

    >>> read_arguments("vllm", ["--max-num-batched-tokens", "2048"]).traits.token_budget
    2048
    """
    if traits is None and engine not in ENGINES:
        raise EngineArgumentError(f"engine {engine!r} is not known; one of {', '.join(ENGINES)} is needed")
    flags = _flags(arguments)
    start = ENGINES[engine] if traits is None else traits
    kv_written = flags.get("kv_format", "auto")
    return EngineArguments(
        traits=_traits(start, flags),
        kv_format=None if kv_written == "auto" else ("fp8" if kv_written in _EIGHT_BIT else "bf16"),
        memory_utilisation_ratio=_number(flags, "memory_ratio"),
        tensor_parallel=_whole(flags, "tensor_parallel"),
        pipeline_parallel=_whole(flags, "pipeline_parallel"),
        expert_parallel=_whole(flags, "expert_parallel"),
        has_data_parallel_attention=_is_set(flags, "enable_dp_attention") or _is_set(flags, "enable_attention_dp"),
        has_prefix_cache=not (_is_set(flags, "no_enable_prefix_caching") or _is_set(flags, "disable_radix_cache")),
    )


def _flags(arguments: Sequence[str]) -> dict[str, str]:
    """Return values by our names; a switch has the value ``true``."""
    flags: dict[str, str] = {}
    name = ""
    for argument in arguments:
        if argument.startswith("-"):
            written, _, value = argument.lstrip("-").partition("=")
            name = written.replace("-", "_")
            name = _ALIASES.get(name, name)
            flags[name] = value or "true"
        elif name:
            flags[name] = argument
    return flags


def _traits(traits: EngineTraits, flags: dict[str, str]) -> EngineTraits:
    """Return traits with what the flags change."""
    changed = traits
    budget = _whole(flags, "token_budget")
    if budget is not None and budget > 0:
        changed = replace(changed, token_budget=budget)
    sequences = _whole(flags, "max_sequences")
    if sequences is not None:
        changed = replace(changed, max_sequences=sequences)
    if _is_set(flags, "enforce_eager") or _is_set(flags, "disable_cuda_graph"):
        changed = replace(changed, is_graph_captured=False, graph_kernel_ratio=1.0)
    if _is_set(flags, "enable_mixed_chunk"):
        changed = replace(changed, is_prefill_first=False)
    balance = _number(flags, "timeout_iters")
    if balance is not None:
        changed = replace(changed, balance_steps=balance)
    return replace(changed, admission_steps=changed.admission_steps + _admission_steps(flags))


def _admission_steps(flags: dict[str, str]) -> float:
    """Return steps that a prompt lets pass on average because of intervals and batching waits."""
    receive = _number(flags, "scheduler_recv_interval") or 1.0
    continuous = _number(flags, "num_continuous_decode_steps") or 1.0
    batch_wait = _number(flags, "batch_wait_timeout_iters") or 0.0
    return RECEIVE_WAIT_RATIO * (max(receive, continuous) - 1.0) + BATCH_WAIT_RATIO * batch_wait


def _is_set(flags: dict[str, str], name: str) -> bool:
    return flags.get(name, "false").casefold() in ("true", "1")


def _number(flags: dict[str, str], name: str) -> float | None:
    """Return a flag's number, None where it is absent."""
    if name not in flags:
        return None
    try:
        return float(flags[name])
    except ValueError:
        raise EngineArgumentError(f"--{name.replace('_', '-')} is {flags[name]!r}, which is not a number") from None


def _whole(flags: dict[str, str], name: str) -> int | None:
    value = _number(flags, name)
    return None if value is None else round(value)
