"""Attention as it is compiled for the report and its test: every shape of program, cached values of 8 and 16 bits."""

from typing import Any, Final

from kernelreport.machine_code import Variant
from poolwright.engine.kernels.attention import shape_for
from poolwright.engine.kernels.paged import joined_ranges, paged_attention

HEAD_DIM: Final = 128
"""Width of a head of the Llama and Qwen families."""
CACHES: Final = {"bf16": ("*bf16", 2), "int8": ("*i16", 1), "fp8": ("*i16", 1)}
"""Type of a cached word and bytes of a value."""


def attention(cache: str, rows: int, *, group: int = 4) -> Variant:
    """Return attention over a cache for so many rows of a sequence and KV head."""
    pointer, size = CACHES[cache]
    shape = shape_for(rows, size)
    is_split = rows <= 64  # noqa: PLR2004 (decoding)
    types = {
        "query_ptr": "*bf16",
        "key_ptr": pointer,
        "value_ptr": pointer,
        "key_scale_ptr": "*fp32",
        "value_scale_ptr": "*fp32",
        "out_ptr": "*fp32" if is_split else "*bf16",
        "log_ptr": "*fp32",
        "table_ptr": "*i32",
        "start_ptr": "*i32",
        "context_ptr": "*i32",
        "logit_scale": "fp32",
    } | dict.fromkeys(("query_stride", "table_stride", "split_tokens", "window"), "i32")
    constants: dict[str, Any] = {
        "group": group,
        "kv_heads": 8,
        "head_dim": HEAD_DIM,
        "block_d": HEAD_DIM,
        "block_tokens": 16,
        "block_rows": shape.rows,
        "block_kv": shape.kv,
        "tiles": 1,
        "bits": 8 * size,
        "is_float8": cache == "fp8",
        "asm": True,
        "is_split": is_split,
        "stages": shape.stages,
    }
    return Variant(
        name=f"attention {cache} {shape.rows} rows",
        kernel=paged_attention,
        types=types,
        constants=constants,
        unaligned=frozenset({"table_stride", "window"}),
        warps=shape.warps,
        stages=shape.stages,
        weights=2 * shape.kv * HEAD_DIM,
    )


def joining() -> Variant:
    """Return what joins the ranges of a context."""
    return Variant(
        name="joined ranges",
        kernel=joined_ranges,
        types={"part_ptr": "*fp32", "log_ptr": "*fp32", "out_ptr": "*bf16", "splits": "i32"},
        constants={"head_dim": HEAD_DIM, "block_d": HEAD_DIM},
        unaligned=frozenset({"splits"}),
    )
