"""Sorts tokens by the expert that they chose, so that one launch of the product computes all experts."""

import torch
from torch import Tensor

from poolwright.engine.kernels.product import Routes


def routes(chosen: Tensor, experts: int, tile_tokens: int) -> Routes:
    """Return tiles of tokens, each of one expert; sizes depend on shapes alone, so a graph can be captured.

    Parameters
    ----------
    chosen
        (tokens, choices): expert of each choice, from 0.
    experts
        Number of experts.
    tile_tokens
        Tokens of a tile.

    Notes
    -----
    Every expert's slots begin a tile. At most ``min(experts, slots)`` experts leave a tile partly empty, which bounds
    the tiles.
    """
    tokens, choices = chosen.shape
    slots = tokens * choices
    device = chosen.device
    tiles = -(-slots // tile_tokens) + min(experts, slots)
    flat = chosen.reshape(-1).to(torch.int64)
    order = torch.argsort(flat, stable=True)  # (slots), by expert and then by token
    counts = torch.zeros(experts, dtype=torch.int64, device=device).scatter_add_(0, flat, torch.ones_like(flat))
    expert_tiles = (counts + tile_tokens - 1) // tile_tokens
    last_tile = expert_tiles.cumsum(0)
    first_slot = (last_tile - expert_tiles) * tile_tokens - (counts.cumsum(0) - counts)  # shift of each expert's slots
    sorted_experts = flat[order]
    places = torch.arange(slots, device=device) + first_slot[sorted_experts]
    table = torch.full((tiles * tile_tokens,), slots, dtype=torch.int32, device=device)
    table[places] = order.to(torch.int32)
    tile = torch.arange(tiles, device=device)
    owner = torch.searchsorted(last_tile, tile, right=True)
    return Routes(
        slots=table,
        experts=torch.where(owner < experts, owner, -1).to(torch.int32),
        choices=choices,
        tile_tokens=tile_tokens,
    )
