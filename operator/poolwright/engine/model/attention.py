"""Attention of a step's queries over paged keys and values, several query heads to one KV head.

A group of sequences gathers its pages and masks what a query must not see. Where each has one token, the query heads of
one KV head are laid side by side as if they were more queries, so keys and values are read once for all of them.
"""

import torch
from torch import Tensor
from torch.nn import functional

from poolwright.engine.model.step import AttentionGroup, Step


def attended(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, step: Step, window: int | None
) -> Tensor:
    """Return the attention's output for each token of a step.

    Parameters
    ----------
    query
        (tokens, heads, head_dim), rotated.
    key, value
        (tokens, kv_heads, head_dim) of this step, already written to the cache.
    keys, values
        One layer's cache, (blocks, block_tokens, kv_heads, head_dim).
    step
        Who attends to what.
    window
        How many last tokens are seen; None: all.

    Returns
    -------
    Tensor
        (tokens, heads, head_dim).
    """
    if len(step.groups) == 1 and not step.groups[0].is_fresh:
        return _over_pages(query, keys, values, step.groups[0], window)
    output = torch.empty_like(query)
    for group in step.groups:
        mine = query[group.tokens]
        if group.is_fresh and (window is None or group.queries <= window):
            part = _fresh(mine, key[group.tokens], value[group.tokens])
        else:
            part = _over_pages(mine, keys, values, group, window)
        output[group.tokens] = part
    return output


def _fresh(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return causal attention of one whole prompt over itself."""
    output = functional.scaled_dot_product_attention(
        query.transpose(0, 1)[None],  # (1, heads, tokens, head_dim)
        key.transpose(0, 1)[None],
        value.transpose(0, 1)[None],
        is_causal=True,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return output[0].transpose(0, 1)  # (tokens, heads, head_dim)


def _over_pages(query: Tensor, keys: Tensor, values: Tensor, group: AttentionGroup, window: int | None) -> Tensor:
    """Return attention of a group's queries over their sequences' pages."""
    sequences, queries = group.blocks.shape[0], group.queries
    paged_keys = keys[group.blocks].flatten(1, 2).transpose(1, 2)  # (sequences, kv_heads, places, head_dim)
    paged_values = values[group.blocks].flatten(1, 2).transpose(1, 2)
    mask = group.masks[window]
    heads, kv_heads, head_dim = query.shape[1], keys.shape[2], keys.shape[3]
    if queries == 1:
        side_by_side = query.view(sequences, kv_heads, heads // kv_heads, head_dim)
        output = functional.scaled_dot_product_attention(side_by_side, paged_keys, paged_values, attn_mask=mask)
        return output.reshape(sequences, heads, head_dim)
    output = functional.scaled_dot_product_attention(
        query.view(sequences, queries, heads, head_dim).transpose(1, 2),  # (sequences, heads, queries, head_dim)
        paged_keys,
        paged_values,
        attn_mask=mask,
        enable_gqa=heads != kv_heads,
    )
    return output.transpose(1, 2).reshape(sequences * queries, heads, head_dim)  # (tokens, heads, head_dim)
