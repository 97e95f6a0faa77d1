"""Which tile each quantised product runs with: a table over formats, tokens and the size of the matrix.

The rows were chosen from compiled code (registers, shared memory, instructions) and arithmetic; they have not been
tuned on a GPU. ``bench/kernels.py`` measures them.
"""

from dataclasses import dataclass
from typing import Final

from poolwright.engine.kernels.packed import Format

FEWEST_TOKENS: Final = 16
"""Narrowest tile of tokens that the tensor cores' instructions take through Triton."""
PROGRAMS_PER_PROCESSOR: Final = 2
"""Programs that split-K aims at for each multiprocessor: fewer leave memory idle between two loads."""
FEWEST_SPANS: Final = 4
"""Spans of a part of split-K, at least: as many as the pipeline is deep."""
PROCESSORS_H200: Final = 132
"""Multiprocessors of an H100 or H200 SXM (NVIDIA data sheet), assumed where no device is at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """Outputs and tokens of a program, its warps, and loads in flight (stages of the pipeline)."""

    outputs: int
    tokens: int
    warps: int
    stages: int


TILES: Final[dict[bool, tuple[tuple[int, Tile], ...]]] = {
    True: (
        (16, Tile(outputs=128, tokens=16, warps=4, stages=4)),
        (32, Tile(outputs=128, tokens=32, warps=4, stages=4)),
        (64, Tile(outputs=128, tokens=64, warps=4, stages=3)),
        (128, Tile(outputs=128, tokens=128, warps=8, stages=3)),
    ),
    False: (
        (16, Tile(outputs=64, tokens=16, warps=4, stages=5)),
        (32, Tile(outputs=64, tokens=32, warps=4, stages=4)),
        (64, Tile(outputs=128, tokens=64, warps=4, stages=4)),
        (128, Tile(outputs=128, tokens=128, warps=8, stages=3)),
    ),
}
"""By whether weights are widened in registers: rows of most tokens, tile. Taller tiles spread what a thread does once
over more weights, which only widening needs."""

MOST_TOKENS: Final = {
    Format.W4A16: 256,
    Format.W8A16_INT8: 256,
    Format.W8A16_FP8: 256,
    Format.W8A8_INT8: 4096,
    Format.W8A8_FP8: 4096,
    Format.W4A8_INT8: 1024,
}
"""Tokens up to which the kernel is used; beyond, weights are widened once and multiplied by the vendor's library, since
arithmetic, not memory, then takes the time. Estimates, to be set by measurement."""


def tile_for(kind: Format, tokens: int) -> Tile:
    """Return the tile for so many tokens."""
    rows = TILES[kind is not Format.W8A8_INT8 and kind is not Format.W8A8_FP8]
    return next((tile for most, tile in rows if tokens <= most), rows[-1][1])


def splits_for(tile: Tile, *, tokens: int, outputs: int, spans: int, processors: int = PROCESSORS_H200) -> int:
    """Return into how many parts the inputs are split: a power of two that gives every multiprocessor its programs."""
    tiles = -(-tokens // tile.tokens) * -(-outputs // tile.outputs)
    splits = 1
    while tiles * splits < PROGRAMS_PER_PROCESSOR * processors and spans // (2 * splits) >= FEWEST_SPANS:
        splits *= 2
    return splits


def uses_kernel(kind: Format, tokens: int) -> bool:
    """Return whether the kernel is used, rather than the vendor's library on widened weights."""
    return tokens <= MOST_TOKENS[kind]
