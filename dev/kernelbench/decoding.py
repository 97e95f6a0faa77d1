"""Decode attention over a long context: bytes a second over those of a copy, and PyTorch's attention beside it."""

from typing import Any, Final

import torch
from torch.nn import functional

from kernelbench.timing import replay_s
from poolwright.engine.kernels.attention import Batch, PagedCache, attended

CONTEXT: Final = 8192
SEQUENCES: Final = 16
KV_HEADS: Final = 8
GROUP: Final = 4
HEAD_DIM: Final = 128
BLOCK_TOKENS: Final = 16
ALLOWED: Final = 0.01
"""Largest error over the largest result: weights and results are rounded to bfloat16."""


def decoding(copy_bytes_per_s: float) -> list[dict[str, Any]]:
    """Return a line for each type of cache."""
    return [_line(dtype, copy_bytes_per_s) for dtype in (torch.bfloat16, torch.int8, torch.float8_e4m3fn)]


def _cache(dtype: torch.dtype) -> PagedCache:
    shape = SEQUENCES * CONTEXT // BLOCK_TOKENS, BLOCK_TOKENS, KV_HEADS, HEAD_DIM
    wide = [torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(2)]
    if dtype == torch.bfloat16:
        return PagedCache(keys=wide[0], values=wide[1])
    most = 127 if dtype == torch.int8 else 448
    scales = [x.float().abs().amax(-1) / most for x in wide]
    scaled = [x.float() / scale[..., None] for x, scale in zip(wide, scales, strict=True)]
    narrow = [(x.round() if dtype == torch.int8 else x).to(dtype) for x in scaled]
    return PagedCache(keys=narrow[0], values=narrow[1], key_scale=scales[0], value_scale=scales[1])


def _line(dtype: torch.dtype, copy_bytes_per_s: float) -> dict[str, Any]:
    cache = _cache(dtype)
    blocks = CONTEXT // BLOCK_TOKENS
    table = torch.randperm(SEQUENCES * blocks, device="cuda").to(torch.int32).view(SEQUENCES, blocks)
    batch = Batch(
        starts=torch.arange(SEQUENCES + 1, dtype=torch.int32, device="cuda"),
        contexts=torch.full((SEQUENCES,), CONTEXT, dtype=torch.int32, device="cuda"),
        table=table,
        most_queries=1,
        most_context=CONTEXT,
    )
    query = torch.randn(SEQUENCES, KV_HEADS * GROUP, HEAD_DIM, device="cuda", dtype=torch.bfloat16)
    key, value = (x[table.long()].flatten(1, 2).transpose(1, 2) for x in _wide(cache))
    exact = functional.scaled_dot_product_attention(
        query[:1, :, None].double(), key[:1].double(), value[:1].double(), enable_gqa=True
    )[0, :, 0]
    error = float((attended(query, cache, batch)[0].double() - exact).abs().max() / exact.abs().max())
    time_s = replay_s([lambda: attended(query, cache, batch)])
    narrow = [x.to(torch.bfloat16).contiguous() for x in (key, value)]
    peer_s = replay_s(
        [lambda: functional.scaled_dot_product_attention(query[:, :, None], narrow[0], narrow[1], enable_gqa=True)]
    )
    scales = 0 if cache.key_scale is None else 2 * cache.key_scale.nbytes
    share = (2 * cache.keys.nbytes + scales) / time_s / copy_bytes_per_s
    return {
        "cache": str(dtype).removeprefix("torch."),
        "time_us": time_s * 1e6,
        "sdpa_bf16_us": peer_s * 1e6,
        "copy_bandwidth_ratio": share,
        "error": error,
        "is_correct": error <= ALLOWED,
    }


def _wide(cache: PagedCache) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keys and values in float32."""
    keys, values = cache.keys.float(), cache.values.float()
    if cache.key_scale is None or cache.value_scale is None:
        return keys, values
    return keys * cache.key_scale[..., None], values * cache.value_scale[..., None]
