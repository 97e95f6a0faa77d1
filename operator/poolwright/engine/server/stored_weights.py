"""How a checkpoint's weights are stored, and what loading must make of them so that they are as the flags say."""

from collections.abc import Mapping
from typing import Any, Final

from poolwright.engine.server.number_formats import AUTO, PLAIN_FORMATS, QUANTIZATIONS
from poolwright.engine.server.settings import Settings

ON_LOAD: Final = ("w4a16", "int8", "fp8")
"""Formats that plain weights are quantised to while loading."""
_BY_BITS: Final[Mapping[tuple[str, int | None], str]] = {("int", 4): "w4a16", ("int", 8): "int8", ("float", 8): "fp8"}


def stored_format(config: Mapping[str, Any]) -> str | None:
    """Return the weight format that a ``config.json`` says its tensors have, None for plain ones.

    >>> stored_format({"quantization_config": {"quant_method": "gptq", "bits": 4}})
    'w4a16'

    Raises
    ------
    ValueError
        It says something that no engine here computes.
    """
    quantisation = config.get("quantization_config") or config.get("compression_config")
    if not quantisation:
        return None
    method = quantisation.get("quant_method")
    if method == "fp8":
        return "fp8"
    kind, bits = "int", quantisation.get("bits")
    if method == "compressed-tensors":
        groups = quantisation.get("config_groups") or {}
        weights = next((group.get("weights") or {} for group in groups.values()), {})
        kind, bits = weights.get("type", "int"), weights.get("num_bits")
    if (kind, bits) not in _BY_BITS:
        raise ValueError(f"config.json: {method} weights of {bits} bits ({kind}) are not supported")
    return _BY_BITS[kind, bits]


def made_on_load(settings: Settings, config: Mapping[str, Any]) -> str | None:
    """Return the format to quantise plain weights to, None to take them as they are stored.

    Raises
    ------
    ValueError
        The checkpoint is not, and cannot be made, what the flags say.
    """
    stored = stored_format(config)
    method = (config.get("quantization_config") or config.get("compression_config") or {}).get("quant_method")
    flag, wanted = _wanted(settings, method)
    if stored is None:
        if wanted in (AUTO, *PLAIN_FORMATS):
            return None
        if wanted in ON_LOAD:
            return wanted
        raise ValueError(
            f"{flag}: plain weights are made {', '.join(ON_LOAD)}, or kept; this checkpoint has plain ones"
        )
    if wanted in (AUTO, stored):
        return None
    raise ValueError(f"{flag}: the checkpoint's weights are {stored} ({method}) and stay so; say {stored} or nothing")


def _wanted(settings: Settings, method: str | None) -> tuple[str, str]:
    """Return the flag that says what is wanted, as it was written, and the format."""
    if settings.quantization is None or settings.weight_format != AUTO:
        return f"--weight-format={settings.weight_format}", settings.weight_format
    flag = f"--quantization={settings.quantization}"
    if settings.quantization == "none":
        return flag, "bf16" if method else AUTO
    if settings.quantization == method:
        return flag, AUTO
    formats = QUANTIZATIONS[settings.quantization]
    if len(formats) > 1:
        raise ValueError(f"{flag}: the checkpoint is {method or 'not quantised'}; leave the flag out")
    return flag, formats[0]
