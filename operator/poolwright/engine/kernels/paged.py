"""Attention over paged keys and values: one kernel for prompts, chunks, single tokens and drafts.

A program owns some queries of a sequence, all query heads of one KV head side by side, and a range of the context, so
that keys and values are read once for a whole group of heads. Where the context is cut (flash-decoding), each range
leaves its sum and its logarithm of weights, and a second kernel joins ranges in order. Ranges have a fixed length: what
a sequence's result is does not depend on the batch. Keys and values of 8 bits have a scale for each token and head,
which multiplies logits and weights, never the values themselves; they are read as words of two, so that words reach
the tensor cores' registers as 16-bit values do, and each byte of a word makes a product of its own.
"""

import triton
import triton.language as tl

from poolwright.engine.kernels.decode import float8_bits, signed_byte


@triton.jit
def _half(words, part: tl.constexpr, is_float8: tl.constexpr, asm: tl.constexpr):
    """Return byte ``part`` of cached words in float16, float8 as 2**-8 of its value."""
    if is_float8:
        values = float8_bits(words, part, True, asm)
    else:
        values = signed_byte(words, part, asm)
    return values


@triton.jit
def _logits(query, other, key_ptr, at, inside, is_wide: tl.constexpr, is_float8: tl.constexpr, asm: tl.constexpr):
    """Return products of queries and keys, (rows, block_kv); ``other`` is the second half of queries for 8 bits."""
    key = tl.load(key_ptr + at, mask=inside, other=0)  # (block_kv, values or words of a head)
    if is_wide:
        logits = tl.dot(query, tl.trans(key))
    else:
        logits = tl.dot(query, tl.trans(_half(key, 0, is_float8, asm)))
        logits = tl.dot(other, tl.trans(_half(key, 1, is_float8, asm)), logits)
    return logits


@triton.jit
def _store(out_ptr, result, token_slot, places, has_row, head_dim: tl.constexpr):
    at = out_ptr + token_slot[:, None].to(tl.int64) * head_dim + places[None, :]
    mask = has_row[:, None] & (places < head_dim)[None, :]
    tl.store(at, result.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def paged_attention(
    query_ptr,
    key_ptr,
    value_ptr,
    key_scale_ptr,
    value_scale_ptr,
    out_ptr,
    log_ptr,
    table_ptr,
    start_ptr,
    context_ptr,
    logit_scale,
    query_stride,
    table_stride,
    split_tokens,
    window,
    group: tl.constexpr,
    kv_heads: tl.constexpr,
    head_dim: tl.constexpr,
    block_d: tl.constexpr,
    block_tokens: tl.constexpr,
    block_rows: tl.constexpr,
    block_kv: tl.constexpr,
    tiles: tl.constexpr,
    bits: tl.constexpr,
    is_float8: tl.constexpr,
    is_split: tl.constexpr,
    stages: tl.constexpr,
    asm: tl.constexpr,
):
    """Attend rows (query, head of the group) over a range of the context; grid (sequences * tiles, kv_heads, splits).

    ``query`` (tokens, kv_heads * group, head_dim); keys and values (blocks, block_tokens, kv_heads, head_dim), of 8
    bits as int16 of two values, scales without the last; ``table`` (sequences, blocks); ``start`` the first token of
    each sequence, and the end of the last; ``context`` tokens of each sequence, its queries included; ``logit_scale``
    already times log2(e).
    """
    sequence = tl.program_id(0) // tiles
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    first = tl.load(start_ptr + sequence)
    queries = tl.load(start_ptr + sequence + 1) - first
    context = tl.load(context_ptr + sequence)
    row = (tl.program_id(0) % tiles) * block_rows + tl.arange(0, block_rows)
    index = row // group
    head = kv_head * group + row % group
    token = first + index
    is_wide: tl.constexpr = bits == 16
    per_word: tl.constexpr = 16 // bits
    words = tl.arange(0, block_d // per_word)
    has_row = index < queries
    in_head = words < head_dim // per_word
    low_index = (tl.program_id(0) % tiles) * block_rows // group
    high_index = tl.minimum(((tl.program_id(0) % tiles) * block_rows + block_rows - 1) // group, queries - 1)
    if low_index >= queries:
        return
    low = split * split_tokens
    if window > 0:
        low = tl.maximum(low, (context - queries + low_index - window + 1) // block_kv * block_kv)
    high = tl.minimum(split * split_tokens + split_tokens, context - queries + high_index + 1)
    position = context - queries + index  # of each row
    query_at = query_ptr + token[:, None].to(tl.int64) * query_stride + head[:, None] * head_dim
    has_query = has_row[:, None] & in_head[None, :]
    query = tl.load(query_at + words[None, :] * per_word, mask=has_query, other=0.0)  # (rows, words)
    other = query
    if not is_wide:
        other = tl.load(query_at + words[None, :] * 2 + 1, mask=has_query, other=0.0).to(tl.float16)
        query = query.to(tl.float16)  # holds int8 and float8 exactly
        if is_float8:
            logit_scale = logit_scale * 256.0
    most = tl.full((block_rows,), -1e30, tl.float32)
    weight_sum = tl.zeros((block_rows,), tl.float32)
    total = tl.zeros((block_rows, block_d // per_word), tl.float32)
    total_other = tl.zeros((block_rows, block_d // per_word), tl.float32)
    for at in tl.range(low, high, block_kv, num_stages=stages):
        kv = at + tl.arange(0, block_kv)
        page = tl.load(table_ptr + sequence * table_stride + kv // block_tokens, mask=kv < high, other=0)
        place = (page.to(tl.int64) * block_tokens + kv % block_tokens) * kv_heads + kv_head
        inside = (kv < high)[:, None] & in_head[None, :]
        word_at = place[:, None] * (head_dim // per_word) + words[None, :]
        logits = _logits(query, other, key_ptr, word_at, inside, is_wide, is_float8, asm)  # (rows, block_kv)
        if not is_wide:
            logits *= tl.load(key_scale_ptr + place, mask=kv < high, other=0.0)[None, :]
        sees = (kv[None, :] <= position[:, None]) & (kv < high)[None, :]
        if window > 0:
            sees = sees & (kv[None, :] > position[:, None] - window)
        logits = tl.where(sees, logits * logit_scale, -1e30)
        higher = tl.maximum(most, tl.max(logits, 1))
        shrink = tl.exp2(most - higher)
        weight = tl.where(sees, tl.exp2(logits - higher[:, None]), 0.0)
        weight_sum = weight_sum * shrink + tl.sum(weight, 1)
        value = tl.load(value_ptr + word_at, mask=inside, other=0)  # (block_kv, words)
        if is_wide:
            total = tl.dot(weight.to(query.dtype), value, total * shrink[:, None])
        else:
            weight *= tl.load(value_scale_ptr + place, mask=kv < high, other=0.0)[None, :] * 2048.0
            narrow = weight.to(tl.float16)  # scaled up by 2**11, where float16 keeps all its digits
            total = tl.dot(narrow, _half(value, 0, is_float8, asm), total * shrink[:, None])
            total_other = tl.dot(narrow, _half(value, 1, is_float8, asm), total_other * shrink[:, None])
        most = higher
    unit: tl.constexpr = 1.0 if is_wide else (2048.0 / 256.0 if is_float8 else 2048.0)
    share = 1.0 / (tl.where(weight_sum > 0, weight_sum, 1.0) * unit)
    slot = token * (kv_heads * group) + head
    if is_split:
        slot = slot * tl.num_programs(2) + split
        has_seen = weight_sum > 0
        log = most + tl.log2(tl.where(has_seen, weight_sum, 1.0))
        tl.store(log_ptr + slot, tl.where(has_seen, log, -1e30), mask=has_row)
    _store(out_ptr, total * share[:, None], slot, words * per_word, has_row, head_dim)
    if not is_wide:
        _store(out_ptr, total_other * share[:, None], slot, words * 2 + 1, has_row, head_dim)


@triton.jit
def joined_ranges(
    part_ptr,
    log_ptr,
    out_ptr,
    splits,
    head_dim: tl.constexpr,
    block_d: tl.constexpr,
):
    """Join what the ranges of a context gave to one query of one head, in their order; grid (tokens * heads)."""
    slot = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, block_d)
    in_head = places < head_dim
    most = tl.full((), -1e30, tl.float32)
    weight_sum = tl.zeros((), tl.float32)
    total = tl.zeros((block_d,), tl.float32)
    for split in range(splits):
        log = tl.load(log_ptr + slot * splits + split)
        part = tl.load(part_ptr + (slot * splits + split) * head_dim + places, mask=in_head, other=0.0)
        higher = tl.maximum(most, log)
        shrink = tl.exp2(most - higher)
        weight = tl.where(log > -1e29, tl.exp2(log - higher), 0.0)
        total = total * shrink + tl.where(log > -1e29, part, 0.0) * weight
        weight_sum = weight_sum * shrink + weight
        most = higher
    tl.store(out_ptr + slot * head_dim + places, (total / weight_sum).to(out_ptr.dtype.element_ty), mask=in_head)
