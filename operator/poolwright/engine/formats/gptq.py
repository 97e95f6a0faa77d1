"""GPTQ checkpoints: ``qweight``, ``qzeros``, ``scales``, ``g_idx``, packed along inputs.

Version 1 stores zeros less one, ``gptq_v2`` as they are. Reference: Frantar et al., GPTQ, 2022, arXiv:2210.17323; the
layout is that of AutoGPTQ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from poolwright.engine.checkpoint import Checkpoint
from poolwright.engine.formats.fields import bits_of, group_size_of
from poolwright.engine.formats.packing import WORD_BITS, unpacked
from poolwright.engine.formats.quantised import QuantisedWeight, ordered_groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Gptq:
    """Bits of a value, inputs of a group (None: all), and what is added to stored zeros."""

    bits: int
    group_size: int | None
    zero_offset: int

    def weight(self, checkpoint: Checkpoint, prefix: str, shape: tuple[int, int]) -> Tensor | QuantisedWeight:
        """Return the matrix of a layer; layers that were left as they are have a plain ``weight``."""
        if f"{prefix}.weight" in checkpoint:
            return checkpoint.tensor(f"{prefix}.weight", shape)
        outputs, inputs = shape
        per_word = WORD_BITS // self.bits
        size = self.group_size or inputs
        groups = -(-inputs // size)
        words = checkpoint.tensor(f"{prefix}.qweight", (inputs // per_word, outputs))
        zeros = checkpoint.tensor(f"{prefix}.qzeros", (groups, outputs // per_word))
        scales = checkpoint.tensor(f"{prefix}.scales", (groups, outputs))
        name = f"{prefix}.g_idx"
        group_of = checkpoint.tensor(name, (inputs,)).to(torch.int64) if name in checkpoint else None
        return QuantisedWeight(
            values=unpacked(words, self.bits, dim=0).T.contiguous(),  # (outputs, inputs)
            scale=scales.T.to(torch.float32).contiguous(),  # (outputs, groups)
            zero=(unpacked(zeros, self.bits, dim=1).to(torch.float32) + self.zero_offset).T.contiguous(),
            group_of=ordered_groups(inputs, size) if group_of is None else group_of,
            bits=self.bits,
        )


def gptq(section: Mapping[str, Any]) -> Gptq:
    """Return the reader for a ``quantization_config``."""
    version = str(section.get("checkpoint_format", "gptq"))
    return Gptq(bits=bits_of(section), group_size=group_size_of(section), zero_offset=0 if version == "gptq_v2" else 1)
