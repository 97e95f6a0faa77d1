"""Rotary positions: frequencies with the published ways of stretching them, and the rotation itself.

References: Su et al., RoFormer, 2021, arXiv:2104.09864. Peng et al., YaRN, 2023, arXiv:2309.00071. Meta, Llama 3.1
reference code, 2024 (``llama3``).
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from poolwright.engine.checkpoint import CheckpointError
from poolwright.engine.model.config import Rope


def inverse_frequencies(rope: Rope, head_dim: int, max_positions: int) -> tuple[Tensor, float]:
    """Return angle per position of each pair of values, and what cosine and sine are multiplied with.

    Parameters
    ----------
    rope
        Base and scaling.
    head_dim
        Width of a head; there are half as many frequencies.
    max_positions
        Longest sequence, which YaRN's files may leave to say the scale.

    Returns
    -------
    frequencies, scale
        Shape (head_dim / 2) in float32 [rad per position], and a pure number.
    """
    powers = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    plain = 1.0 / rope.theta**powers  # (head_dim / 2)
    match rope.kind:
        case "linear":
            return plain / _needed(rope.parameters, "factor"), 1.0
        case "llama3":
            return _llama3(plain, rope.parameters), 1.0
        case "yarn":
            return _yarn(plain, rope, head_dim, max_positions)
    return plain, 1.0


def cosines(positions: Tensor, frequencies: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of each position's angles, shape (tokens, 1, head_dim / 2) in float32."""
    angles = positions.to(torch.float32)[:, None, None] * frequencies  # (tokens, 1, head_dim / 2)
    return angles.cos() * scale, angles.sin() * scale


def rotated(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Return heads turned by their positions' angles; value i is paired with value i + head_dim / 2.

    Shape (tokens, heads, head_dim) in and out.
    """
    first, second = heads.chunk(2, dim=-1)  # (tokens, heads, head_dim / 2)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def _needed(parameters: Mapping[str, Any], name: str) -> float:
    """Return a number of the scaling's section, or say that it is missing."""
    value = parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CheckpointError(f"config.json: rope_scaling: {name} is {value!r}; a number is needed")
    return float(value)


def _llama3(plain: Tensor, parameters: Mapping[str, Any]) -> Tensor:
    """Return frequencies of Llama 3.1: long waves stretched, short ones kept, a ramp between."""
    factor = _needed(parameters, "factor")
    low, high = _needed(parameters, "low_freq_factor"), _needed(parameters, "high_freq_factor")
    original = _needed(parameters, "original_max_position_embeddings")
    turns = original * plain / (2 * math.pi)  # turns within the original context
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return plain * (kept + (1 - kept) / factor)


def _yarn(plain: Tensor, rope: Rope, head_dim: int, max_positions: int) -> tuple[Tensor, float]:
    """Return YaRN's frequencies and the scale of its attention."""
    parameters = rope.parameters
    original = float(parameters.get("original_max_position_embeddings") or max_positions)
    factor = _needed(parameters, "factor") if parameters.get("factor") is not None else max_positions / original
    bounds = [
        head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))
        for turns in (float(parameters.get("beta_fast") or 32), float(parameters.get("beta_slow") or 1))
    ]
    if parameters.get("truncate", True):
        bounds = [math.floor(bounds[0]), math.ceil(bounds[1])]
    low, high = max(bounds[0], 0), min(bounds[1], head_dim - 1)
    pairs = torch.arange(head_dim // 2, dtype=torch.float32)
    stretched = ((pairs - low) / max(high - low, 0.001)).clamp(0, 1)
    return plain * (stretched / factor + 1 - stretched), _yarn_scale(parameters, factor)


def _yarn_scale(parameters: Mapping[str, Any], factor: float) -> float:
    """Return what cosine and sine are multiplied with: as written, or from the factor."""
    if parameters.get("attention_factor") is not None:
        return float(parameters["attention_factor"])

    def grown(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    numerator, denominator = parameters.get("mscale"), parameters.get("mscale_all_dim")
    if numerator and denominator:
        return grown(float(numerator)) / grown(float(denominator))
    return grown(1.0)
