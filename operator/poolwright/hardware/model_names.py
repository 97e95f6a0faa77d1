"""Spellings of names: which strings mean the same catalogue entry, and which suffix names a weight format.

Does not know the entries; ``catalogue`` does.
"""

import re
from typing import Final

_COMMENT: Final = re.compile(r"\s*\(.*\)\s*$")
_SEPARATORS: Final = re.compile(r"[\s_]+")
_VENDORS: Final = re.compile(r"^(?:nvidia|amd|intel|google|aws)-(?:instinct-)?")
_TUNINGS: Final = re.compile(
    r"-(?:instruct|chat|hf|it|base|pt|preview|bf16|fp16|pytorch|tee|v0\.\d|\d{4}|instruct-v\d+(?:\.\d+)?)$"
)
"""Suffixes that name a tuning or a release date of one architecture."""

_FORMATS: Final = (
    (re.compile(r"-(?:fp8|fp8-(?:dynamic|kv|block|static|static-pertensor)|w8a8-fp8)$"), "fp8"),
    (re.compile(r"-(?:nvfp4|fp4)$"), "nvfp4"),
    (re.compile(r"-(?:mxfp4)$"), "mxfp4"),
    (re.compile(r"-(?:awq|awq-int4|gptq|gptq-int4|int4|w4a16|autoround)$"), "w4a16"),
    (re.compile(r"-(?:w4a8|qoq)$"), "w4a8"),
    (re.compile(r"-(?:int8|w8a8|quantized\.w8a8|gptq-int8)$"), "int8"),
)
"""Suffixes of quantised checkpoints by format name, as publishers on Hugging Face write them."""


def name_key(name: str) -> str:
    """Return the spelling under which an accelerator is looked up: lower case, dashes, no comment, no vendor.

    >>> name_key("NVIDIA H100 SXM (8x)")
    'h100-sxm'
    """
    key = _SEPARATORS.sub("-", _COMMENT.sub("", name.strip()).casefold())
    return _VENDORS.sub("", key)


def model_key(name: str) -> str:
    """Return the spelling under which a model is looked up: lower case, no owner, no comment, no tuning suffix.

    >>> model_key("meta-llama/Llama-3.1-8B-Instruct (mlperf llama3.1-8b)")
    'llama-3.1-8b'
    """
    key = _SEPARATORS.sub("-", _COMMENT.sub("", name.strip()).rsplit("/", 1)[-1].casefold()).removeprefix("meta-")
    while (shorter := _TUNINGS.sub("", key)) != key:
        key = shorter
    return key


def split_format(key: str) -> tuple[str, str | None]:
    """Return a key without its format suffix, and the format that the suffix names (None without one).

    >>> split_format("llama-3.1-8b-instruct-fp8")
    ('llama-3.1-8b', 'fp8')
    """
    for pattern, weight_format in _FORMATS:
        bare = pattern.sub("", key)
        if bare != key:
            return model_key(bare), weight_format
    return key, None
