"""Quantised files are unpacked exactly; the packers here follow each format's definition number by number."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from poolwright.engine.checkpoint import Checkpoint, CheckpointError, open_checkpoint
from poolwright.engine.formats.on_load import WeightFormat, quantised
from poolwright.engine.formats.quantised import QuantisedWeight, can_stack, ordered_groups, stacked
from poolwright.engine.formats.reader import weight_reader

Tensors = dict[str, torch.Tensor]
N, K, G = 24, 64, 16
"""Outputs, inputs, inputs of a group."""
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True, kw_only=True)
class Example:
    """Values, scales, zeros and groups of a small matrix, and what they stand for in float64."""

    values: torch.Tensor
    scale: torch.Tensor
    zero: torch.Tensor
    group_of: list[int]

    def expected(self) -> torch.Tensor:
        result = torch.empty(self.values.shape, dtype=torch.float64)
        for n in range(self.values.shape[0]):
            for k, group in enumerate(self.group_of):
                level = int(self.values[n, k]) - int(self.zero[n, group])
                result[n, k] = level * float(self.scale[n, group])
        return result


def example(seed: int, *, bits: int = 4, shuffled: bool = False, lowest_zero: int = 0) -> Example:
    generator = torch.Generator().manual_seed(seed)
    group_of = [k // G for k in range(K)]
    if shuffled:
        group_of = [group_of[k] for k in torch.randperm(K, generator=generator)]
    return Example(
        values=torch.randint(0, 1 << bits, (N, K), generator=generator),
        scale=torch.rand(N, K // G, generator=generator).half() + 0.01,
        zero=torch.randint(lowest_zero, 1 << bits, (N, K // G), generator=generator),
        group_of=group_of,
    )


def word(numbers: list[int], bits: int) -> int:
    """Return numbers in one signed 32-bit word, the first in the lowest bits."""
    total = sum(number << (bits * place) for place, number in enumerate(numbers))
    return total - (1 << 32) if total >= 1 << 31 else total


def packed_down(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """Pack consecutive rows of each column."""
    count, (rows, columns) = 32 // bits, numbers.shape
    return torch.tensor(
        [
            [word([int(numbers[count * r + i, c]) for i in range(count)], bits) for c in range(columns)]
            for r in range(rows // count)
        ],
        dtype=torch.int32,
    )


def packed_across(numbers: torch.Tensor, bits: int, order: tuple[int, ...] | None = None) -> torch.Tensor:
    """Pack consecutive columns of each row; nibble i holds column ``order[i]`` of each word."""
    count, (rows, columns) = 32 // bits, numbers.shape
    places = order or tuple(range(count))
    return torch.tensor(
        [
            [word([int(numbers[r, count * c + i]) for i in places], bits) for c in range(columns // count)]
            for r in range(rows)
        ],
        dtype=torch.int32,
    )


def gptq_tensors(made: Example, *, bits: int = 4, offset: int = 1, has_index: bool = True) -> Tensors:
    tensors = {
        "layer.qweight": packed_down(made.values.T, bits),
        "layer.qzeros": packed_across(made.zero.T - offset, bits),
        "layer.scales": made.scale.T.contiguous(),
    }
    if has_index:
        tensors["layer.g_idx"] = torch.tensor(made.group_of, dtype=torch.int32)
    return tensors


def awq_tensors(made: Example) -> Tensors:
    return {
        "layer.qweight": packed_across(made.values.T, 4, AWQ_ORDER),
        "layer.qzeros": packed_across(made.zero.T, 4, AWQ_ORDER),
        "layer.scales": made.scale.T.contiguous(),
    }


def compressed(weights: dict[str, object], layout: str) -> dict[str, object]:
    group = {"targets": ["Linear"], "weights": weights}
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }


def packed_tensors(made: Example, *, bits: int = 4, is_symmetric: bool = False) -> Tensors:
    tensors = {
        "layer.weight_packed": packed_across(made.values, bits),
        "layer.weight_scale": made.scale,
        "layer.weight_shape": torch.tensor([N, K]),
    }
    if not is_symmetric:
        tensors["layer.weight_zero_point"] = packed_down(made.zero, bits)
    return tensors


def checkpoint(directory: Path, tensors: Tensors) -> Checkpoint:
    save_file(tensors, directory / "model.safetensors")
    (directory / "config.json").write_text("{}")
    return open_checkpoint(directory)


def read(directory: Path, section: Mapping[str, object], tensors: Tensors) -> QuantisedWeight:
    found = weight_reader(section).weight(checkpoint(directory, tensors), "layer", (N, K))
    assert isinstance(found, QuantisedWeight)
    return found


def check(made: Example, found: QuantisedWeight) -> None:
    assert torch.equal(made.values, found.values.to(torch.int64))
    # one rounding of the product to 24 bits
    torch.testing.assert_close(found.dequantised().to(torch.float64), made.expected(), rtol=2**-24, atol=0)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "by activation"])
@pytest.mark.parametrize(("version", "offset"), [("gptq", 1), ("gptq_v2", 0)])
def test_gptq_is_unpacked_exactly(tmp_path: Path, version: str, offset: int, bits: int, *, shuffled: bool) -> None:
    made = example(1, bits=bits, shuffled=shuffled, lowest_zero=offset)
    section = {"quant_method": "gptq", "bits": bits, "group_size": G, "checkpoint_format": version}
    check(made, read(tmp_path, section, gptq_tensors(made, bits=bits, offset=offset)))


def test_gptq_without_an_index_has_its_groups_in_order(tmp_path: Path) -> None:
    made = example(2, lowest_zero=1)
    section = {"quant_method": "gptq", "bits": 4, "group_size": G}
    check(made, read(tmp_path, section, gptq_tensors(made, has_index=False)))


def test_awq_is_unpacked_exactly(tmp_path: Path) -> None:
    made = example(3)
    check(
        made, read(tmp_path, {"quant_method": "awq", "bits": 4, "group_size": G, "version": "gemm"}, awq_tensors(made))
    )


@pytest.mark.parametrize("bits", [4, 8])
def test_packed_asymmetric_values_are_unpacked_exactly(tmp_path: Path, bits: int) -> None:
    made = example(4, bits=bits)
    weights = {"num_bits": bits, "type": "int", "strategy": "group", "group_size": G, "symmetric": False}
    check(made, read(tmp_path, compressed(weights, "pack-quantized"), packed_tensors(made, bits=bits)))


@pytest.mark.parametrize("bits", [4, 8])
def test_packed_symmetric_values_are_half_their_range_too_high(tmp_path: Path, bits: int) -> None:
    drawn = example(5, bits=bits)
    made = Example(
        values=drawn.values,
        scale=drawn.scale,
        zero=torch.full_like(drawn.zero, 1 << (bits - 1)),
        group_of=drawn.group_of,
    )
    weights = {"num_bits": bits, "type": "int", "strategy": "group", "group_size": G, "symmetric": True}
    check(
        made, read(tmp_path, compressed(weights, "pack-quantized"), packed_tensors(made, bits=bits, is_symmetric=True))
    )


def int8_values() -> torch.Tensor:
    return torch.randint(-128, 128, (N, K), generator=torch.Generator().manual_seed(6)).to(torch.int8)


def e4m3_values() -> torch.Tensor:
    return torch.randn(N, K, generator=torch.Generator().manual_seed(7)).to(torch.float8_e4m3fn)


@pytest.mark.parametrize(("values", "kind"), [(int8_values(), "int"), (e4m3_values(), "float")], ids=["int8", "e4m3"])
@pytest.mark.parametrize("shape", [(1,), (N, 1), (N,), (N, K // G)], ids=str)
def test_values_with_scales_beside_them_are_read_exactly(
    tmp_path: Path, values: torch.Tensor, kind: str, shape: tuple[int, ...]
) -> None:
    scale = torch.rand(shape, generator=torch.Generator().manual_seed(8)).bfloat16()
    section = compressed({"num_bits": 8, "type": kind, "symmetric": True}, f"{kind}-quantized")
    found = read(tmp_path, section, {"layer.weight": values, "layer.weight_scale": scale})
    flat = scale.double().reshape(1, 1) if shape == (1,) else scale.double().reshape(N, -1)
    expected = torch.empty(N, K, dtype=torch.float64)
    for n in range(N):
        for k in range(K):
            row = flat[n if len(flat) > 1 else 0]
            expected[n, k] = float(values[n, k]) * float(row[k * len(row) // K])
    torch.testing.assert_close(found.dequantised().double(), expected, rtol=2**-24, atol=0)


@pytest.mark.parametrize("method", ["fp8", "compressed-tensors"])
def test_blocks_are_multiplied_by_their_scale_ragged_edges_too(tmp_path: Path, method: str) -> None:
    values, block = e4m3_values(), (10, 48)  # 24 outputs are 2.4 blocks, 64 inputs 1.33
    scale = torch.rand(3, 2, generator=torch.Generator().manual_seed(9))
    name = "layer.weight_scale_inv" if method == "fp8" else "layer.weight_scale"
    fp8 = {"quant_method": "fp8", "weight_block_size": list(block)}
    section = (
        fp8
        if method == "fp8"
        else compressed({"num_bits": 8, "strategy": "block", "block_structure": list(block)}, "float-quantized")
    )
    found = read(tmp_path, section, {"layer.weight": values, name: scale})
    for n in range(N):
        for k in range(K):
            expected = float(values[n, k]) * float(scale[n // block[0], k // block[1]])
            assert expected == pytest.approx(float(found.dequantised()[n, k]), rel=2**-23)


def test_one_scale_for_a_whole_e4m3_matrix(tmp_path: Path) -> None:
    values = e4m3_values()
    tensors = {"layer.weight": values, "layer.weight_scale": torch.tensor(0.125)}
    found = read(tmp_path, {"quant_method": "fp8"}, tensors)
    assert torch.equal(values.to(torch.float32) * 0.125, found.dequantised())


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8", "compressed-tensors"])
def test_layers_that_were_left_as_they_are_are_plain(tmp_path: Path, method: str) -> None:
    plain = torch.randn(N, K)
    section = (
        compressed({"num_bits": 4}, "pack-quantized")
        if method == "compressed-tensors"
        else {"quant_method": method, "bits": 4}
    )
    found = weight_reader(section).weight(checkpoint(tmp_path, {"layer.weight": plain}), "layer", (N, K))
    assert isinstance(found, torch.Tensor)
    assert torch.equal(plain, found)


@pytest.mark.parametrize("name", ["layer.qweight", "layer.qzeros", "layer.scales"])
def test_a_missing_part_is_named(tmp_path: Path, name: str) -> None:
    tensors = gptq_tensors(example(1, lowest_zero=1))
    del tensors[name]
    with pytest.raises(CheckpointError, match=f"tensor {name} is missing"):
        read(tmp_path, {"quant_method": "gptq", "bits": 4, "group_size": G}, tensors)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"quant_method": "bitsandbytes"}, "quant_method is 'bitsandbytes'"),
        ({"quant_method": "gptq", "bits": 3}, "bits is 3"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 0}, "group_size is 0"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "version gemv"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, r"weight_block_size is \[128\]"),
        ({"quant_method": "compressed-tensors"}, "config_groups is None"),
        (compressed({}, "marlin-24"), "format is 'marlin-24'"),
    ],
    ids=str,
)
def test_unknown_formats_say_what_is_wrong(section: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        weight_reader(section)


@pytest.mark.parametrize(
    ("to", "levels"),
    [(WeightFormat.W4A16, 15 / 1.0), (WeightFormat.INT8, 127.0), (WeightFormat.FP8, 0.0)],
)
def test_quantising_on_load_errs_by_half_a_level_at_most(to: WeightFormat, levels: float) -> None:
    weight = torch.randn(40, 300, generator=torch.Generator().manual_seed(10))
    found = quantised(weight, to)
    error = (found.dequantised() - weight).abs()
    if to is WeightFormat.FP8:
        assert bool(
            (error <= weight.abs() / 16 + found.scale * 2**-10).all()
        )  # 3 bits of mantissa, subnormals below 2^-6
        return
    # a 4-bit zero is rounded too: half a level more at the ends
    allowed = 1.0 if to is WeightFormat.W4A16 else 0.5
    assert bool((error <= allowed * found.scale[:, found.group_of] * 1.0001).all())
    assert levels == pytest.approx(float(found.values.to(torch.float32).max()))


def test_rows_of_zeros_stay_zeros() -> None:
    for to in WeightFormat:
        assert bool((quantised(torch.zeros(3, 200), to).dequantised() == 0).all())


def test_rows_and_columns_of_a_quantised_matrix_are_those_of_the_whole() -> None:
    found = quantised(torch.randn(16, 512), WeightFormat.W4A16)
    whole = found.dequantised()
    assert torch.equal(whole[4:9], found.rows(4, 9).dequantised())
    assert torch.equal(whole[:, 200:400], found.columns(200, 400).dequantised())
    assert 128 == found.group_size
    assert found.columns(200, 400).group_size is None


def test_only_alike_matrices_are_stacked() -> None:
    one, two = (quantised(torch.randn(8, 256), WeightFormat.FP8) for _ in range(2))
    assert can_stack([one, two])
    assert torch.equal(torch.cat([one.dequantised(), two.dequantised()]), stacked([one, two]).dequantised())
    assert not can_stack([one, quantised(torch.randn(8, 256), WeightFormat.INT8)])
    shuffled = QuantisedWeight(
        values=one.values, scale=one.scale.expand(8, 2), zero=None, group_of=ordered_groups(256, 128).flip(0), bits=8
    )
    assert not can_stack([quantised(torch.randn(8, 256), WeightFormat.W4A16), shuffled])
