"""Which format a checkpoint's ``quantization_config`` names."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from torch import Tensor

from poolwright.engine.checkpoint import Checkpoint
from poolwright.engine.formats.awq import awq
from poolwright.engine.formats.compressed_tensors import compressed_tensors
from poolwright.engine.formats.fields import refusal
from poolwright.engine.formats.fp8 import fp8
from poolwright.engine.formats.gptq import gptq
from poolwright.engine.formats.plain import Plain
from poolwright.engine.formats.quantised import QuantisedWeight


class WeightReader(Protocol):
    """Reads the matrix of a layer in one format."""

    def weight(self, checkpoint: Checkpoint, prefix: str, shape: tuple[int, int]) -> Tensor | QuantisedWeight:
        """Return the matrix (outputs, inputs) of the layer named ``prefix``.

        Raises
        ------
        CheckpointError
            A tensor of it is missing or has the wrong shape.
        """


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], WeightReader]]] = {
    "awq": awq,
    "compressed-tensors": compressed_tensors,
    "fp8": fp8,
    "gptq": gptq,
}
"""How each ``quant_method`` is read."""


def weight_reader(quantisation: Mapping[str, Any] | None) -> WeightReader:
    """Return the reader for a checkpoint.

    Raises
    ------
    CheckpointError
        A format that is not supported.
    """
    if quantisation is None:
        return Plain()
    method = str(quantisation.get("quant_method"))
    if method not in _READERS:
        raise refusal("quant_method", method, f"one of {', '.join(_READERS)} is needed")
    return _READERS[method](quantisation)
