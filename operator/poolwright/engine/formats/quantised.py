"""The common form of a quantised matrix: small values, and a scale and a zero for each group of a row.

w[n, k] = (values[n, k] - zero[n, group(k)]) * scale[n, group(k)].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedWeight:
    """A matrix of a linear layer.

    Attributes
    ----------
    values
        (outputs, inputs): uint8 of 0 to 15, int8, or float8_e4m3fn.
    scale
        (outputs, groups) in float32.
    zero
        (outputs, groups) in float32, in units of ``values``; None: all 0.
    group_of
        (inputs) of int64: the group of each input.
    bits
        Bits of one value, 4 or 8.
    """

    values: Tensor
    scale: Tensor
    zero: Tensor | None
    group_of: Tensor
    bits: int

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def group_size(self) -> int | None:
        """Inputs of a group where groups are equal and in order, otherwise None."""
        inputs, groups = self.values.shape[1], self.scale.shape[1]
        size = inputs // groups
        in_order = torch.arange(inputs) // max(size, 1)
        return size if size * groups == inputs and torch.equal(self.group_of, in_order) else None

    def dequantised(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the matrix as plain numbers, computed in float32 and rounded once."""
        wide = self.values.to(torch.float32)
        if self.zero is not None:
            wide = wide - self.zero[:, self.group_of]
        return (wide * self.scale[:, self.group_of]).to(dtype)

    def rows(self, start: int, stop: int) -> "QuantisedWeight":
        """Return some of the outputs."""
        return QuantisedWeight(
            values=self.values[start:stop],
            scale=self.scale[start:stop],
            zero=None if self.zero is None else self.zero[start:stop],
            group_of=self.group_of,
            bits=self.bits,
        )

    def columns(self, start: int, stop: int) -> "QuantisedWeight":
        """Return some of the inputs, with the groups that they use."""
        used, group_of = torch.unique(self.group_of[start:stop], return_inverse=True)
        return QuantisedWeight(
            values=self.values[:, start:stop],
            scale=self.scale[:, used],
            zero=None if self.zero is None else self.zero[:, used],
            group_of=group_of,
            bits=self.bits,
        )


def ordered_groups(inputs: int, group_size: int) -> Tensor:
    """Return the group of each input where groups follow one another; the last may be shorter."""
    return torch.arange(inputs) // group_size


def can_stack(parts: Sequence[QuantisedWeight]) -> bool:
    """Return whether matrices of the same inputs can become one with all their outputs."""
    first = parts[0]
    return all(
        part.values.dtype == first.values.dtype
        and part.bits == first.bits
        and (part.zero is None) == (first.zero is None)
        and torch.equal(part.group_of, first.group_of)
        for part in parts
    )


def stacked(parts: Sequence[QuantisedWeight]) -> QuantisedWeight:
    """Return one matrix with the outputs of all, in order."""
    zeros = [part.zero for part in parts if part.zero is not None]
    return QuantisedWeight(
        values=torch.cat([part.values.view(torch.uint8) for part in parts]).view(parts[0].values.dtype),
        scale=torch.cat([part.scale for part in parts]),
        zero=torch.cat(zeros) if zeros else None,
        group_of=parts[0].group_of,
        bits=parts[0].bits,
    )
