"""Row-wise steps of a layer, each one pass over memory: norm with residual, gate, rotation with the write to cache."""

import triton
import triton.language as tl

from poolwright.engine.kernels.quantise import float8_of, rounded


@triton.jit
def rms_norm(
    x_ptr,
    residual_ptr,
    weight_ptr,
    out_ptr,
    width,
    x_stride,
    epsilon,
    has_residual: tl.constexpr,
    block: tl.constexpr,
):
    """Write x / sqrt(mean(x^2) + epsilon) * weight; with a residual, x is first added to it, and it keeps the sum."""
    row = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, block)
    inside = places < width
    x = tl.load(x_ptr + row * x_stride + places, mask=inside, other=0.0)
    if has_residual:
        x += tl.load(residual_ptr + row * width + places, mask=inside, other=0.0)
        tl.store(residual_ptr + row * width + places, x, mask=inside)
    wide = x.to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(wide * wide, 0) / width + epsilon)
    normed = (wide * scale).to(x.dtype)
    weight = tl.load(weight_ptr + places, mask=inside, other=0.0)
    tl.store(out_ptr + row * width + places, normed * weight, mask=inside)


@triton.jit
def silu_mul(gate_up_ptr, out_ptr, width, block: tl.constexpr):
    """Write silu(gate) * up for rows of gate and up side by side; grid (rows, blocks)."""
    row = tl.program_id(0).to(tl.int64)
    places = tl.program_id(1) * block + tl.arange(0, block)
    inside = places < width
    gate = tl.load(gate_up_ptr + row * 2 * width + places, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up_ptr + row * 2 * width + width + places, mask=inside, other=0.0).to(tl.float32)
    small = tl.exp(-tl.abs(gate))  # never overflows
    sigmoid = tl.where(gate >= 0, 1.0, small) / (1.0 + small)
    tl.store(out_ptr + row * width + places, (gate * sigmoid * up).to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _head_normed(first, second, weight_ptr, places, inside, epsilon, head_dim: tl.constexpr):
    """Return the two halves of a head after an RMS norm of its own."""
    scale = 1.0 / tl.sqrt(tl.sum(first * first + second * second, 0) / head_dim + epsilon)
    weight = tl.load(weight_ptr + places, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(weight_ptr + head_dim // 2 + places, mask=inside, other=0.0).to(tl.float32)
    return first * scale * weight, second * scale * other


@triton.jit
def _rotated(first, second, cosine, sine):
    return first * cosine - second * sine, second * cosine + first * sine


@triton.jit
def _cached(cache_ptr, scale_ptr, slot, first, second, places, inside, head_dim: tl.constexpr, kind: tl.constexpr):
    """Write one head of one token, given as its two halves, with its scale for 8 bits."""
    at = cache_ptr + slot * head_dim + places
    if kind == "wide":
        tl.store(at, first.to(cache_ptr.dtype.element_ty), mask=inside)
        tl.store(at + head_dim // 2, second.to(cache_ptr.dtype.element_ty), mask=inside)
    else:
        most = tl.max(tl.maximum(tl.abs(first), tl.abs(second)), 0)
        scale = tl.where(most > 0, most, 1.0) / (448.0 if kind == "float8" else 127.0)
        tl.store(scale_ptr + slot, scale)
        first, second = first / scale, second / scale
        if kind == "int8":
            tl.store(at, rounded(first).to(tl.int8), mask=inside)
            tl.store(at + head_dim // 2, rounded(second).to(tl.int8), mask=inside)
        else:
            tl.store(at, float8_of(first), mask=inside)
            tl.store(at + head_dim // 2, float8_of(second), mask=inside)


@triton.jit
def rotate_and_cache(
    qkv_ptr,
    query_ptr,
    key_cache_ptr,
    value_cache_ptr,
    key_scale_ptr,
    value_scale_ptr,
    cosine_ptr,
    sine_ptr,
    position_ptr,
    slot_ptr,
    query_norm_ptr,
    key_norm_ptr,
    qkv_stride,
    epsilon,
    has_norm: tl.constexpr,
    heads: tl.constexpr,
    kv_heads: tl.constexpr,
    head_dim: tl.constexpr,
    half: tl.constexpr,
    kind: tl.constexpr,
):
    """Turn queries and keys by their positions; write queries out, keys and values to their slots of the cache.

    Grid (tokens, heads + 2 * kv_heads). ``qkv``: (tokens, heads + 2 * kv_heads, head_dim); cosine and sine
    (positions, head_dim / 2) in float32; a slot below 0 is padding and is not written. ``kind``: wide, int8, float8.
    Where there are norms, (head_dim), each head of queries and keys is normed first.
    """
    token = tl.program_id(0)
    head = tl.program_id(1)
    places = tl.arange(0, half)
    inside = places < head_dim // 2
    at = qkv_ptr + token.to(tl.int64) * qkv_stride + head * head_dim + places
    first = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(at + head_dim // 2, mask=inside, other=0.0).to(tl.float32)
    slot = tl.load(slot_ptr + token).to(tl.int64)
    if has_norm:
        if head < heads:
            first, second = _head_normed(first, second, query_norm_ptr, places, inside, epsilon, head_dim)
        elif head < heads + kv_heads:
            first, second = _head_normed(first, second, key_norm_ptr, places, inside, epsilon, head_dim)
    if head < heads + kv_heads:
        angle = tl.load(position_ptr + token).to(tl.int64) * (head_dim // 2) + places
        cosine = tl.load(cosine_ptr + angle, mask=inside, other=0.0)
        sine = tl.load(sine_ptr + angle, mask=inside, other=0.0)
        first, second = _rotated(first, second, cosine, sine)
    if head < heads:
        out = query_ptr + (token.to(tl.int64) * heads + head) * head_dim + places
        tl.store(out, first.to(query_ptr.dtype.element_ty), mask=inside)
        tl.store(out + head_dim // 2, second.to(query_ptr.dtype.element_ty), mask=inside)
    elif slot >= 0:
        if head < heads + kv_heads:
            place = slot * kv_heads + head - heads
            _cached(key_cache_ptr, key_scale_ptr, place, first, second, places, inside, head_dim, kind)
        else:
            place = slot * kv_heads + head - heads - kv_heads
            _cached(value_cache_ptr, value_scale_ptr, place, first, second, places, inside, head_dim, kind)
