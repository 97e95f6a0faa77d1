"""Row-wise kernels as they are compiled for the report and its test."""

from kernelreport.machine_code import Variant
from poolwright.engine.kernels.fused import rms_norm, rotate_and_cache, silu_mul
from poolwright.engine.kernels.quantise import BLOCK, quantise_rows
from poolwright.engine.kernels.sampling import BLOCK as LOGITS
from poolwright.engine.kernels.sampling import largest_of_block


def norm() -> Variant:
    """Return the norm of rows of 4096 with a residual."""
    pointers = ("x_ptr", "residual_ptr", "weight_ptr", "out_ptr")
    return Variant(
        name="rms norm and residual",
        kernel=rms_norm,
        types=dict.fromkeys(pointers, "*bf16") | {"width": "i32", "x_stride": "i32", "epsilon": "fp32"},
        constants={"has_residual": True, "block": 4096},
        warps=8,
    )


def gate() -> Variant:
    """Return silu(gate) * up."""
    return Variant(
        name="silu and product",
        kernel=silu_mul,
        types={"gate_up_ptr": "*bf16", "out_ptr": "*bf16", "width": "i32"},
        constants={"block": 1024},
    )


def rotation(kind: str) -> Variant:
    """Return the rotation with the write to a cache of a kind: wide, int8 or float8."""
    cached = {"wide": "*bf16", "int8": "*i8", "float8": "*fp8e4nv"}[kind]
    pointers = {
        "qkv_ptr": "*bf16",
        "query_ptr": "*bf16",
        "key_cache_ptr": cached,
        "value_cache_ptr": cached,
        "key_scale_ptr": "*fp32",
        "value_scale_ptr": "*fp32",
        "cosine_ptr": "*fp32",
        "sine_ptr": "*fp32",
        "position_ptr": "*i32",
        "slot_ptr": "*i32",
        "query_norm_ptr": "*bf16",
        "key_norm_ptr": "*bf16",
    }
    return Variant(
        name=f"norm, rotation, write {kind}",
        kernel=rotate_and_cache,
        types=pointers | {"qkv_stride": "i32", "epsilon": "fp32"},
        constants={"has_norm": True, "heads": 32, "kv_heads": 8, "head_dim": 128, "half": 64, "kind": kind},
        warps=1,
    )


def quantisation(*, is_float8: bool) -> Variant:
    """Return the quantisation of activations."""
    pointers = {"x_ptr": "*bf16", "scale_ptr": "*fp32", "sums_ptr": "*i32"}
    return Variant(
        name=f"quantise to {'float8' if is_float8 else 'int8 with sums'}",
        kernel=quantise_rows,
        types=pointers
        | {"out_ptr": "*fp8e4nv" if is_float8 else "*i8"}
        | dict.fromkeys(("inputs", "x_stride", "groups"), "i32"),
        constants={"is_float8": is_float8, "sum_size": 0 if is_float8 else 128, "block": BLOCK},
        unaligned=frozenset({"groups"}),
    )


def draw() -> Variant:
    """Return the drawing of a token from a block of logits."""
    pointers = {
        "logits_ptr": "*bf16",
        "temperature_ptr": "*fp32",
        "seed_ptr": "*i64",
        "step_ptr": "*i32",
        "value_ptr": "*fp32",
        "index_ptr": "*i32",
    }
    return Variant(
        name="draw",
        kernel=largest_of_block,
        types=pointers | dict.fromkeys(("vocabulary", "stride", "blocks"), "i32"),
        constants={"block": LOGITS},
        unaligned=frozenset({"blocks"}),
    )
