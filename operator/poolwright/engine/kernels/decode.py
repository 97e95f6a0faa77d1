"""Stored words to the 16-bit floats or 8-bit integers that tensor cores take, in as few instructions as can be.

A value becomes the low bits of the mantissa of a float whose unit in the last place is 1, so that no conversion is
needed: bfloat16 0x4300 is 128, float16 0x6400 is 1024. What was added is subtracted again, exactly. Each function has a
form in inline PTX, two or four values to a register, and a plain one, which the interpreter can run; ``asm`` chooses.
"""

import triton
import triton.language as tl


@triton.constexpr_function
def _nibble_text(part, is_half):
    magic = "0x64006400" if is_half else "0x43004300"
    return f"{{ .reg .b32 t; shr.b32 t, $1, {4 * part}; lop3.b32 $0, t, 0x000F000F, {magic}, 0xEA; }}"


@triton.constexpr_function
def _signed_nibble_text(part):
    shifted = "{ .reg .b32 t; shl.b32 t, $1, 4; and.b32 $0, t, 0xF0F0F0F0; }"
    return "and.b32 $0, $1, 0xF0F0F0F0;" if part == 1 else shifted


@triton.constexpr_function
def _whole_byte_text(part, is_half):
    if is_half:
        return f"{{ .reg .b32 t; shr.b32 t, $1, {8 * part}; lop3.b32 $0, t, 0x00FF00FF, 0x64006400, 0xEA; }}"
    picked = f"prmt.b32 a, $1, 0x4B000000, {0x7540 + part}; prmt.b32 b, $1, 0x4B000000, {0x7542 + part}; "
    less = "sub.f32 a, a, 0f4B000080; sub.f32 b, b, 0f4B000080; "
    return f"{{ .reg .b32 a, b; {picked}{less}cvt.rn.bf16x2.f32 $0, b, a; }}"


@triton.constexpr_function
def _float8_text(part, is_half):
    up = "shl.b32 t, $1, 8;" if part == 0 else "mov.b32 t, $1;"
    move, mask = (1, "0x3F803F80") if is_half else (4, "0x07F007F0")
    join = f"and.b32 m, m, {mask}; and.b32 t, t, 0x80008000; or.b32 $0, t, m;"
    return f"{{ .reg .b32 t, m; {up} shr.b32 m, t, {move}; {join} }}"


@triton.jit
def _asm(words, text: tl.constexpr, is_half: tl.constexpr):
    """Return the floats that a piece of PTX makes of two words of int16."""
    if is_half:
        value = tl.inline_asm_elementwise(text, "=r,r", [words], dtype=tl.float16, is_pure=True, pack=2)
    else:
        value = tl.inline_asm_elementwise(text, "=r,r", [words], dtype=tl.bfloat16, is_pure=True, pack=2)
    return value


@triton.jit
def nibble(words, part: tl.constexpr, is_half: tl.constexpr, asm: tl.constexpr):
    """Return 128 + q, or 1024 + q in float16, for nibble ``part`` of words of int16."""
    dtype: tl.constexpr = tl.float16 if is_half else tl.bfloat16
    magic: tl.constexpr = 0x6400 if is_half else 0x4300
    if asm:
        wide = _asm(words, _nibble_text(part, is_half), is_half)
    else:
        wide = (((words >> (4 * part)) & 0xF) | magic).to(dtype, bitcast=True)
    return wide


@triton.jit
def signed_nibble(words, part: tl.constexpr, asm: tl.constexpr):
    """Return 16 * (q - 8) as int8 for nibble ``part`` of words of int8 that hold two's complement."""
    if asm:
        text: tl.constexpr = _signed_nibble_text(part)
        value = tl.inline_asm_elementwise(text, "=r,r", [words], dtype=tl.int8, is_pure=True, pack=4)
    elif part == 1:
        value = (words & -16).to(tl.int8)
    else:
        value = (words << 4).to(tl.int8)
    return value


@triton.jit
def whole_byte(words, part: tl.constexpr, is_half: tl.constexpr, asm: tl.constexpr):
    """Return q of -128 to 127 exactly, as float16 or bfloat16, for byte ``part`` of words of int16 that hold q + 128.

    A bfloat16 has too short a mantissa for the trick: the sum is made in float32, where 0x4B000000 is 2**23.
    """
    dtype: tl.constexpr = tl.float16 if is_half else tl.bfloat16
    if not asm:
        value = (((words >> (8 * part)) & 0xFF).to(tl.float32) - 128.0).to(dtype)
    elif is_half:
        value = _asm(words, _whole_byte_text(part, is_half), is_half) - 1152.0
    else:
        value = _asm(words, _whole_byte_text(part, is_half), is_half)
    return value


@triton.constexpr_function
def _signed_byte_text(part):
    return f"{{ .reg .b32 t; shr.b32 t, $1, {8 * part}; lop3.b32 $0, t, 0x00FF00FF, 0x64806480, 0x6A; }}"


@triton.jit
def signed_byte(words, part: tl.constexpr, asm: tl.constexpr):
    """Return int8 exactly as float16 for byte ``part`` of words of int16 that hold two's complement."""
    if asm:
        wide = _asm(words, _signed_byte_text(part), True)
    else:
        wide = (((words >> (8 * part)) & 0xFF) ^ 0x6480).to(tl.float16, bitcast=True)
    return wide - 1152.0


@triton.jit
def float8_bits(words, part: tl.constexpr, is_half: tl.constexpr, asm: tl.constexpr):
    """Return float8_e4m3fn for byte ``part`` of words of int16, times 2**-8 as float16 or 2**-120 as bfloat16.

    Sign, exponent and mantissa move to their places; the difference of the exponents' biases is the factor, which makes
    subnormal values right too. Needs no float8 hardware. Not a number becomes 480.
    """
    dtype: tl.constexpr = tl.float16 if is_half else tl.bfloat16
    if asm:
        moved = _asm(words, _float8_text(part, is_half), is_half)
    else:
        byte = (words >> (8 * part)) & 0xFF
        up: tl.constexpr = 7 if is_half else 4
        bits = ((byte & 0x80) << 8) | ((byte & 0x7F) << up)
        moved = bits.to(tl.int16).to(dtype, bitcast=True)
    return moved


@triton.jit
def float8(words, part: tl.constexpr, is_half: tl.constexpr, asm: tl.constexpr):
    """Return float8_e4m3fn exactly as float16 or bfloat16 for byte ``part`` of words of int16."""
    factor: tl.constexpr = 256.0 if is_half else 1329227995784915872903807060280344576.0
    moved = float8_bits(words, part, is_half, asm)
    return (moved * factor).to(moved.dtype)
