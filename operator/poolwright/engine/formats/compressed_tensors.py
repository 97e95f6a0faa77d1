"""Checkpoints of compressed-tensors: packed int4 and int8, int8 and e4m3 with scales beside them.

Which layers are quantised is read from the tensors that are there, how from the first group of ``config_groups`` whose
targets name the layer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from poolwright.engine.checkpoint import Checkpoint, CheckpointError
from poolwright.engine.formats.fields import bits_of, refusal
from poolwright.engine.formats.packing import WORD_BITS, unpacked
from poolwright.engine.formats.quantised import QuantisedWeight, ordered_groups
from poolwright.engine.formats.scaled import scaled_weight

FORMATS: Final = ("pack-quantized", "int-quantized", "float-quantized", "naive-quantized")
DEFAULT_BLOCK: Final = (128, 128)
VALUE_TYPES: Final = (torch.int8, torch.float8_e4m3fn)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedTensors:
    """Groups of layers as ``config_groups`` has them."""

    groups: tuple[Mapping[str, Any], ...]

    def weight(self, checkpoint: Checkpoint, prefix: str, shape: tuple[int, int]) -> Tensor | QuantisedWeight:
        """Return the matrix of a layer; layers that were ignored have a plain ``weight`` and no scale."""
        if f"{prefix}.weight_packed" in checkpoint:
            return self._packed(checkpoint, prefix, shape)
        values = checkpoint.tensor(f"{prefix}.weight", shape)
        name = f"{prefix}.weight_scale"
        if values.dtype not in VALUE_TYPES:
            if name in checkpoint:
                raise CheckpointError(f"{checkpoint.directory}: tensor {prefix}.weight has data type {values.dtype}")
            return values
        weights = self._weights(prefix)
        zero = f"{prefix}.weight_zero_point"
        is_blocked = weights.get("strategy") == "block"
        sides = weights.get("block_structure") or DEFAULT_BLOCK
        return scaled_weight(
            name,
            values,
            checkpoint.tensor(name),
            checkpoint.tensor(zero) if zero in checkpoint and not weights.get("symmetric", True) else None,
            block=(int(sides[0]), int(sides[1])) if is_blocked else None,
        )

    def _packed(self, checkpoint: Checkpoint, prefix: str, shape: tuple[int, int]) -> QuantisedWeight:
        """Return a matrix whose values lie in words along inputs, each plus half its range."""
        outputs, inputs = shape
        weights = self._weights(prefix)
        bits = bits_of(weights, "num_bits")
        per_word = WORD_BITS // bits
        stated = tuple(checkpoint.tensor(f"{prefix}.weight_shape", (2,)).tolist())
        if stated != shape:
            raise CheckpointError(
                f"{checkpoint.directory}: tensor {prefix}.weight_shape says {stated}, config.json asks for {shape}"
            )
        words = checkpoint.tensor(f"{prefix}.weight_packed", (outputs, -(-inputs // per_word)))
        size = weights.get("group_size")
        groups = -(-inputs // size) if isinstance(size, int) and size > 0 else 1
        scale = checkpoint.tensor(f"{prefix}.weight_scale").to(torch.float32).reshape(-1, groups)
        zero = torch.full((outputs, groups), float(1 << (bits - 1)))
        if not weights.get("symmetric", True):
            packed = checkpoint.tensor(f"{prefix}.weight_zero_point", (-(-outputs // per_word), groups))
            zero = unpacked(packed, bits, dim=0)[:outputs].to(torch.float32)
        name = f"{prefix}.weight_g_idx"
        given = checkpoint.tensor(name, (inputs,)).to(torch.int64) if name in checkpoint else None
        return QuantisedWeight(
            values=unpacked(words, bits, dim=1)[:, :inputs].contiguous(),
            scale=scale.expand(outputs, groups).contiguous(),
            zero=zero,
            group_of=given
            if given is not None and bool((given >= 0).all())
            else ordered_groups(inputs, -(-inputs // groups)),
            bits=bits,
        )

    def _weights(self, prefix: str) -> Mapping[str, Any]:
        """Return how the weights of a layer are quantised."""
        for group in self.groups:
            if any(_names(target, prefix) for target in group.get("targets", ["Linear"])):
                return dict(group.get("weights") or {})
        raise refusal("config_groups", [group.get("targets") for group in self.groups], f"none names {prefix}")


def _names(target: str, prefix: str) -> bool:
    """Return whether a target is the class of all linear layers, a pattern that a layer matches, or its name."""
    if target.startswith("re:"):
        return re.match(target.removeprefix("re:"), prefix) is not None
    return target in ("Linear", prefix) or prefix.endswith(f".{target}")


def compressed_tensors(section: Mapping[str, Any]) -> CompressedTensors:
    """Return the reader for a ``quantization_config``."""
    groups = section.get("config_groups")
    if not isinstance(groups, Mapping) or not all(isinstance(group, Mapping) for group in groups.values()):
        raise refusal("config_groups", groups, "a mapping is needed")
    formats = {str(group.get("format") or section.get("format")) for group in groups.values()}
    unknown = sorted(formats.difference(FORMATS))
    if unknown:
        raise refusal("format", unknown[0], f"one of {', '.join(FORMATS)} is needed")
    return CompressedTensors(groups=tuple(groups.values()))
