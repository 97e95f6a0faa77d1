"""A quantised checkpoint answers as the same weights widened do, within what its arithmetic may lose."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from poolwright.engine.checkpoint import open_checkpoint
from poolwright.engine.formats.on_load import WeightFormat, quantised
from poolwright.engine.formats.quantised import QuantisedWeight
from poolwright.engine.kv_cache import kv_cache
from poolwright.engine.model.cpu_linear import (
    Int4Linear,
    Int8Linear,
    PackedLinear,
    has_fast_integers,
    integer_linear,
    packed_linear,
)
from poolwright.engine.model.linear import PlainLinear, Weight
from poolwright.engine.model.step import Chunk
from poolwright.engine.model.weights import Transform, load_decoder, to_format, unchanged
from poolwright.engine.runner import Runner
from poolwright.engine.tiny import TinyShape, config_of, random_tensors, write_tensors

CPU = torch.device("cpu")
SHAPE = TinyShape(hidden=128, head_dim=32, width=256)
"""Widths that are whole groups of 128."""
PROMPT = [5, 17, 300, 42, 99, 7, 256, 31, 8]
G = 128
Tensors = dict[str, torch.Tensor]


def words(numbers: torch.Tensor, order: tuple[int, ...] = tuple(range(8))) -> torch.Tensor:
    """Pack each eight columns of 4-bit numbers into one word."""
    grouped = numbers.to(torch.int64).view(len(numbers), -1, 8)[:, :, list(order)]
    total = sum(grouped[:, :, place] << (4 * place) for place in range(8))
    return total.to(torch.int32)  # type: ignore[union-attr]


def gptq(found: QuantisedWeight) -> Tensors:
    assert found.zero is not None
    return {
        "qweight": words(found.values).T.contiguous(),
        "qzeros": words(found.zero.T.contiguous() - 1),
        "scales": found.scale.T.contiguous(),
        "g_idx": found.group_of.to(torch.int32),
    }


def awq(found: QuantisedWeight) -> Tensors:
    assert found.zero is not None
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    return {
        "qweight": words(found.values.T.contiguous(), order),
        "qzeros": words(found.zero.T.contiguous(), order),
        "scales": found.scale.T.contiguous(),
    }


def packed(found: QuantisedWeight) -> Tensors:
    assert found.zero is not None
    return {
        "weight_packed": words(found.values),
        "weight_scale": found.scale,
        "weight_zero_point": words(found.zero.T.contiguous()).T.contiguous(),
        "weight_shape": torch.tensor(found.shape),
    }


def beside(found: QuantisedWeight) -> Tensors:
    return {"weight": found.values, "weight_scale": found.scale}


def compressed(layout: str, **weights: object) -> Mapping[str, object]:
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "format": layout, "ignore": ["lm_head"], "config_groups": groups}


PACKED = compressed("pack-quantized", num_bits=4, strategy="group", group_size=G, symmetric=False)
FORMATS = {
    "gptq": (WeightFormat.W4A16, gptq, {"quant_method": "gptq", "bits": 4, "group_size": G}),
    "awq": (WeightFormat.W4A16, awq, {"quant_method": "awq", "bits": 4, "group_size": G}),
    "compressed int4": (WeightFormat.W4A16, packed, PACKED),
    "compressed int8": (WeightFormat.INT8, beside, compressed("int-quantized", num_bits=8, strategy="channel")),
    "compressed fp8": (WeightFormat.FP8, beside, compressed("float-quantized", num_bits=8, strategy="channel")),
}


def is_quantised(name: str) -> bool:
    return name.endswith("proj.weight")


def write(directory: Path, tensors: Tensors, section: Mapping[str, object] | None = None) -> None:
    directory.mkdir()
    extra = {} if section is None else {"quantization_config": section}
    (directory / "config.json").write_text(json.dumps(config_of(SHAPE) | extra))
    write_tensors(directory, tensors)


def write_both(directory: Path, name: str) -> tuple[Path, Path]:
    """Write a quantised checkpoint, and one with the same weights widened; return both."""
    to, pack, section = FORMATS[name]
    small: Tensors = {}
    wide: Tensors = {}
    for key, tensor in random_tensors(SHAPE, seed=3).items():
        if is_quantised(key):
            found = quantised(tensor, to)
            small |= {f"{key.removesuffix('weight')}{part}": value for part, value in pack(found).items()}
            wide[key] = found.dequantised()
        else:
            small[key] = wide[key] = tensor
    write(directory / "small", small, section)
    write(directory / "wide", wide)
    return directory / "small", directory / "wide"


def logits(directory: Path, transform: Transform = unchanged, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return logits of a prompt computed whole, and of its last token computed alone: (2, vocabulary)."""
    decoder = load_decoder(open_checkpoint(directory), dtype=dtype, device=CPU, transform=transform)
    cache = kv_cache(decoder.config, 4, 4, dtype, CPU, kv_heads=decoder.kv_heads)
    runner = Runner(model=decoder, cache=cache, device=CPU)
    whole = runner.logits([Chunk(token_ids=PROMPT, start=0, blocks=[0, 1, 2])])
    alone = runner.logits([Chunk(token_ids=PROMPT[-1:], start=len(PROMPT) - 1, blocks=[0, 1, 2])])
    return torch.cat([whole, alone])


def widened(weight: Weight) -> Weight:
    return weight.dequantised() if isinstance(weight, QuantisedWeight) else weight


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", FORMATS)
def test_files_hold_the_weights_that_were_packed(name: str, tmp_path: Path) -> None:
    small, wide = write_both(tmp_path, name)
    torch.testing.assert_close(logits(small, widened), logits(wide), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", FORMATS)
def test_fast_arithmetic_loses_little(name: str, tmp_path: Path) -> None:
    small, wide = write_both(tmp_path, name)
    # activations of 8 bits err by 0.4 % of their greatest value in each of 8 products, 4 bits made 8 by as much again
    assert relative_error(logits(small), logits(wide)) < 0.03


@pytest.mark.parametrize(
    ("to", "bound"), [(WeightFormat.W4A16, 0.25), (WeightFormat.INT8, 0.03), (WeightFormat.FP8, 0.08)]
)
def test_quantising_on_load_keeps_logits_near(to: WeightFormat, bound: float, tmp_path: Path) -> None:
    write(tmp_path / "plain", random_tensors(SHAPE, seed=3))
    error = relative_error(logits(tmp_path / "plain", to_format(to)), logits(tmp_path / "plain"))
    assert 0.001 < error < bound


def test_bfloat16_keeps_logits_near(tmp_path: Path) -> None:
    write(tmp_path / "plain", random_tensors(SHAPE, seed=3))
    error = relative_error(logits(tmp_path / "plain", dtype=torch.bfloat16), logits(tmp_path / "plain"))
    assert 0 < error < 0.03


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tokens", [1, 7, 65])
def test_packed_weights_multiply_as_plain_ones(tokens: int, dtype: torch.dtype) -> None:
    weight, bias, inputs = (
        torch.randn(96, 64, dtype=dtype),
        torch.randn(96, dtype=dtype),
        torch.randn(tokens, 64, dtype=dtype),
    )
    layer = packed_linear(weight, bias)
    if layer is None:
        pytest.skip("this processor has no packed form")
    expected = PlainLinear(weight=weight, bias=bias)(inputs)
    torch.testing.assert_close(layer(inputs), expected, atol=1e-4 if dtype == torch.float32 else 0.2, rtol=0)
    assert weight.nbytes == layer.bytes


needs_integers = pytest.mark.skipif(not has_fast_integers(), reason="this processor multiplies no integers")


@needs_integers
@pytest.mark.parametrize("tokens", [1, 5, 33])
def test_int8_products_are_exact_up_to_the_rounding_of_tokens(tokens: int) -> None:
    found = quantised(torch.randn(48, 200), WeightFormat.INT8)
    bias, inputs = torch.randn(48), torch.randn(tokens, 200)
    layer = integer_linear(found, bias)
    assert isinstance(layer, Int8Linear)
    step = inputs.double().abs().amax(dim=1, keepdim=True) / 127
    levels = (inputs / step.float()).round().double()
    expected = (levels @ found.values.double().T) * step * found.scale.double().T + bias
    torch.testing.assert_close(layer(inputs).double(), expected, rtol=1e-5, atol=1e-4)


@needs_integers
def test_a_token_is_multiplied_alike_alone_and_in_company() -> None:
    layer = integer_linear(quantised(torch.randn(64, 128), WeightFormat.INT8), None)
    assert layer is not None
    inputs = torch.randn(9, 128) * torch.logspace(-3, 3, 9)[:, None]
    torch.testing.assert_close(layer(inputs), torch.cat([layer(row[None]) for row in inputs]), rtol=1e-6, atol=0)


@needs_integers
@pytest.mark.parametrize(("tokens", "bound"), [(1, 0.01), (4, 0.01), (5, 0.02), (40, 0.02)])
def test_int4_products_are_near_for_few_tokens_and_for_many(tokens: int, bound: float) -> None:
    found = quantised(torch.randn(96, 256), WeightFormat.W4A16)
    bias, inputs = torch.randn(96), torch.randn(tokens, 256)
    layer = integer_linear(found, bias)
    assert isinstance(layer, Int4Linear)
    expected = inputs.double() @ found.dequantised().double().T + bias
    assert relative_error(layer(inputs).double(), expected) < bound
    assert 96 * 256 // 2 + 96 * 2 * 2 * 2 == layer.bytes


@pytest.mark.parametrize("shape", [(40, 256), (96, 200)], ids=["outputs", "groups"])
def test_shapes_that_the_int4_kernel_lacks_are_widened(shape: tuple[int, int]) -> None:
    assert integer_linear(quantised(torch.randn(shape), WeightFormat.W4A16), None) is None


def test_a_model_on_this_machine_uses_packed_weights(tmp_path: Path) -> None:
    write(tmp_path / "plain", random_tensors(SHAPE, seed=3))
    decoder = load_decoder(open_checkpoint(tmp_path / "plain"), dtype=torch.float32, device=CPU)
    assert torch.backends.mkldnn.is_available() == isinstance(decoder.layers[0].qkv, PackedLinear)
