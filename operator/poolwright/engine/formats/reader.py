"""Which format a checkpoint's ``quantization_config`` names."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from poolwright.engine.checkpoint import Checkpoint, CheckpointError
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


def weight_reader(quantisation: Mapping[str, Any] | None) -> WeightReader:
    """Return the reader for a checkpoint.

    Raises
    ------
    CheckpointError
        A format that is not supported.
    """
    if quantisation is None:
        return Plain()
    raise CheckpointError(f"config.json: quantization_config: quant_method {quantisation.get('quant_method')!r}")
