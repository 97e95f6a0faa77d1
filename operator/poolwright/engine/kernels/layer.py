"""Launches of what is fused around a layer's matrix products."""

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from poolwright.engine.kernels.attention import PagedCache
from poolwright.engine.kernels.fused import rms_norm, rotate_and_cache, silu_mul

GATE_BLOCK = 1024
"""Values of a program: 8 for each thread of 4 warps, one load of 16 bytes."""
LONG_ROW = 4096
"""Width from which a row's norm is worth 8 warps: 16 values a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Rotary positions: ``cosine``, ``sine`` (positions, head_dim / 2) in float32."""

    cosine: Tensor
    sine: Tensor


def normalised(inputs: Tensor, weight: Tensor, epsilon: float, residual: Tensor | None = None) -> Tensor:
    """Return the RMS norm of rows, (tokens, width); a residual takes up the inputs first, in place."""
    tokens, width = inputs.shape
    out = torch.empty((tokens, width), dtype=inputs.dtype, device=inputs.device)
    rms_norm[(tokens,)](
        inputs,
        residual,
        weight,
        out,
        width,
        inputs.stride(0),
        epsilon,
        has_residual=residual is not None,
        block=triton.next_power_of_2(width),
        num_warps=8 if width >= LONG_ROW else 4,
    )
    return out


def gated(gate_up: Tensor) -> Tensor:
    """Return silu(gate) * up, (tokens, width), for (tokens, 2 * width)."""
    tokens, width = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty((tokens, width), dtype=gate_up.dtype, device=gate_up.device)
    silu_mul[(tokens, triton.cdiv(width, GATE_BLOCK))](gate_up, out, width, block=GATE_BLOCK)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadNorms:
    """Norms of each head of queries and keys before they are turned: ``query`` and ``key`` (head_dim)."""

    query: Tensor
    key: Tensor
    epsilon: float


def rotated_and_cached(
    qkv: Tensor, cache: PagedCache, turns: Turns, positions: Tensor, slots: Tensor, norms: HeadNorms | None = None
) -> Tensor:
    """Return turned queries, (tokens, heads, head_dim); turn keys, and write keys and values to the cache.

    Parameters
    ----------
    qkv
        (tokens, (heads + 2 * kv_heads) * head_dim).
    cache
        One layer's cache.
    turns
        Cosines and sines by position.
    positions
        (tokens) of int32 or int64.
    slots
        (tokens): block id times block_tokens plus the place within the block; below 0: not written.
    norms
        Of architectures that have them.
    """
    kv_heads, head_dim = cache.keys.shape[2], cache.keys.shape[3]
    heads = qkv.shape[1] // head_dim - 2 * kv_heads
    query = torch.empty((qkv.shape[0], heads, head_dim), dtype=qkv.dtype, device=qkv.device)
    kinds = {torch.int8: "int8", torch.float8_e4m3fn: "float8"}
    rotate_and_cache[(qkv.shape[0], heads + 2 * kv_heads)](
        qkv,
        query,
        cache.keys,
        cache.values,
        cache.key_scale,
        cache.value_scale,
        turns.cosine,
        turns.sine,
        positions,
        slots,
        None if norms is None else norms.query,
        None if norms is None else norms.key,
        qkv.stride(0),
        0.0 if norms is None else norms.epsilon,
        has_norm=norms is not None,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        half=triton.next_power_of_2(head_dim // 2),
        kind=kinds.get(cache.keys.dtype, "wide"),
        num_warps=1,
    )
    return query
