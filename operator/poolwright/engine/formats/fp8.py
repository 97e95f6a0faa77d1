"""FP8 checkpoints: ``weight`` in e4m3, ``weight_scale_inv`` per block (a multiplier, despite its name) or one scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from poolwright.engine.checkpoint import Checkpoint, CheckpointError
from poolwright.engine.formats.fields import refusal
from poolwright.engine.formats.quantised import QuantisedWeight
from poolwright.engine.formats.scaled import scaled_weight

BLOCK_SIDES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fp8:
    """Outputs and inputs of a block; None: one scale for a matrix."""

    block: tuple[int, int] | None

    def weight(self, checkpoint: Checkpoint, prefix: str, shape: tuple[int, int]) -> Tensor | QuantisedWeight:
        """Return the matrix of a layer; one that is not in e4m3 was left as it is."""
        values = checkpoint.tensor(f"{prefix}.weight", shape)
        if values.dtype != torch.float8_e4m3fn:
            if values.dtype.itemsize == 1:
                raise CheckpointError(f"{checkpoint.directory}: tensor {prefix}.weight has data type {values.dtype}")
            return values
        name = f"{prefix}.weight_scale_inv" if self.block else f"{prefix}.weight_scale"
        return scaled_weight(name, values, checkpoint.tensor(name), block=self.block)


def fp8(section: Mapping[str, Any]) -> Fp8:
    """Return the reader for a ``quantization_config``."""
    block = section.get("weight_block_size")
    if block is None:
        return Fp8(block=None)
    if not isinstance(block, list) or len(block) != BLOCK_SIDES or not all(isinstance(b, int) and b > 0 for b in block):
        raise refusal("weight_block_size", block, "two whole numbers of at least one are needed")
    return Fp8(block=(block[0], block[1]))
