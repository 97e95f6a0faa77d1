"""Every kernel and tile that the dispatch table can launch, as it is compiled for the report and its test."""

from typing import Any, Final

from kernelreport.machine_code import Variant
from poolwright.engine.kernels.dispatch import tile_for
from poolwright.engine.kernels.packed import SPAN, Format
from poolwright.engine.kernels.swap_ab import quantised_product

ACTIVATIONS_AND_WORDS: Final = {
    Format.W4A16: ("*bf16", "*i16"),
    Format.W8A16_INT8: ("*bf16", "*i16"),
    Format.W8A16_FP8: ("*bf16", "*i16"),
    Format.W8A8_INT8: ("*i8", "*i8"),
    Format.W8A8_FP8: ("*fp8e4nv", "*fp8e4nv"),
    Format.W4A8_INT8: ("*i8", "*i8"),
}
TOKENS: Final = (16, 32, 64, 128)
"""Tokens of the dispatch table's tiles."""
SPLITS: Final = 4
"""Any more than 1: the code is the same."""
SIZES: Final = ("tokens", "outputs", "inputs", "padded", "spans", "groups", "x_stride", "sums_stride")


def is_supported(kind: Format, capability: int) -> bool:
    """Return whether an architecture has the matrix product: float8 came with 8.9."""
    return kind is not Format.W8A8_FP8 or capability >= 89  # noqa: PLR2004 (Ada, the first with float8)


def product(
    kind: Format, tokens: int, *, has_zero: bool = False, is_half: bool = False, asm: bool = True, choices: int = 0
) -> Variant:
    """Return the product of a format for a number of tokens."""
    tile = tile_for(kind, tokens)
    inputs, words = ACTIVATIONS_AND_WORDS[kind]
    types = {
        "x_ptr": "*fp16" if is_half and kind.has_wide_inputs else inputs,
        "words_ptr": words,
        "scale_ptr": "*i32" if has_zero else "*fp32",
        "x_scale_ptr": "*fp32",
        "sums_ptr": "*i32",
        "out_ptr": "*fp16" if is_half else "*bf16",
        "partial_ptr": "*fp32",
        "counter_ptr": "*i32",
        "slot_ptr": "*i32",
        "expert_ptr": "*i32",
    } | dict.fromkeys(SIZES, "i32")
    constants: dict[str, Any] = {
        "bias_ptr": None,
        "kind": str(kind.value),
        "parts": kind.parts,
        "group_size": 0 if kind.bits == 8 else SPAN,  # noqa: PLR2004 (bits)
        "scale_type": "fp16" if has_zero else "fp32",
        "has_bias": False,
        "is_ragged": False,
        "choices": choices,
        "block_n": tile.outputs,
        "block_m": tile.tokens,
        "splits": SPLITS,
        "stages": tile.stages,
        "asm": asm,
    }
    traits = [("zeros", has_zero), ("fp16", is_half), ("no PTX", not asm), ("routed", choices > 0)]
    return Variant(
        name=" ".join([str(kind.value), str(tile.tokens), *(name for name, has in traits if has)]),
        kernel=quantised_product,
        types=types,
        constants=constants,
        unaligned=frozenset({"tokens", "spans", "groups", "sums_stride"}),
        warps=tile.warps,
        stages=tile.stages,
        weights=tile.outputs * SPAN,
    )
