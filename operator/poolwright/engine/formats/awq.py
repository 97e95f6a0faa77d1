"""AWQ checkpoints: ``qweight``, ``qzeros``, ``scales``, packed along outputs with interleaved nibbles.

Reference: Lin et al., AWQ, 2023, arXiv:2306.00978; the layout is AutoAWQ's ``gemm``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from poolwright.engine.checkpoint import Checkpoint, CheckpointError
from poolwright.engine.formats.fields import bits_of, group_size_of
from poolwright.engine.formats.packing import unpacked
from poolwright.engine.formats.quantised import QuantisedWeight, ordered_groups

BITS: Final = 4
PER_WORD: Final = 8
ORDER: Final = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight outputs each nibble of a word holds, lowest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awq:
    """Inputs of a group (None: all)."""

    group_size: int | None

    def weight(self, checkpoint: Checkpoint, prefix: str, shape: tuple[int, int]) -> Tensor | QuantisedWeight:
        """Return the matrix of a layer; layers that were left as they are have a plain ``weight``."""
        if f"{prefix}.weight" in checkpoint:
            return checkpoint.tensor(f"{prefix}.weight", shape)
        outputs, inputs = shape
        size = self.group_size or inputs
        groups = -(-inputs // size)
        words = checkpoint.tensor(f"{prefix}.qweight", (inputs, outputs // PER_WORD))
        zeros = checkpoint.tensor(f"{prefix}.qzeros", (groups, outputs // PER_WORD))
        scales = checkpoint.tensor(f"{prefix}.scales", (groups, outputs))
        return QuantisedWeight(
            values=unpacked(words, BITS, dim=1, order=ORDER).T.contiguous(),  # (outputs, inputs)
            scale=scales.T.to(torch.float32).contiguous(),  # (outputs, groups)
            zero=unpacked(zeros, BITS, dim=1, order=ORDER).to(torch.float32).T.contiguous(),
            group_of=ordered_groups(inputs, size),
            bits=BITS,
        )


def awq(section: Mapping[str, Any]) -> Awq:
    """Return the reader for a ``quantization_config``.

    Raises
    ------
    CheckpointError
        Another layout than ``gemm``, or not 4 bits.
    """
    version = str(section.get("version", "gemm")).casefold()
    if version != "gemm" or bits_of(section) != BITS:
        raise CheckpointError(
            f"config.json: quantization_config: awq with version {version} and {section.get('bits')} bits is not "
            f"supported; gemm with {BITS} bits is"
        )
    return Awq(group_size=group_size_of(section))
