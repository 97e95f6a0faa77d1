"""What others offer for the same products; a peer that is not installed or fails says why and is left out."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kernelbench.ours import Call

GROUP = 128


def peers(weights: list[Tensor]) -> Iterator[tuple[str, list[Call] | str]]:
    """Return each peer's calls on the same weights, or why there are none."""
    makers: dict[str, Callable[[Tensor], Call]] = {
        "cublas_bf16": _cublas,
        "tinygemm_w4a16": _tinygemm,
        "torch_int8pack_w8a16": _int8_pack,
        "scaled_mm_fp8_row": _scaled_mm,
        "int_mm_w8a8": _int_mm,
        "gemlite_w4a16": _gemlite,
        "bitsandbytes_nf4": _bitsandbytes,
    }
    for name, make in makers.items():
        try:
            yield name, [make(weight) for weight in weights]
        except Exception as problem:  # noqa: BLE001 (a peer's failure is a line of the report)
            yield name, f"{type(problem).__name__}: {problem}"[:160]


def _cublas(weight: Tensor) -> Call:
    return lambda x: functional.linear(x, weight)


def _quantised_4(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, scales and offsets; w = (q - 8) * scale + offset."""
    groups = weight.float().unflatten(1, (-1, GROUP))
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = ((high - low) / 15).clamp(min=1e-6)
    values = ((groups - low) / scale).round().clamp(0, 15).to(torch.int32).flatten(1)
    return values, scale[..., 0], (low + 8 * scale)[..., 0]


def _quantised_8(weight: Tensor) -> tuple[Tensor, Tensor]:
    scale = weight.float().abs().amax(1) / 127
    return (weight.float() / scale[:, None]).round().to(torch.int8), scale


def _tinygemm(weight: Tensor) -> Call:
    values, scale, offset = _quantised_4(weight)
    pairs = (values[:, ::2] << 4 | values[:, 1::2]).to(torch.uint8)
    packed = torch.ops.aten._convert_weight_to_int4pack(pairs, 8)  # noqa: SLF001 (torch's only name for it)
    meta = torch.stack([scale.t(), offset.t()], -1).contiguous().to(torch.bfloat16)
    return lambda x: torch.ops.aten._weight_int4pack_mm(x, packed, GROUP, meta)  # noqa: SLF001


def _int8_pack(weight: Tensor) -> Call:
    values, scale = _quantised_8(weight)
    narrow = scale.to(torch.bfloat16)
    return lambda x: torch.ops.aten._weight_int8pack_mm(x, values, narrow)  # noqa: SLF001


def _scaled_mm(weight: Tensor) -> Call:
    scale = weight.float().abs().amax(1, keepdim=True) / 448
    values = (weight.float() / scale).to(torch.float8_e4m3fn)

    def call(x: Tensor) -> Tensor:
        own = x.float().abs().amax(1, keepdim=True) / 448
        narrow = (x.float() / own).to(torch.float8_e4m3fn)
        return torch._scaled_mm(  # noqa: SLF001
            narrow, values.t(), scale_a=own, scale_b=scale.t(), out_dtype=torch.bfloat16, use_fast_accum=True
        )

    return call


def _int_mm(weight: Tensor) -> Call:
    values, scale = _quantised_8(weight)

    def call(x: Tensor) -> Tensor:
        own = x.float().abs().amax(1, keepdim=True) / 127
        narrow = (x.float() / own).round().to(torch.int8)
        missing = max(0, 32 - x.shape[0])  # cuBLAS takes more than 16 rows
        wide = torch._int_mm(functional.pad(narrow, (0, 0, 0, missing)), values.t())  # noqa: SLF001
        return (wide[: x.shape[0]].float() * own * scale).to(torch.bfloat16)

    return call


def _gemlite(weight: Tensor) -> Any:
    from gemlite import DType, GemLiteLinear  # noqa: PLC0415 (may not be installed)

    values, scale, offset = _quantised_4(weight)
    layer = GemLiteLinear(
        4,
        group_size=GROUP,
        in_features=weight.shape[1],
        out_features=weight.shape[0],
        input_dtype=DType.BF16,
        output_dtype=DType.BF16,
    )
    narrow = scale.to(torch.bfloat16).view(-1, 1)
    layer.pack(values.to(torch.uint8), narrow, (8 - offset / scale).to(torch.bfloat16).view(-1, 1), None)
    return layer


def _bitsandbytes(weight: Tensor) -> Call:
    import bitsandbytes  # noqa: PLC0415 (may not be installed)

    values, state = bitsandbytes.functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    return lambda x: bitsandbytes.matmul_4bit(x, values.t(), state)
