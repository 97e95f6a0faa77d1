import pytest
import torch

from poolwright.engine.kernels.dispatch import TILES, splits_for, tile_for, uses_kernel
from poolwright.engine.kernels.packed import ROW_TILE, SPAN, Format, pack, stacked_experts


def values(kind: Format, outputs: int, inputs: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    if kind.bits == 4:
        return torch.randint(0, 16, (outputs, inputs), generator=draw)
    if kind.has_float8:
        return torch.randn(outputs, inputs, generator=draw).to(torch.float8_e4m3fn)
    return torch.randint(-128, 128, (outputs, inputs), generator=draw).to(torch.int8)


@pytest.mark.parametrize("kind", list(Format))
def test_what_was_packed_comes_back(kind: Format) -> None:
    plain = values(kind, 130, 200)
    weight = pack(plain, torch.ones(130, 1), kind=kind)
    assert torch.equal(plain.float(), weight.values().float())
    assert (2, 256) == (weight.spans, weight.padded_outputs)


def test_a_nibble_is_where_the_kernel_looks_for_it() -> None:
    # Input k of a span is part k // 32 of word k % 32: 1 at input 0, 2 at 32, 3 at 64, 4 at 96 make 0x4321.
    plain = torch.zeros(1, SPAN, dtype=torch.int32)
    plain[0, [0, 32, 64, 96]] = torch.tensor([1, 2, 3, 4], dtype=torch.int32)
    weight = pack(plain, torch.ones(1, 1), kind=Format.W4A16)
    assert 0x4321 == int(weight.words[0, 0, 0])
    assert 0 == int(weight.words[0, 0, 1:].abs().sum())


def test_a_scale_and_its_zero_share_a_word() -> None:
    zero = torch.tensor([[3.0, 16.0]])
    weight = pack(values(Format.W4A16, 1, 256), torch.tensor([[1.0, 0.5]]), zero, kind=Format.W4A16, group_size=128)
    # float16: 1.0 is 0x3C00, 0.5 is 0x3800.
    assert [0x3C000003, 0x38000010] == weight.scale[:, 0].tolist()
    assert "fp16" == weight.scale_type


def test_scales_of_bfloat16_stay_exact_where_float16_cannot_hold_them() -> None:
    scale = torch.tensor([[2.0**-30]])
    weight = pack(values(Format.W4A16, 1, 128), scale, torch.tensor([[7]]), kind=Format.W4A16, group_size=128)
    assert "bf16" == weight.scale_type
    expected = (weight.values().float() - 7) * 2.0**-30
    assert torch.equal(expected, weight.dequantised())


def test_zeros_that_are_all_8_need_no_memory() -> None:
    zero = torch.full((4, 2), 8.0)
    weight = pack(values(Format.W4A16, 4, 256), torch.ones(4, 2), zero, kind=Format.W4A16, group_size=128)
    assert "fp32" == weight.scale_type
    # 256 inputs are 2 spans of 32 words of 2 bytes; 2 scales of 4 bytes; all for 128 padded outputs.
    assert ROW_TILE * (2 * 64 + 2 * 4) == weight.bytes


@pytest.mark.parametrize(
    ("kind", "group_size", "zero", "message"),
    [
        (Format.W4A16, 48, None, "no kernel for groups of 48"),
        (Format.W4A8_INT8, 32, None, "no kernel for groups of 32"),
        (Format.W4A16, 128, 7.5, "whole numbers"),
        (Format.W4A16, 128, 17.0, "whole numbers"),
        (Format.W8A16_INT8, 128, 3.0, "no kernel for zeros"),
    ],
)
def test_what_kernels_cannot_read_is_refused(kind: Format, group_size: int, zero: float | None, message: str) -> None:
    groups = -(-256 // group_size)
    zeros = None if zero is None else torch.full((4, groups), zero)
    with pytest.raises(ValueError, match=message):
        pack(values(kind, 4, 256), torch.ones(4, groups), zeros, kind=kind, group_size=group_size)


def test_experts_of_different_scales_are_refused() -> None:
    plain = values(Format.W4A16, 4, 128)
    symmetric = pack(plain, torch.ones(4, 1), kind=Format.W4A16)
    with_zeros = pack(plain, torch.ones(4, 1), torch.zeros(4, 1), kind=Format.W4A16)
    with pytest.raises(ValueError, match="experts of one layer"):
        stacked_experts([symmetric, with_zeros])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_magic_numbers_of_widening_are_exact(dtype: torch.dtype) -> None:
    # What the interpreter cannot show for bfloat16: unit in the last place 1 from 128 (bfloat16) and 1024 (float16).
    magic, added = (0x4300, 128) if dtype == torch.bfloat16 else (0x6400, 1024)
    nibbles = torch.arange(16, dtype=torch.int16)
    wide = (nibbles | magic).view(dtype)
    assert torch.equal((nibbles + added).to(dtype), wide)
    assert torch.equal((nibbles - 16).to(dtype), wide - torch.tensor(added + 16).to(dtype))


@pytest.mark.parametrize(("dtype", "up", "factor"), [(torch.bfloat16, 4, 2.0**120), (torch.float16, 7, 2.0**8)])
def test_moved_bits_of_float8_are_its_value(dtype: torch.dtype, up: int, factor: float) -> None:
    byte = torch.tensor([b for b in range(256) if b & 0x7F != 0x7F], dtype=torch.int32)  # without not-a-number
    bits = ((byte & 0x80) << 8) | ((byte & 0x7F) << up)
    moved = bits.to(torch.int16).view(dtype) * torch.tensor(factor, dtype=dtype)
    assert torch.equal(byte.to(torch.uint8).view(torch.float8_e4m3fn).float(), moved.float())


def test_few_tokens_split_the_inputs_until_all_processors_have_work() -> None:
    tile = tile_for(Format.W4A16, 1)
    # 8192 outputs are 64 tiles of 128; 2 programs for each of 132 processors are 264: 64 * 8 parts.
    assert 8 == splits_for(tile, tokens=1, outputs=8192, spans=64)
    # 4 spans are not split further, however idle the processors are.
    assert 1 == splits_for(tile, tokens=1, outputs=128, spans=4)


@pytest.mark.parametrize("kind", list(Format))
def test_every_batch_has_a_tile_that_tensor_cores_take(kind: Format) -> None:
    for tokens in (1, 16, 17, 64, 4096):
        tile = tile_for(kind, tokens)
        assert tile.tokens >= 16
        assert ROW_TILE % tile.outputs == 0
    assert uses_kernel(kind, 1)
    assert not uses_kernel(kind, 100_000)
    assert all(rows == tuple(sorted(rows, key=lambda row: row[0])) for rows in TILES.values())
