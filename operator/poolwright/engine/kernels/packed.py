"""Quantised matrices in the order in which the kernels read them.

Inputs are cut into spans of 128. A span of an output row is one short run of words, and the spans of all rows lie one
after another, so the tile that a program reads is contiguous. Within a span the values are permuted: part j of word i
is input ``j * words + i``, so that one shift and one mask turn a register of words into inputs that follow one another,
and no value crosses threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import torch
from torch import Tensor

SPAN: Final = 128
"""Inputs: the common group size of 4-bit checkpoints, and 128 bytes of an 8-bit row, one cache line."""
ROW_TILE: Final = 128
"""Outputs are padded to this many, the tallest tile of the dispatch table, so that no load of weights is masked."""
MIDDLE: Final = 8
"""Zero of symmetric 4-bit values, halfway up 0 to 15."""
BIAS_8: Final = 128
"""Added to int8 where a kernel widens it to 16 bits, so that it becomes the low bits of a float's mantissa."""

SCALE_TYPES: Final = {"fp16": torch.float16, "bf16": torch.bfloat16}
"""Types of scales beside zeros; others are rounded to float16, or bfloat16 where they are too small for it."""
LOW_BITS: Final = 16
"""Bits below the scale in a word that holds both."""
ZERO_MASK: Final = 0xFF
"""Where the zero is in such a word."""


class Format(StrEnum):
    """What weights and activations are when they meet."""

    W4A16 = "w4a16"
    W8A16_INT8 = "w8a16_int8"
    W8A16_FP8 = "w8a16_fp8"
    W8A8_INT8 = "w8a8_int8"
    W8A8_FP8 = "w8a8_fp8"
    W4A8_INT8 = "w4a8_int8"

    @property
    def has_wide_inputs(self) -> bool:
        """Whether activations stay in 16 bits."""
        return self in {Format.W4A16, Format.W8A16_INT8, Format.W8A16_FP8}

    @property
    def has_float8(self) -> bool:
        """Whether weights are float8_e4m3fn."""
        return self in {Format.W8A16_FP8, Format.W8A8_FP8}

    @property
    def parts(self) -> int:
        """Values in one stored word."""
        return {Format.W4A16: 4, Format.W8A8_INT8: 1, Format.W8A8_FP8: 1}.get(self, 2)

    @property
    def bits(self) -> int:
        """Bits of one weight."""
        return 4 if self in {Format.W4A16, Format.W4A8_INT8} else 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedWeight:
    """A matrix of a linear layer; w[n, k] = (q[n, k] - zero[k // group_size, n]) * scale[k // group_size, n].

    Attributes
    ----------
    format
        What it is multiplied with, and how.
    words
        (spans, padded outputs, words of a span): int16 for 16-bit activations, otherwise int8 or float8_e4m3fn.
        Experts come first where there are several.
    scale
        (groups, padded outputs): float32, or where there are zeros int32, 16 bits of scale above those of the zero, so
        that one word of 4 bytes brings both.
    scale_type
        ``fp32`` without zeros, otherwise what the upper 16 bits are, ``fp16`` or ``bf16``.
    group_size
        Inputs that share a scale; None: all inputs of a row do.
    shape
        Outputs and inputs, without padding.
    """

    format: Format
    words: Tensor
    scale: Tensor
    scale_type: str
    group_size: int | None
    shape: tuple[int, int]

    @property
    def spans(self) -> int:
        """Spans of 128 inputs."""
        return int(self.words.shape[-3])

    @property
    def padded_outputs(self) -> int:
        """Rows in memory."""
        return int(self.words.shape[-2])

    @property
    def bytes(self) -> int:
        """Memory of words, scales and zeros, which one step reads once."""
        return int(self.words.nbytes + self.scale.nbytes)

    def to(self, device: torch.device | str) -> "PackedWeight":
        """Return the same weight on another device."""
        return replace(self, words=self.words.to(device), scale=self.scale.to(device))

    def values(self) -> Tensor:
        """Return what was packed, (outputs, inputs): int32 before the zero is subtracted, or float8_e4m3fn."""
        flat = _unpermuted(self.format, self.words)  # (spans, padded, 128)
        return flat.transpose(-3, -2).flatten(-2)[..., : self.shape[0], : self.shape[1]]

    def dequantised(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the matrix as plain numbers, (outputs, inputs), computed in float32 and rounded once."""
        outputs, inputs = self.shape
        size = inputs if self.group_size is None else self.group_size
        group_of = torch.arange(inputs, device=self.words.device) // size
        scale, zero = self.scale, MIDDLE if self.format.bits == 4 else 0
        offset: Tensor | int = zero
        if self.scale_type != "fp32":
            scale = (self.scale >> LOW_BITS).to(torch.int16).view(SCALE_TYPES[self.scale_type]).to(torch.float32)
            offset = (self.scale & ZERO_MASK).transpose(-2, -1)[..., :outputs, group_of]  # (outputs, inputs)
        scale = scale.transpose(-2, -1)[..., :outputs, group_of]  # (outputs, inputs)
        return ((self.values().to(torch.float32) - offset) * scale).to(dtype)


def pack(
    values: Tensor, scale: Tensor, zero: Tensor | None = None, *, kind: Format, group_size: int | None = None
) -> PackedWeight:
    """Return a matrix in the order of the kernels.

    Parameters
    ----------
    values
        (outputs, inputs): 0 to 15 of any integer type, int8, or float8_e4m3fn, as ``kind`` says.
    scale
        (outputs, groups) of any float type.
    zero
        (outputs, groups), whole numbers from 0 to 16, only for 4 bits; None: 8 for 4 bits, otherwise 0.
    kind
        The format.
    group_size
        Inputs of a group; None: one group.

    Raises
    ------
    ValueError
        A group size that the kernels cannot read, zeros that are no whole numbers, or shapes that do not agree.
    """
    outputs, inputs = values.shape
    groups = 1 if group_size is None else -(-inputs // group_size)
    if tuple(scale.shape) != (outputs, groups):
        raise ValueError(f"scales of shape {tuple(scale.shape)} for {outputs} outputs in {groups} groups")
    if group_size is not None and not has_kernel(kind, group_size):
        raise ValueError(f"{kind} has no kernel for groups of {group_size} inputs")
    padded = _rounded_up(outputs, ROW_TILE)
    wide = torch.nn.functional.pad(
        values.view(torch.int8) if kind.has_float8 else values.to(torch.int32),
        (0, _rounded_up(inputs, SPAN) - inputs, 0, padded - outputs),
    )  # (padded outputs, padded inputs)
    spans = wide.view(padded, -1, SPAN).transpose(0, 1)  # (spans, padded outputs, 128)
    words_of_scale, scale_type = _packed_scale(kind, scale, zero, padded)
    return PackedWeight(
        format=kind,
        words=_permuted(kind, spans).contiguous(),
        scale=words_of_scale,
        scale_type=scale_type,
        group_size=group_size,
        shape=(outputs, inputs),
    )


def stacked_experts(experts: Sequence[PackedWeight]) -> PackedWeight:
    """Return matrices of one shape and format as one weight, experts first.

    Raises
    ------
    ValueError
        Some experts have zeros, or scales of another type, and others have not.
    """
    first = experts[0]
    if len({(expert.format, expert.scale_type, expert.group_size, expert.shape) for expert in experts}) > 1:
        raise ValueError("experts of one layer have the same format, shape, groups, and type of scales")
    words = torch.stack([expert.words for expert in experts])  # (experts, spans, padded, words)
    return replace(first, words=words, scale=torch.stack([expert.scale for expert in experts]))


def has_kernel(kind: Format, group_size: int) -> bool:
    """Return whether a group of inputs is whole spans, or whole parts of one."""
    part = SPAN // kind.parts
    return group_size % SPAN == 0 or (group_size < SPAN and SPAN % group_size == 0 and group_size % part == 0)


def _permuted(kind: Format, spans: Tensor) -> Tensor:
    """Return words, (spans, rows, words), from values, (spans, rows, 128)."""
    if kind.parts == 1:
        narrow = spans.to(torch.int8)
        return narrow.view(torch.float8_e4m3fn) if kind.has_float8 else narrow
    parts = spans.to(torch.int32).unflatten(-1, (kind.parts, -1))  # (spans, rows, parts, words)
    width = 4 if kind.bits == 4 else 8
    if kind is Format.W4A8_INT8:
        parts = parts ^ MIDDLE  # the nibble of q - 8 in two's complement
    if kind is Format.W8A16_INT8:
        parts = parts + BIAS_8
    parts = parts & ((1 << width) - 1)
    shifts = torch.arange(kind.parts, device=spans.device, dtype=torch.int32)[:, None] * width
    joined = (parts << shifts).sum(dim=-2)
    return joined.to(torch.int16 if kind.has_wide_inputs else torch.int8)


def _unpermuted(kind: Format, words: Tensor) -> Tensor:
    """Return values, (spans, rows, 128), from words: the inverse of ``_permuted``."""
    if kind.parts == 1:
        return words
    width = 4 if kind.bits == 4 else 8
    shifts = torch.arange(kind.parts, device=words.device, dtype=torch.int32)[:, None] * width
    parts = (words.to(torch.int32)[..., None, :] >> shifts) & ((1 << width) - 1)  # (spans, rows, parts, words)
    flat = parts.flatten(-2)
    match kind:
        case Format.W4A8_INT8:
            return flat ^ MIDDLE
        case Format.W8A16_INT8:
            return flat - BIAS_8
        case Format.W8A16_FP8:
            return flat.to(torch.uint8).view(torch.float8_e4m3fn)
    return flat


def _packed_scale(kind: Format, scale: Tensor, zero: Tensor | None, padded: int) -> tuple[Tensor, str]:
    """Return scales, with zeros if there are any, as the kernels read them, and their type."""
    wide = scale.to(torch.float32)
    if zero is None or (kind.bits == 4 and bool((zero == MIDDLE).all())):
        return _padded_columns(wide, padded), "fp32"
    if kind.bits != 4:
        raise ValueError(f"{kind} has no kernel for zeros")
    whole = zero.to(torch.float32).round().clamp(0, 2 * MIDDLE)
    if not torch.equal(whole, zero.to(torch.float32)):
        raise ValueError("zeros are whole numbers from 0 to 16")
    name = next(
        (name for name, dtype in SCALE_TYPES.items() if torch.equal(wide.to(dtype).to(torch.float32), wide)), ""
    )
    name = name or ("fp16" if bool((wide.abs() >= torch.finfo(torch.float16).tiny).all()) else "bf16")
    upper = wide.to(SCALE_TYPES[name]).view(torch.int16).to(torch.int32) << LOW_BITS
    return _padded_columns(upper | whole.to(torch.int32), padded), name


def _padded_columns(rows: Tensor, padded: int) -> Tensor:
    """Return (groups, padded outputs) from (outputs, groups); padding is 0."""
    return torch.nn.functional.pad(rows.t(), (0, padded - rows.shape[0])).contiguous()


def _rounded_up(count: int, step: int) -> int:
    return -(-count // step) * step
