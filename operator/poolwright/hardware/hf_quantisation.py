"""In which format a checkpoint stores its weights, from ``quantization_config`` and the plain data type.

Does not judge how fast a format is (``perf``) or whether to serve in it (``planner``).
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_PLAIN: Final = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_METHODS: Final = {
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "mxfp4": "mxfp4",
    "awq": "w4a16",
    "bitsandbytes": "w4a16",
    "auto-round": "w4a16",
    "w4afp8": "w4a8",
}
_MODELOPT: Final = {
    "FP8": "fp8",
    "FP8_PB_WO": "fp8",
    "NVFP4": "nvfp4",
    "W4A16_AWQ": "w4a16",
    "W4A8_AWQ": "w4a8",
    "W4A16_NVFP4": "nvfp4",
}
_EIGHT_BITS: Final = 8
_WHOLE_MIXER: Final = re.compile(r"(?:self_attn|linear_attn)(?:\.?\*|\.o_proj|\.out_proj)?$")
"""End of a pattern that spares a whole mixer: the block itself, or its output projection among the listed parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """Format of a checkpoint's weights; ``warnings`` say what had to be assumed."""

    weight_format: str
    only_experts: bool = False
    warnings: tuple[str, ...] = ()


def checkpoint_format(config: Mapping[str, object], layers: int) -> Quantisation:
    """Return the format in which a checkpoint stores its linear weights.

    Parameters
    ----------
    config
        The whole configuration; ``quantization_config`` and ``torch_dtype`` (``dtype``) are read.
    layers
        Number of layers, to tell a list that spares every attention from one that spares a few.
    """
    quantisation = config.get("quantization_config")
    if not isinstance(quantisation, Mapping):
        return Quantisation(weight_format=_plain_format(config))
    weight_format = _quantised_format(quantisation)
    if weight_format is None and (mixed := _mixed_format(quantisation.get("quantized_layers"))):
        warning = f"quantization_config: layers have several formats; {mixed}, the most frequent, is taken for all"
        return Quantisation(weight_format=mixed, warnings=(warning,))
    if weight_format is None:
        method = quantisation.get("quant_method")
        warning = f"quantization_config: method {method!r} is not known; 16-bit weights are assumed"
        return Quantisation(weight_format="bf16", warnings=(warning,))
    return Quantisation(weight_format=weight_format, only_experts=_spares_attention(quantisation, layers))


def _plain_format(config: Mapping[str, object]) -> str:
    """Return the format of weights that are not quantised; bf16 where the configuration does not say."""
    written = config.get("torch_dtype", config.get("dtype", "bfloat16"))
    return _PLAIN.get(str(written).removeprefix("torch."), "bf16")


def _quantised_format(quantisation: Mapping[str, object]) -> str | None:
    """Return the format name that a quantisation method stands for, or None."""
    method = str(quantisation.get("quant_method", "modelopt")).casefold()
    if method.startswith("modelopt"):
        nested = quantisation.get("quantization", quantisation)
        algorithm = nested.get("quant_algo") if isinstance(nested, Mapping) else None
        return _MODELOPT.get(str(algorithm))
    if method == "gptq":
        return "int8" if quantisation.get("bits") == _EIGHT_BITS else "w4a16"
    if method == "compressed-tensors":
        return _compressed_format(quantisation)
    if method == "quark":
        return _quark_format(quantisation)
    return _METHODS.get(method)


def _compressed_format(quantisation: Mapping[str, object]) -> str | None:
    """Return the format of a compressed-tensors checkpoint from its first group of layers."""
    groups = quantisation.get("config_groups")
    group = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = group.get("weights") if isinstance(group, Mapping) else None
    if not isinstance(group, Mapping) or not isinstance(weights, Mapping):
        return None
    is_float, bits = weights.get("type") == "float", weights.get("num_bits")
    if bits == _EIGHT_BITS:
        return "fp8" if is_float else "int8"
    if is_float:
        return "nvfp4"
    return "w4a8" if isinstance(group.get("input_activations"), Mapping) else "w4a16"


def _quark_format(quantisation: Mapping[str, object]) -> str | None:
    """Return the format of AMD's Quark checkpoints from their global weight type."""
    whole = quantisation.get("global_quant_config")
    weights = whole.get("weight") if isinstance(whole, Mapping) else None
    written = str(weights.get("dtype")) if isinstance(weights, Mapping) else ""
    return {"fp8_e4m3": "fp8", "fp4": "mxfp4", "int8": "int8", "int4": "w4a16"}.get(written)


def _mixed_format(layers: object) -> str | None:
    """Return the most frequent known format of a ModelOpt checkpoint that quantises layers differently."""
    if not isinstance(layers, Mapping):
        return None
    algorithms = [str(each.get("quant_algo")) for each in layers.values() if isinstance(each, Mapping)]
    counted = Counter(_MODELOPT[each] for each in algorithms if each in _MODELOPT)
    return counted.most_common(1)[0][0] if counted else None


def _spares_attention(quantisation: Mapping[str, object], layers: int) -> bool:
    """Return whether the mixers of most layers are left in 16 bits, as where only experts are quantised.

    Lists either name all layers by a pattern or each by its number; the first, dense layers are often spared whole.
    """
    spared: list[str] = []
    for name in ("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "exclude"):
        listed = quantisation.get(name)
        spared += [str(each) for each in listed] if isinstance(listed, list) else []
    whole = [each for each in spared if _WHOLE_MIXER.search(each)]
    is_pattern = any("*" in _WHOLE_MIXER.sub("", each) or each.startswith("re:") for each in whole)
    return is_pattern or 2 * len({_WHOLE_MIXER.sub("", each) for each in whole}) >= layers
