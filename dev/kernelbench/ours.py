"""Our products as the bench calls them: random weights are quantised, and results checked against float64."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from poolwright.engine.kernels.packed import SPAN, Format, PackedWeight, pack
from poolwright.engine.kernels.product import Workspace, linear
from poolwright.engine.kernels.quantise import quantised_inputs

ROTATED_BYTES: Final = 400_000_000
"""Bytes of 16-bit weights that calls go around: several times the 60 MB of an H200's second-level cache."""
ALLOWED: Final = 2.0**-8
"""Largest error over the largest result: bfloat16's rounding (2**-9) of the result, twice."""

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Calls on different weights, and how far the first is from float64."""

    calls: list[Call]
    error: float


def weights(outputs: int, inputs: int) -> list[Tensor]:
    """Return as many random matrices as no cache holds."""
    count = max(2, math.ceil(ROTATED_BYTES / (2 * outputs * inputs)))
    return [torch.randn(outputs, inputs, device="cuda", dtype=torch.bfloat16) * 0.02 for _ in range(count)]


def quantised(weight: Tensor, kind: Format) -> PackedWeight:
    """Return a matrix rounded to a format: 4 bits in groups of 128 with zeros, 8 bits by row."""
    wide = weight.float()
    if kind.bits == 4:  # noqa: PLR2004 (bits)
        groups = wide.unflatten(1, (-1, SPAN))  # (outputs, groups, 128)
        low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
        scale = ((high - low) / 15).half().float()
        zero = (-low / scale).round().clamp(0, 15)
        values = (groups / scale + zero).round().clamp(0, 15).flatten(1).to(torch.int32)
        return pack(values, scale[..., 0], zero[..., 0], kind=kind, group_size=SPAN)
    scale = wide.abs().amax(1, keepdim=True) / (448 if kind.has_float8 else 127)
    rounded = wide / scale
    values = rounded.to(torch.float8_e4m3fn) if kind.has_float8 else rounded.round().to(torch.int8)
    return pack(values, scale, kind=kind)


def products(plain: list[Tensor], kind: Format, tokens: int) -> Checked:
    """Return our calls for a format, with the error at so many tokens on fresh inputs."""
    workspace = Workspace()
    packed = [quantised(weight, kind) for weight in plain]
    calls = [_call(weight, workspace) for weight in packed]
    inputs = torch.randn(tokens, plain[0].shape[1], device="cuda", dtype=torch.bfloat16)
    seen = inputs.double()
    if not kind.has_wide_inputs:
        given = quantised_inputs(inputs, is_float8=kind is Format.W8A8_FP8)
        if given.scale is not None:
            seen = given.values.double() * given.scale.double()[:, None]
    expected = seen @ packed[0].dequantised(torch.float64).T
    error = float((calls[0](inputs).double() - expected).abs().max() / expected.abs().max())
    return Checked(calls=calls, error=error)


def _call(weight: PackedWeight, workspace: Workspace) -> Call:
    return lambda x: linear(x, weight, None, workspace)
