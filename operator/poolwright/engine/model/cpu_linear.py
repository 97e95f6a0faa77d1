"""Matrix products on a CPU, in the forms that its libraries multiply fastest.

Measured on two cores with AVX-512 VNNI and BF16 but without AMX, 9728 x 896, one thread, ms at 1 / 8 / 64 tokens:
plain float32 2.2 / 8.5 / 21, packed 1.0 / 1.5 / 8.1; packed bfloat16 0.55 / 0.83 / 2.9; int8 with tokens rounded to 8
bits 0.35 / 0.50 / 1.8; int4 0.27 / 0.93 / 11. So packed always, and int4 for few tokens only.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from poolwright.engine.formats.on_load import WeightFormat, quantised
from poolwright.engine.formats.quantised import QuantisedWeight

INT4_MOST_TOKENS: Final = 4
"""Up to so many tokens 4-bit weights are read as they are; more are faster with 8-bit ones (see above)."""
INT4_GROUP_SIZES: Final = (32, 64, 128, 256)
INT4_OUTPUT_MULTIPLE: Final = 16
INT4_MIDDLE: Final = 8
"""The kernel's zero: w = (value - 8) * scale + shift."""
_HIGHEST_INT8: Final = 127
_UINT8_ZERO: Final = 128
"""What stands for 0 in activations: unsigned times signed is what VNNI multiplies; signed would run a hundred times
slower without AMX."""
_SMALLEST: Final = 1e-12
_TRANSPARENT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLinear:
    """Plain weights in the order in which oneDNN reads them."""

    weight: Tensor
    bias: Tensor | None
    bytes: int

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (tokens, outputs) for (tokens, inputs)."""
        return torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")  # noqa: SLF001


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Linear:
    """8-bit weights with a scale for each output; each token is rounded to 8 bits with a scale of its own.

    Integers are multiplied exactly, so a token's result does not depend on what it is computed with.
    """

    weight: Tensor
    scale: Tensor
    zero: Tensor
    bias: Tensor | None
    bytes: int

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (tokens, outputs) for (tokens, inputs)."""
        wide = inputs.to(torch.float32)
        step = wide.abs().amax(dim=-1, keepdim=True).clamp(min=_SMALLEST) / _HIGHEST_INT8  # (tokens, 1)
        rounded = ((wide / step).round() + _UINT8_ZERO).to(torch.uint8)
        product = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, _UINT8_ZERO, self.weight, self.scale, self.zero, None, 1.0, 0, torch.float32, "none", [], ""
        )
        result = (product * step).to(inputs.dtype)  # (tokens, outputs)
        return result if self.bias is None else result + self.bias


@dataclass(frozen=True, slots=True, kw_only=True)
class Int4Linear:
    """4-bit weights for few tokens, and an 8-bit copy for many.

    ``scales`` has scale and shift of each group, (groups, outputs, 2) in bfloat16.
    """

    weight: Tensor
    scales: Tensor
    group_size: int
    bias: Tensor | None
    many: Int8Linear
    bytes: int

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (tokens, outputs) for (tokens, inputs)."""
        if len(inputs) > INT4_MOST_TOKENS:
            return self.many(inputs)
        product = torch.ops.aten._weight_int4pack_mm_for_cpu(  # noqa: SLF001
            inputs.to(torch.bfloat16), self.weight, self.group_size, self.scales
        )
        result = product.to(inputs.dtype)
        return result if self.bias is None else result + self.bias


def has_fast_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 faster than float32: with AMX, or AVX-512 BF16."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001


def has_fast_integers() -> bool:
    """Return whether the processor multiplies 8-bit integers by itself."""
    return bool(torch.backends.mkldnn.is_available() and torch.cpu._is_vnni_supported())  # noqa: SLF001


def packed_linear(weight: Tensor, bias: Tensor | None) -> PackedLinear | None:
    """Return a layer of plain weights (outputs, inputs) in packed form, or None where that form is not to be had."""
    is_fast = weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and has_fast_bfloat16())
    if not (torch.backends.mkldnn.is_available() and is_fast):
        return None
    laid = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _TRANSPARENT)  # noqa: SLF001
    return PackedLinear(weight=laid, bias=bias, bytes=weight.nbytes)


def integer_linear(weight: QuantisedWeight, bias: Tensor | None) -> Int8Linear | Int4Linear | None:
    """Return a layer that multiplies a quantised matrix without widening it, or None where none can."""
    if not has_fast_integers():
        return None
    if weight.values.dtype == torch.int8 and weight.zero is None and weight.scale.shape[1] == 1:
        return _int8(weight, bias)
    outputs, size = weight.shape[0], weight.group_size
    if weight.bits != 4 or weight.zero is None or size not in INT4_GROUP_SIZES or outputs % INT4_OUTPUT_MULTIPLE:  # noqa: PLR2004
        return None
    laid = torch.ops.aten._convert_weight_to_int4pack_for_cpu(weight.values.to(torch.int32), 1)  # noqa: SLF001
    scales = torch.stack([weight.scale, (INT4_MIDDLE - weight.zero) * weight.scale], dim=-1)
    scales = scales.transpose(0, 1).to(torch.bfloat16).contiguous()  # (groups, outputs, 2)
    many = _int8(quantised(weight.dequantised(), WeightFormat.INT8), bias)
    return Int4Linear(
        weight=laid, scales=scales, group_size=size, bias=bias, many=many, bytes=laid.nbytes + scales.nbytes
    )


def _int8(weight: QuantisedWeight, bias: Tensor | None) -> Int8Linear:
    return Int8Linear(
        weight=torch.ops.onednn.qlinear_prepack(weight.values.contiguous(), None),
        scale=weight.scale[:, 0].contiguous(),  # (outputs)
        zero=torch.zeros(weight.shape[0], dtype=torch.int64),
        bias=bias,
        bytes=weight.values.nbytes + weight.scale.nbytes,
    )
