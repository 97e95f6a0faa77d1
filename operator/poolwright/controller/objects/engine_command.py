"""Command lines of the three engines: model, parallelism, number formats and the plan's batch limits as arguments.

Each builder speaks one engine's dialect; all say the same: weights from safetensors only, no remote code, the pinned
revision, one port. Flags were read from vLLM 0.29 ``vllm serve`` and SGLang 0.5 ``server_args``.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from poolwright.controller.objects.workload import ManifestError, Workload
from poolwright.planner.outcome import VariantPlan
from poolwright.planner.policy import EngineKind

PORT: Final = 8000
"""Port of the engine's API, ``/health`` and ``/metrics``."""

DRAIN_S: Final = 120
"""Time that an engine may take to finish what it runs after it was told to stop [s]: a 2,000-token answer at 50 ms a
token takes 100 s. Longer delays node drains, shorter cuts answers off."""

VLLM_DRAIN_SINCE: Final = (0, 18)
"""First vLLM with ``--shutdown-timeout`` (its default aborts what runs)."""

VLLM_ADMISSION_SINCE: Final = (0, 29)
"""First vLLM with ``--max-num-queued-reqs`` (vllm-project/vllm#49445): running and waiting together, 503 above."""

NATIVE_KV_FORMATS: Final = ("bf16", "fp16")
"""KV formats that engines use unasked."""

Command = tuple[list[str], list[str]]
"""Entrypoint and arguments."""


def command_of(workload: Workload, plan: VariantPlan) -> Command:
    """Return entrypoint and arguments of a replica.

    Raises
    ------
    ManifestError
        The engine cannot run the variant's number formats or parallelism; the message names both.
    """
    entrypoint, arguments = _BUILDERS[workload.engine](workload, plan)
    return entrypoint, [*arguments, *workload.arguments]


def _poolwright(workload: Workload, plan: VariantPlan) -> Command:
    variant = plan.variant
    if variant.pipeline_parallel > 1:
        raise ManifestError(
            f"{variant.key} has {variant.pipeline_parallel} pipeline stages, the Poolwright engine runs in one; "
            "use VLLM or SGLang"
        )
    arguments = {
        "--model": workload.model_argument,
        "--served-model-name": workload.model,
        "--revision": workload.revision,
        "--port": PORT,
        "--weight-format": variant.weight_format,
        "--kv-format": variant.kv_format,
        "--tensor-parallel-size": variant.tensor_parallel,
        "--max-num-seqs": plan.max_num_seqs,
        "--max-num-batched-tokens": plan.max_num_batched_tokens,
        "--max-queued-requests": plan.max_queued_requests,
        "--drain-seconds": DRAIN_S,
    }
    return ["poolwright-engine"], _flags(arguments)


def _vllm(workload: Workload, plan: VariantPlan) -> Command:
    variant, version = plan.variant, image_version(workload.image)
    arguments = {
        "--served-model-name": workload.model,
        "--revision": workload.revision,
        "--host": "0.0.0.0",  # noqa: S104 - the pod's own address; who may reach it is the NetworkPolicy's matter
        "--port": PORT,
        "--load-format": "safetensors",
        "--quantization": _quantisation(workload, plan),
        "--kv-cache-dtype": _kv_dtype(workload, plan, "fp8"),
        "--tensor-parallel-size": variant.tensor_parallel,
        "--pipeline-parallel-size": variant.pipeline_parallel,
        "--max-num-seqs": plan.max_num_seqs,
        "--max-num-batched-tokens": plan.max_num_batched_tokens,
    }
    # An unknown flag keeps an engine from starting, so newer ones are given to releases that are known to have them.
    if version >= VLLM_DRAIN_SINCE:
        arguments["--shutdown-timeout"] = DRAIN_S
    if version >= VLLM_ADMISSION_SINCE and plan.max_queued_requests > 0:
        arguments["--max-num-queued-reqs"] = plan.max_num_seqs + plan.max_queued_requests
    return ["vllm", "serve"], [workload.model_argument, *_flags(arguments)]


def _sglang(workload: Workload, plan: VariantPlan) -> Command:
    variant = plan.variant
    arguments = {
        "--model-path": workload.model_argument,
        "--served-model-name": workload.model,
        "--revision": workload.revision,
        "--host": "0.0.0.0",  # noqa: S104 - as above
        "--port": PORT,
        "--load-format": "safetensors",
        "--quantization": _quantisation(workload, plan),
        "--kv-cache-dtype": _kv_dtype(workload, plan, "fp8_e4m3"),
        "--tp": variant.tensor_parallel,
        "--pp-size": variant.pipeline_parallel,
        "--max-running-requests": plan.max_num_seqs,
        "--chunked-prefill-size": plan.max_num_batched_tokens,
    }
    if plan.max_queued_requests > 0:
        arguments["--max-queued-requests"] = plan.max_queued_requests
    return ["python3", "-m", "sglang.launch_server"], [*_flags(arguments), "--enable-metrics"]


_BUILDERS: Final[Mapping[EngineKind, Callable[[Workload, VariantPlan], Command]]] = MappingProxyType(
    {EngineKind.POOLWRIGHT: _poolwright, EngineKind.VLLM: _vllm, EngineKind.SGLANG: _sglang}
)


def _flags(arguments: Mapping[str, object]) -> list[str]:
    """Return ``--flag=value`` for everything that has a value: one word each, so that no value reads as a flag."""
    return [f"{flag}={value}" for flag, value in arguments.items() if value not in ("", None)]


def _quantisation(workload: Workload, plan: VariantPlan) -> str:
    """Return how weights are made from the checkpoint, empty where it has them so already."""
    wanted = plan.variant.weight_format
    if wanted == workload.native_format or {wanted, workload.native_format} <= set(NATIVE_KV_FORMATS):
        return ""
    if wanted == "fp8" and workload.native_format in NATIVE_KV_FORMATS:
        return "fp8"
    raise ManifestError(
        f"spec.engine.weightFormats: {workload.engine} cannot make {wanted} weights from the {workload.native_format} "
        f"checkpoint {workload.model}; name a checkpoint that is published in {wanted}, or use the Poolwright engine"
    )


def _kv_dtype(workload: Workload, plan: VariantPlan, fp8: str) -> str:
    wanted = plan.variant.kv_format
    if wanted in NATIVE_KV_FORMATS:
        return "auto"
    if wanted == "fp8":
        return fp8
    raise ManifestError(f"spec.engine.kvFormats: {workload.engine} keeps its KV cache in bf16 or fp8, not in {wanted}")


def image_version(image: str) -> tuple[int, ...]:
    """Return the version that an image's tag states, empty for none.

    >>> image_version("vllm/vllm-openai:v0.29.0")
    (0, 29, 0)
    >>> image_version("registry.example:5000/vllm@sha256:00ff")
    ()
    """
    found = re.fullmatch(r"v?(\d+(?:\.\d+)+).*", image.partition("@")[0].rpartition("/")[2].partition(":")[2])
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()
