"""Quantises plain weights while a checkpoint is loaded: round to nearest, without looking at any data.

Cheaper and less exact than a checkpoint that was quantised with calibration: prefer those where quality matters.
"""

from enum import StrEnum
from typing import Final

import torch
from torch import Tensor

from poolwright.engine.formats.quantised import QuantisedWeight, ordered_groups

GROUP_SIZE: Final = 128
"""Inputs of a 4-bit group, as in most published checkpoints: 0.25 bits of scale and zero a weight."""
HIGHEST_INT4: Final = 15
HIGHEST_INT8: Final = 127
HIGHEST_E4M3: Final = 448.0
_SMALLEST: Final = 1e-12
"""Least scale, so that rows of zeros stay zeros."""


class WeightFormat(StrEnum):
    """Formats that plain weights can be quantised to."""

    W4A16 = "w4a16"
    INT8 = "int8"
    FP8 = "fp8"


def quantised(weight: Tensor, to: WeightFormat) -> QuantisedWeight:
    """Return a matrix (outputs, inputs) in a format: 4 bits in groups with a zero, 8 bits with a scale an output."""
    wide = weight.to(torch.float32)
    match to:
        case WeightFormat.W4A16:
            return _int4(wide)
        case WeightFormat.INT8:
            scale = (wide.abs().amax(dim=1, keepdim=True) / HIGHEST_INT8).clamp(min=_SMALLEST)  # (outputs, 1)
            values = (wide / scale).round().to(torch.int8)
        case WeightFormat.FP8:
            scale = (wide.abs().amax(dim=1, keepdim=True) / HIGHEST_E4M3).clamp(min=_SMALLEST)
            values = (wide / scale).to(torch.float8_e4m3fn)
    return QuantisedWeight(
        values=values, scale=scale, zero=None, group_of=torch.zeros(wide.shape[1], dtype=torch.int64), bits=8
    )


def _int4(wide: Tensor) -> QuantisedWeight:
    """Return 4-bit values between the least and the greatest of each group, zero among them."""
    outputs, inputs = wide.shape
    groups = -(-inputs // GROUP_SIZE)
    padded = torch.nn.functional.pad(wide, (0, groups * GROUP_SIZE - inputs)).view(outputs, groups, GROUP_SIZE)
    low, high = padded.amin(dim=2).clamp(max=0), padded.amax(dim=2).clamp(min=0)  # (outputs, groups)
    scale = ((high - low) / HIGHEST_INT4).clamp(min=_SMALLEST)
    zero = (-low / scale).round()
    values = (padded / scale[..., None]).round() + zero[..., None]  # (outputs, groups, GROUP_SIZE)
    return QuantisedWeight(
        values=values.clamp(0, HIGHEST_INT4).to(torch.uint8).view(outputs, -1)[:, :inputs].contiguous(),
        scale=scale,
        zero=zero,
        group_of=ordered_groups(inputs, GROUP_SIZE),
        bits=4,
    )
