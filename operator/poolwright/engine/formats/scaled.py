"""Values of 8 bits with scales beside them: one for all, for each output, for groups of a row, or for square blocks."""

import torch
from torch import Tensor

from poolwright.engine.checkpoint import CheckpointError
from poolwright.engine.formats.quantised import QuantisedWeight, ordered_groups


def scaled_weight(
    name: str, values: Tensor, scale: Tensor, zero: Tensor | None = None, block: tuple[int, int] | None = None
) -> QuantisedWeight:
    """Return a matrix of 8-bit values in the common form.

    Parameters
    ----------
    name
        Of the scale's tensor, for messages.
    values
        (outputs, inputs) of int8 or float8_e4m3fn.
    scale
        One number, (outputs, groups), or one for each block.
    zero
        Like ``scale``; None: 0.
    block
        Outputs and inputs of a block where there are blocks.
    """
    outputs, inputs = values.shape
    wide = _by_row(name, scale.to(torch.float32), (outputs, inputs), block)
    groups = wide.shape[1]
    return QuantisedWeight(
        values=values,
        scale=wide,
        zero=None if zero is None else _by_row(name, zero.to(torch.float32), (outputs, inputs), block),
        group_of=ordered_groups(inputs, block[1] if block else -(-inputs // groups)),
        bits=8,
    )


def _by_row(name: str, scale: Tensor, shape: tuple[int, int], block: tuple[int, int] | None) -> Tensor:
    """Return one number for each output and group, (outputs, groups)."""
    outputs, inputs = shape
    if scale.numel() == 1:
        return scale.reshape(1, 1).expand(outputs, 1).contiguous()
    if block is not None:
        expected = (-(-outputs // block[0]), -(-inputs // block[1]))
        if tuple(scale.shape) != expected:
            raise CheckpointError(f"tensor {name} has shape {tuple(scale.shape)}, blocks of {block} need {expected}")
        return scale.repeat_interleave(block[0], dim=0)[:outputs].contiguous()
    scale = scale.reshape(len(scale), -1)
    if scale.shape[0] != outputs or inputs % scale.shape[1]:
        raise CheckpointError(f"tensor {name} has shape {tuple(scale.shape)}, weights have {(outputs, inputs)}")
    return scale
