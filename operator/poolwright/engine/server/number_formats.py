"""One question asked in two dialects: how weights and KV cache are stored, in the operator's words or in vLLM's.

Decides which format is meant and refuses flags that contradict each other; whether a checkpoint can be had in that
format is the loader's to say.
"""

from collections.abc import Mapping
from typing import Final

from poolwright.hardware.number_format import FORMATS

AUTO: Final = "auto"
"""As the checkpoint and the device are."""
PLAIN_FORMATS: Final[Mapping[str, str]] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""Formats without scales, and the data type that each is."""
DTYPES: Final[Mapping[str, str]] = {
    AUTO: AUTO,
    "half": "float16",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "float": "float32",
    "float32": "float32",
}
"""Values of ``--dtype``, as vLLM has them."""
QUANTIZATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "none": tuple(PLAIN_FORMATS),
    "fp8": ("fp8",),
    "int8": ("int8",),
    "gptq": ("w4a16", "w4a8", "int8"),
    "awq": ("w4a16", "w4a8"),
    "compressed-tensors": ("w4a16", "w4a8", "int8", "fp8"),
}
"""Values of ``--quantization``, and the weight formats that checkpoints of that method come in."""
KV_DTYPES: Final[Mapping[str, str]] = {
    AUTO: AUTO,
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "fp8": "fp8",
    "fp8_e4m3": "fp8",
    "int8": "int8",
}
"""Values of ``--kv-cache-dtype``, and the formats that they name."""


def known(flag: str, value: str, choices: Mapping[str, object]) -> str:
    """Return the value if it is one of the choices.

    Raises
    ------
    ValueError
        It is not; the message names the choices.
    """
    if value not in choices:
        raise ValueError(f"{flag}={value}: must be one of {', '.join(choices)}")
    return value


def dtype_of(weight_format: str, dtype: str, quantization: str | None) -> str:
    """Return the data type of activations and plain weights: ``auto``, ``float32``, ``bfloat16`` or ``float16``.

    >>> dtype_of("bf16", "auto", None), dtype_of("auto", "half", None)
    ('bfloat16', 'float16')

    Raises
    ------
    ValueError
        The flags ask for two different things.
    """
    known("--weight-format", weight_format, dict.fromkeys((AUTO, *FORMATS)))
    wanted = DTYPES[known("--dtype", dtype, DTYPES)]
    if quantization is not None:
        formats = QUANTIZATIONS[known("--quantization", quantization, QUANTIZATIONS)]
        if weight_format not in (AUTO, *formats):
            raise ValueError(
                f"--quantization={quantization} and --weight-format={weight_format} contradict each other: "
                f"{quantization} weights are {', '.join(formats)}; give one of the two flags"
            )
    plain = PLAIN_FORMATS.get(weight_format, wanted)
    if wanted not in (AUTO, plain):
        raise ValueError(
            f"--dtype={dtype} and --weight-format={weight_format} contradict each other: "
            f"{weight_format} is {plain}; give one of the two flags"
        )
    return plain


def kv_format_of(kv_format: str, kv_cache_dtype: str) -> str:
    """Return the format of the KV cache, ``auto`` for that of activations.

    >>> kv_format_of("fp8", "auto"), kv_format_of("auto", "fp8_e4m3")
    ('fp8', 'fp8')

    Raises
    ------
    ValueError
        The flags ask for two different things.
    """
    known("--kv-format", kv_format, dict.fromkeys(KV_DTYPES.values()))
    wanted = KV_DTYPES[known("--kv-cache-dtype", kv_cache_dtype, KV_DTYPES)]
    if AUTO not in (wanted, kv_format) and wanted != kv_format:
        raise ValueError(
            f"--kv-cache-dtype={kv_cache_dtype} and --kv-format={kv_format} contradict each other; "
            "give one of the two flags"
        )
    return kv_format if wanted == AUTO else wanted
