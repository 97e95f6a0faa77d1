"""Matrix products with weights as they are kept in memory.

Which form is fastest where is decided here and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from poolwright.engine.formats.quantised import QuantisedWeight, can_stack, stacked

Weight: TypeAlias = Tensor | QuantisedWeight


class Linear(Protocol):
    """A layer y = x W^T + b."""

    @property
    def bytes(self) -> int:
        """Memory of its weights, which one step reads once."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (tokens, outputs) for (tokens, inputs)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainLinear:
    """Weights as plain numbers, (outputs, inputs)."""

    weight: Tensor
    bias: Tensor | None = None

    @property
    def bytes(self) -> int:
        """Memory of its weights."""
        return int(self.weight.nbytes)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (tokens, outputs) for (tokens, inputs)."""
        return functional.linear(inputs, self.weight, self.bias)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Several layers of the same inputs, their outputs one after another."""

    parts: tuple[Linear, ...]

    @property
    def bytes(self) -> int:
        """Memory of all."""
        return sum(part.bytes for part in self.parts)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return (tokens, outputs) for (tokens, inputs)."""
        return torch.cat([part(inputs) for part in self.parts], dim=-1)


def linear(weights: Sequence[Weight], bias: Tensor | None, dtype: torch.dtype, device: torch.device) -> Linear:
    """Return one layer for matrices of the same inputs, their outputs one after another.

    Parameters
    ----------
    weights
        Matrices (outputs, inputs), plain or quantised.
    bias
        (outputs of all), or None.
    dtype
        Of activations.
    device
        Where it runs.
    """
    quantised = [weight for weight in weights if isinstance(weight, QuantisedWeight)]
    if len(quantised) == len(weights) and can_stack(quantised):
        return _quantised(stacked(quantised), bias, dtype, device)
    plain = torch.cat([each.dequantised(dtype) if isinstance(each, QuantisedWeight) else each for each in weights])
    return PlainLinear(weight=plain.to(device=device, dtype=dtype), bias=_bias(bias, dtype, device))


def _bias(bias: Tensor | None, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    return None if bias is None else bias.to(device=device, dtype=dtype)


def _quantised(weight: QuantisedWeight, bias: Tensor | None, dtype: torch.dtype, device: torch.device) -> Linear:
    return PlainLinear(weight=weight.dequantised(dtype).to(device), bias=_bias(bias, dtype, device))
