"""All that is compiled for the report and its test, by compute capability."""

from collections.abc import Iterator
from typing import Final

from kernelreport.attention import CACHES, attention, joining
from kernelreport.fused import draw, gate, norm, quantisation, rotation
from kernelreport.machine_code import Variant
from kernelreport.products import TOKENS, is_supported, product
from poolwright.engine.kernels.packed import Format

CAPABILITIES: Final = (80, 90, 100)
"""A100, H100 and H200, B200."""
MAIN: Final = 90
"""The capability for which everything is compiled; for others, the smallest and largest tiles."""
ROWS: Final = (16, 64, 128)
"""Rows of attention's programs."""
HAS_FLOAT8: Final = 89
"""First capability whose hardware converts to float8."""


def variants(capability: int) -> Iterator[Variant]:
    """Return what is compiled for a capability."""
    is_main = capability == MAIN
    for kind in Format:
        if is_supported(kind, capability):
            for tokens in TOKENS if is_main else (TOKENS[0], TOKENS[-1]):
                yield product(kind, tokens)
    yield product(Format.W4A16, TOKENS[0], has_zero=True)
    if is_main:
        yield product(Format.W4A8_INT8, TOKENS[0], has_zero=True)
        yield product(Format.W4A16, TOKENS[0], is_half=True)
        yield product(Format.W4A16, TOKENS[0], choices=2)
        yield product(Format.W4A16, TOKENS[0], asm=False)
    for cache in CACHES:
        for rows in ROWS if is_main else (ROWS[0], ROWS[-1]):
            yield attention(cache, rows)
    yield from (joining(), norm(), gate(), rotation("wide"), rotation("int8"), quantisation(is_float8=False), draw())
    if capability >= HAS_FLOAT8:
        yield from (rotation("float8"), quantisation(is_float8=True))
