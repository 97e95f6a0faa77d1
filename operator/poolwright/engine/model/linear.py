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
from poolwright.engine.model.cpu_linear import integer_linear, packed_linear

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
    own_bias = None if bias is None else bias.to(device=device, dtype=dtype)
    quantised = [weight for weight in weights if isinstance(weight, QuantisedWeight)]
    if len(quantised) == len(weights) and can_stack(quantised):
        fast = integer_linear(stacked(quantised), own_bias) if device.type == "cpu" else None
        if fast is not None:
            return fast
    plain = [each.dequantised(dtype) if isinstance(each, QuantisedWeight) else each.to(dtype) for each in weights]
    return plain_linear((plain[0] if len(plain) == 1 else torch.cat(plain)).to(device), own_bias)


def plain_linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """Return a layer of plain weights (outputs, inputs), already where they are needed and of the right data type."""
    packed = packed_linear(weight, bias) if weight.device.type == "cpu" else None
    return packed or PlainLinear(weight=weight, bias=bias)
