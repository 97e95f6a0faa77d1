"""The memory behind block ids: keys and values of each layer, and how many blocks a budget pays for.

Which block belongs to whom is decided by ``blocks``; this file only writes and reads.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from poolwright.engine.model.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class KvCache:
    """Keys and values of all layers, each of shape (blocks, block_tokens, kv_heads, head_dim)."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def block_tokens(self) -> int:
        """Tokens that one block holds."""
        return int(self.keys[0].shape[1])

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(self.keys[0].shape[0])


def kv_cache(
    config: ModelConfig, blocks: int, block_tokens: int, dtype: torch.dtype, device: torch.device, *, kv_heads: int
) -> KvCache:
    """Return an empty cache; zeros, because what was never written is multiplied with a weight of zero."""
    shape = (blocks, block_tokens, kv_heads, config.head_dim)

    def made() -> tuple[Tensor, ...]:
        return tuple(torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.layers))

    return KvCache(keys=made(), values=made())


def bytes_per_token(config: ModelConfig, dtype: torch.dtype) -> int:
    """Return what the cache of one token takes over all layers, keys and values [bytes]."""
    return int(2 * config.layers * config.kv_heads * config.head_dim * dtype.itemsize)


def affordable_blocks(config: ModelConfig, budget_bytes: float, block_tokens: int, dtype: torch.dtype) -> int:
    """Return how many blocks a budget pays for.

    Raises
    ------
    ValueError
        Not even one.
    """
    block_bytes = bytes_per_token(config, dtype) * block_tokens
    blocks = int(budget_bytes // block_bytes)
    if blocks < 1:
        raise ValueError(f"a KV cache of {budget_bytes:.0f} bytes holds no block of {block_bytes} bytes")
    return blocks


def write(cache: Tensor, slots: Tensor, new: Tensor) -> None:
    """Put one layer's new keys or values, (tokens, kv_heads, head_dim), where they belong.

    ``slots`` has the place of each token: block id times ``block_tokens``, plus the place within the block.
    """
    cache.view(-1, *cache.shape[2:]).index_copy_(0, slots, new)
