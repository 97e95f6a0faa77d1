"""Which engine a benchmark row ran: our traits by the name and version that tables write.

The traits themselves are in ``engine_traits``.
"""

from dataclasses import replace
from typing import Final

from poolwright.hardware.accelerator import Accelerator
from poolwright.perf.engine_traits import EAGER, NEURON, SGLANG, TENSORRT_ENGINE, TENSORRT_LLM, VLLM, EngineTraits
from poolwright.perf.row_fields import Row

AMD_LATENCY_FACTOR: Final = 2.5
"""Kernel gaps of ROCm relative to CUDA graphs [1]: HIP graph replay and small kernels on MI300X take 5-8 us each in
published profiles. Erring low makes small batches on AMD look too fast."""

_NAMES: Final = (
    ("neuron", NEURON),
    ("nxd", NEURON),
    ("vllm", VLLM),
    ("sglang", SGLANG),
    ("tensorrt", TENSORRT_LLM),
    ("trt", TENSORRT_LLM),
    ("nim", TENSORRT_LLM),
    ("dynamo", TENSORRT_LLM),
)


def engine_of(row: Row, accelerator: Accelerator) -> tuple[EngineTraits, str | None]:
    """Return the engine of a row on its accelerator, and what had to be assumed (None where it is named)."""
    written = row.text("engine").casefold()
    engine = next((traits for name, traits in _NAMES if name in written), None)
    if engine is TENSORRT_LLM and _is_compiled(row):
        engine = TENSORRT_ENGINE
    assumed = None
    if engine is None:
        engine, assumed = _unnamed(row, accelerator)
    return on_accelerator(engine, accelerator), assumed


def _is_compiled(row: Row) -> bool:
    """Return whether a row ran a compiled TensorRT engine: versions 0.x, Triton's backend, NIM and MLPerf to v5.1."""
    written, version = row.text("engine").casefold(), row.text("engine_version").casefold()
    return (
        "triton" in written
        or "nim" in written
        or version.startswith("0.")
        or (version.startswith("tensorrt ") and "deepseek" not in row.text("model").casefold())
    )


def _unnamed(row: Row, accelerator: Accelerator) -> tuple[EngineTraits, str]:
    """Return what an unnamed engine most likely was: graphs came to open engines at the end of 2023."""
    if accelerator.vendor == "aws":
        return NEURON, "engine not named: Neuron assumed"
    if row.text("source_date")[:4] in ("2021", "2022", "2023"):
        return EAGER, "engine not named: one of 2023 without graphs assumed"
    return VLLM, "engine not named: vLLM assumed"


def on_accelerator(engine: EngineTraits, accelerator: Accelerator) -> EngineTraits:
    """Return an engine's traits on a vendor's runtime."""
    if accelerator.vendor == "amd":
        return replace(engine, kernel_latency_s=engine.kernel_latency_s * AMD_LATENCY_FACTOR)
    return engine
