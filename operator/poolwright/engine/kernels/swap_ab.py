"""One kernel for all quantised matrix products: it computes Y^T = W X^T, so that weights are the tall operand.

Few tokens then fill the short side of the tensor cores' tile, and weights that were widened stay in registers. A
program owns a tile of outputs for a tile of tokens and a part of the inputs (split-K). Where inputs are split, the last
program of a tile to finish adds all parts in their order, so that equal inputs give equal bytes. Routed products read
their rows of X, and their expert's W, through lists.
"""

import triton
import triton.language as tl

from poolwright.engine.kernels.decode import float8, nibble, signed_nibble, whole_byte


@triton.jit
def _widened(words, part: tl.constexpr, kind: tl.constexpr, is_half: tl.constexpr, asm: tl.constexpr):
    """Return one part of a span's weights as the tensor cores take them."""
    if kind == "w4a16":
        weight = nibble(words, part, is_half, asm)
    elif kind == "w8a16_int8":
        weight = whole_byte(words, part, is_half, asm)
    elif kind == "w8a16_fp8":
        weight = float8(words, part, is_half, asm)
    elif kind == "w4a8_int8":
        weight = signed_nibble(words, part, asm)
    else:
        weight = words
    return weight


@triton.jit
def _scale(meta, scale_type: tl.constexpr):
    """Return scales in float32 from a group's words: float32, or int32 with 16 bits of scale above the zero."""
    if scale_type == "fp16":
        scale = (meta >> 16).to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)
    elif scale_type == "bf16":
        scale = (meta & -65536).to(tl.float32, bitcast=True)
    else:
        scale = meta
    return scale


@triton.jit
def _offset(meta, is_half: tl.constexpr, scale_type: tl.constexpr):
    """Return what widening added to 4-bit weights plus their zero, (rows, 1): whole numbers, exact in 16 bits."""
    added: tl.constexpr = 1024 if is_half else 128
    dtype: tl.constexpr = tl.float16 if is_half else tl.bfloat16
    if scale_type == "fp32":
        offset = tl.full((1, 1), added + 8, dtype)
    else:
        offset = ((meta & 0xFF) + added).to(dtype)[:, None]
    return offset


@triton.jit
def _product(
    x_ptr,
    words_ptr,
    scale_ptr,
    sums_ptr,
    x_rows,
    x_mask,
    rows,
    first_span,
    last_span,
    inputs,
    padded,
    x_stride,
    sums_stride,
    kind: tl.constexpr,
    group_size: tl.constexpr,
    scale_type: tl.constexpr,
    is_ragged: tl.constexpr,
    parts: tl.constexpr,
    stages: tl.constexpr,
    asm: tl.constexpr,
):
    """Return W X^T over some spans, (outputs, tokens) in float32, with the scales of groups but not those of rows."""
    is_half: tl.constexpr = x_ptr.dtype.element_ty == tl.float16
    has_zero: tl.constexpr = scale_type != "fp32"
    sum_type: tl.constexpr = tl.int32 if (kind == "w8a8_int8" or kind == "w4a8_int8") else tl.float32
    runs_on: tl.constexpr = group_size == 0 and kind != "w8a8_fp8" and not has_zero
    unit: tl.constexpr = group_size if 0 < group_size < 128 else 128
    part_k: tl.constexpr = 128 // parts
    places = tl.arange(0, part_k)
    total = tl.zeros((rows.shape[0], x_rows.shape[0]), sum_type if runs_on else tl.float32)
    word_at = words_ptr + first_span.to(tl.int64) * padded * part_k + rows[:, None] * part_k + places[None, :]
    x_at = x_ptr + x_rows[None, :].to(tl.int64) * x_stride + places[:, None]
    for span in tl.range(first_span, last_span, num_stages=stages):
        words = tl.load(word_at)  # (outputs, words)
        for start in tl.static_range(0, 128, part_k):
            at = rows if group_size == 0 else (span * 128 + start) // group_size * padded + rows
            if start % unit == 0:
                part_sum = tl.zeros((rows.shape[0], x_rows.shape[0]), sum_type)
                meta = tl.load(scale_ptr + at)  # early, and 4 bytes each: only so is it pipelined
            weight = _widened(words, start // part_k, kind, is_half, asm)  # (outputs, part_k)
            if kind == "w4a16":
                weight = weight - _offset(meta, is_half, scale_type)
            inside = x_mask[None, :]
            if is_ragged:
                inside = inside & (span * 128 + start + places[:, None] < inputs)
            x = tl.load(x_at + span * 128 + start, mask=inside, other=0.0)  # (part_k, tokens)
            if runs_on:
                total = tl.dot(weight, x, total, out_dtype=sum_type)
            else:
                part_sum = tl.dot(weight, x, part_sum, out_dtype=sum_type)
            if (start + part_k) % unit == 0 and not runs_on:
                wide = part_sum.to(tl.float32)
                if kind == "w4a8_int8" and has_zero:
                    shift = ((meta & 0xFF) - 8).to(tl.float32) * 16.0
                    sums = tl.load(sums_ptr + x_rows * sums_stride + (span * 128 + start) // unit, mask=x_mask, other=0)
                    wide -= shift[:, None] * sums.to(tl.float32)[None, :]
                if group_size == 0:
                    total += wide
                else:
                    total += wide * _scale(meta, scale_type)[:, None]
        word_at += padded * part_k
    return total.to(tl.float32)


@triton.jit
def _all_parts(total, partial_ptr, counter_ptr, tile, split, splits: tl.constexpr):
    """Store a part of a tile; return the sum of all parts in order, and whether this program was the last."""
    block_n: tl.constexpr = total.shape[0]
    block_m: tl.constexpr = total.shape[1]
    places = tl.arange(0, block_n)[:, None] * block_m + tl.arange(0, block_m)[None, :]
    tile_ptr = partial_ptr + tile.to(tl.int64) * (splits * block_n * block_m)
    tl.store(tile_ptr + split * (block_n * block_m) + places, total)
    tl.debug_barrier()  # every thread's part is written before the count says so
    is_last = tl.atomic_add(counter_ptr + tile, 1, sem="acq_rel", scope="gpu") == splits - 1
    result = tl.zeros((block_n, block_m), tl.float32)
    if is_last:
        for index in range(splits):
            result += tl.load(tile_ptr + index * (block_n * block_m) + places, cache_modifier=".cg")
        tl.store(counter_ptr + tile, 0)  # ready for the next launch
    return result, is_last


@triton.jit
def quantised_product(
    x_ptr,
    words_ptr,
    scale_ptr,
    x_scale_ptr,
    sums_ptr,
    bias_ptr,
    out_ptr,
    partial_ptr,
    counter_ptr,
    slot_ptr,
    expert_ptr,
    tokens,
    outputs,
    inputs,
    padded,
    spans,
    groups,
    x_stride,
    sums_stride,
    kind: tl.constexpr,
    parts: tl.constexpr,
    group_size: tl.constexpr,
    scale_type: tl.constexpr,
    has_bias: tl.constexpr,
    is_ragged: tl.constexpr,
    choices: tl.constexpr,
    block_n: tl.constexpr,
    block_m: tl.constexpr,
    splits: tl.constexpr,
    stages: tl.constexpr,
    asm: tl.constexpr,
):
    """Compute out[t, n] = x_scale[t] * sum over k of x[t, k] w[n, k] + bias[n]; grid (tiles of t, tiles of n, splits).

    ``choices`` is 0 for a plain product. Otherwise ``slot_ptr`` lists, tile by tile, slots t * choices + c of tokens
    that chose the tile's expert, padded with ``tokens * choices``, and ``out`` has a row for each slot; a tile whose
    expert is -1 has nothing to do.
    """
    tile_m = tl.program_id(0)
    tile_n = tl.program_id(1)
    split = tl.program_id(2)
    slots = tile_m * block_m + tl.arange(0, block_m)
    rows = tile_n * block_n + tl.arange(0, block_n)
    x_rows = slots
    x_mask = slots < tokens
    if choices > 0:
        expert = tl.load(expert_ptr + tile_m).to(tl.int64)
        if expert < 0:
            return
        slots = tl.load(slot_ptr + slots)
        x_mask = slots < tokens * choices
        x_rows = slots // choices
        words_ptr += expert * spans * padded * (128 // parts)
        scale_ptr += expert * groups * padded
        if has_bias:
            bias_ptr += expert * outputs
    each = tl.cdiv(spans, splits)
    total = _product(
        x_ptr,
        words_ptr,
        scale_ptr,
        sums_ptr,
        x_rows,
        x_mask,
        rows,
        split * each,
        tl.minimum(split * each + each, spans),
        inputs,
        padded,
        x_stride,
        sums_stride,
        kind,
        group_size,
        scale_type,
        is_ragged,
        parts,
        stages,
        asm,
    )
    writes = True
    if splits > 1:
        total, writes = _all_parts(total, partial_ptr, counter_ptr, tile_m * tl.num_programs(1) + tile_n, split, splits)
    if writes:
        inside = rows < outputs
        if group_size == 0:
            total *= _scale(tl.load(scale_ptr + rows), scale_type)[:, None]
        if kind == "w4a8_int8":
            total *= 0.0625  # the nibbles were multiplied with 16
        if kind == "w8a8_int8" or kind == "w8a8_fp8" or kind == "w4a8_int8":
            total *= tl.load(x_scale_ptr + x_rows, mask=x_mask, other=0.0)[None, :]
        if has_bias:
            total += tl.load(bias_ptr + rows, mask=inside, other=0.0).to(tl.float32)[:, None]
        out_at = out_ptr + slots[None, :].to(tl.int64) * outputs + rows[:, None]
        tl.store(out_at, total.to(out_ptr.dtype.element_ty), mask=x_mask[None, :] & inside[:, None])
