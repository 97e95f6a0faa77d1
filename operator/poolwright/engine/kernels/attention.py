"""Launches attention over paged cache: picks rows, ranges and stages for prompts and for decoding."""

import math
from dataclasses import dataclass
from typing import Final

import torch
import triton
from torch import Tensor

from poolwright.engine.kernels.paged import joined_ranges, paged_attention

SPLIT_TOKENS: Final = 512
"""Context of one range while decoding: 16 ranges at 8k tokens, so that one sequence of 8 KV heads fills an H200's 132
processors. Fixed, so that a sequence's sums do not depend on the batch."""
DECODE_ROWS: Final = 64
"""Rows (queries times heads of a group) up to which a launch counts as decoding, and its context is cut."""
FEWEST_ROWS: Final = 16
"""Rows of a tensor-core tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PagedCache:
    """One layer's cache.

    ``keys``, ``values``: (blocks, block_tokens, kv_heads, head_dim), 16 or 8 bits; ``key_scale``, ``value_scale``:
    (blocks, block_tokens, kv_heads) of float32 for 8 bits, otherwise None.
    """

    keys: Tensor
    values: Tensor
    key_scale: Tensor | None = None
    value_scale: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Who attends to what.

    ``starts``: (sequences + 1) of int32, first token of each sequence and the number of tokens; ``contexts``:
    (sequences) of int32, tokens of each with those of this step; ``table``: (sequences, blocks) of int32;
    ``most_queries``, ``most_context``: at least the largest of the batch, fixed when a graph is captured.
    """

    starts: Tensor
    contexts: Tensor
    table: Tensor
    most_queries: int
    most_context: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Rows and tokens of context that a program holds at once, its warps, and loads in flight."""

    rows: int
    kv: int
    warps: int
    stages: int


def shape_for(rows: int, element_bytes: int) -> Shape:
    """Return the shape of programs for so many rows of a sequence and KV head, and bytes of a cached value."""
    if rows <= FEWEST_ROWS:
        return Shape(rows=16, kv=64, warps=4, stages=3 if element_bytes > 1 else 5)
    if rows <= DECODE_ROWS:
        return Shape(rows=64, kv=64, warps=4, stages=3)
    return Shape(rows=128, kv=64, warps=8, stages=2)


def attended(query: Tensor, cache: PagedCache, batch: Batch, *, window: int | None = None, asm: bool = True) -> Tensor:
    """Return attention's output, (tokens, heads, head_dim), for queries of that shape, rotated, keys already cached.

    ``window``: how many last tokens a query sees; None: all. ``asm``: whether inline PTX may be used.
    """
    tokens, heads, head_dim = query.shape
    block_tokens, kv_heads = cache.keys.shape[1], cache.keys.shape[2]
    group = heads // kv_heads
    rows = batch.most_queries * group
    shape = shape_for(rows, cache.keys.element_size())
    splits = triton.cdiv(batch.most_context, SPLIT_TOKENS) if rows <= DECODE_ROWS else 1
    tiles = triton.cdiv(rows, shape.rows)
    block_d = triton.next_power_of_2(head_dim)
    out = torch.empty_like(query)
    part, logs = out, None
    if splits > 1:
        part = torch.empty((tokens, heads, splits, head_dim), dtype=torch.float32, device=query.device)
        logs = torch.empty((tokens, heads, splits), dtype=torch.float32, device=query.device)
    paged_attention[(batch.contexts.shape[0] * tiles, kv_heads, splits)](
        query,
        _words(cache.keys),
        _words(cache.values),
        cache.key_scale,
        cache.value_scale,
        part,
        logs,
        batch.table,
        batch.starts,
        batch.contexts,
        math.log2(math.e) / math.sqrt(head_dim),
        query.stride(0),
        batch.table.stride(0),
        SPLIT_TOKENS if splits > 1 else batch.most_context,
        window or 0,
        group=group,
        kv_heads=kv_heads,
        head_dim=head_dim,
        block_d=max(block_d, 2 * FEWEST_ROWS),
        block_tokens=block_tokens,
        block_rows=shape.rows,
        block_kv=shape.kv,
        tiles=tiles,
        bits=cache.keys.element_size() * 8,
        is_float8=cache.keys.dtype == torch.float8_e4m3fn,
        is_split=splits > 1,
        stages=shape.stages,
        asm=asm,
        num_warps=shape.warps,
    )
    if splits > 1:
        joined_ranges[(tokens * heads,)](part, logs, out, splits, head_dim=head_dim, block_d=block_d)
    return out


def _words(cached: Tensor) -> Tensor:
    """Return 8-bit values as words of two."""
    return cached if cached.element_size() > 1 else cached.view(torch.int16)
