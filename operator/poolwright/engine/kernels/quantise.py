"""Activations to 8 bits, one scale for each token: the widest magnitude becomes the widest value."""

from dataclasses import dataclass
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

WIDEST_INT8: Final = 127
"""Largest magnitude of int8 that is used on both sides of 0."""
WIDEST_FLOAT8: Final = 448
"""Largest finite float8_e4m3fn (Micikevicius et al., FP8 formats for deep learning, 2022)."""
BLOCK: Final = 1024
"""Inputs that a program reads at once: 8 for each thread of 4 warps, one load of 16 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedInputs:
    """Activations for a product.

    ``values``: (tokens, inputs); ``scale``: (tokens) of float32; ``sums``: (tokens, groups) of int32, the sums of
    values within groups of inputs, which weights with zeros need. None: not quantised, or not needed.
    """

    values: Tensor
    scale: Tensor | None
    sums: Tensor | None


@triton.jit
def rounded(values):
    """Return whole numbers nearest to values; halves go to the even one, as in torch."""
    magic: tl.constexpr = 12582912.0  # 1.5 * 2**23: float32 beyond has no fraction left
    return (values + magic) - magic


@triton.jit
def float8_of(values):
    """Return float8_e4m3fn nearest to values of at most 448; halves go to the even one.

    Rounded in bits of float32 first, so that the conversion itself has nothing left to round: the interpreter's loses
    the carry from mantissa to exponent.
    """
    bits = values.to(tl.int32, bitcast=True)
    bits = (bits + 0x7FFFF + ((bits >> 20) & 1)) & -0x100000  # 3 bits of mantissa remain
    fine: tl.constexpr = 24576.0  # 1.5 * 2**(23 - 9): subnormal values have steps of 2**-9
    small = (values + fine) - fine
    nearest = tl.where(tl.abs(values) < 0.015625, small, bits.to(tl.float32, bitcast=True))
    return nearest.to(tl.float8e4nv)


@triton.jit
def quantise_rows(
    x_ptr,
    out_ptr,
    scale_ptr,
    sums_ptr,
    inputs,
    x_stride,
    groups,
    is_float8: tl.constexpr,
    sum_size: tl.constexpr,
    block: tl.constexpr,
):
    """Quantise one token a program."""
    token = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, block)
    widest = tl.zeros((block,), tl.float32)
    for start in range(0, inputs, block):
        x = tl.load(x_ptr + token * x_stride + start + places, mask=start + places < inputs, other=0.0)
        widest = tl.maximum(widest, tl.abs(x.to(tl.float32)))
    most = tl.max(widest, 0)
    scale = tl.where(most > 0, most, 1.0) / (448.0 if is_float8 else 127.0)
    tl.store(scale_ptr + token, scale)
    for start in range(0, inputs, block):
        inside = start + places < inputs
        x = tl.load(x_ptr + token * x_stride + start + places, mask=inside, other=0.0).to(tl.float32) / scale
        if is_float8:
            tl.store(out_ptr + token * inputs + start + places, float8_of(x), mask=inside)
        else:
            whole = rounded(x).to(tl.int32)
            tl.store(out_ptr + token * inputs + start + places, whole.to(tl.int8), mask=inside)
            if sum_size > 0:
                sums = tl.sum(tl.reshape(whole, (block // sum_size, sum_size)), 1)
                group = start // sum_size + tl.arange(0, block // sum_size)
                tl.store(sums_ptr + token * groups + group, sums, mask=group < groups)


def quantised_inputs(inputs: Tensor, *, is_float8: bool, sum_size: int = 0) -> QuantisedInputs:
    """Return activations, (tokens, inputs), quantised to int8 or float8_e4m3fn; ``sum_size`` 0: no sums of groups."""
    tokens, width = inputs.shape
    groups = 0 if sum_size == 0 or is_float8 else triton.cdiv(width, sum_size)
    dtype = torch.float8_e4m3fn if is_float8 else torch.int8
    values = torch.empty((tokens, width), dtype=dtype, device=inputs.device)
    scale = torch.empty(tokens, dtype=torch.float32, device=inputs.device)
    sums = torch.empty((tokens, groups), dtype=torch.int32, device=inputs.device) if groups else None
    quantise_rows[(tokens,)](
        inputs,
        values,
        scale,
        sums,
        width,
        inputs.stride(0),
        groups,
        is_float8=is_float8,
        sum_size=sum_size if groups else 0,
        block=BLOCK,
    )
    return QuantisedInputs(values=values, scale=scale, sums=sums)
