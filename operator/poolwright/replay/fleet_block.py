"""Requests in a stream: blocks of bounded size, in order, so that memory does not grow with a trace."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from poolwright.replay.traces import Trace
from poolwright.simulator.fleet_layout import COMING
from poolwright.simulator.layout import Floats, Integers, Rows

BLOCK_REQUESTS: Final = 100_000
"""Requests of one block [count]: 10 MB with all that is made of them, and few enough calls to cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some requests, none earlier than those of the block before.

    Attributes
    ----------
    arrivals_s
        Times [s] from the beginning of the trace, ascending, not negative.
    input_tokens, output_tokens
        Lengths, each at least 1.
    tiers
        Tier of each request, 0 the most important; None: all 0.
    cached_tokens
        Tokens of the prompt that every replica has; None: none.
    parts, parts_from, part_tokens
        As in ``traces.Trace``: what a replica has served before it need not compute again.
    """

    arrivals_s: Floats
    input_tokens: Integers
    output_tokens: Integers
    tiers: Integers | None = None
    cached_tokens: Integers | None = None
    parts: Integers | None = None
    parts_from: Integers | None = None
    part_tokens: int = 512

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.arrivals_s)

    def rows(self, block_tokens: int, draws: np.random.PCG64) -> Rows:
        """Return the requests as the kernel reads them."""
        made = np.zeros(len(self), dtype=COMING)
        made["arrival_s"] = self.arrivals_s
        made["prompt"] = self.input_tokens
        made["output"] = self.output_tokens
        # Raw bits of a named generator never change between versions of NumPy.
        made["draw"] = draws.random_raw(len(self)).view(np.int64)
        if self.parts_from is not None:
            made["part"], made["parts_end"] = self.parts_from[:-1], self.parts_from[1:]
        if self.tiers is not None:
            made["tier"] = self.tiers
        if self.cached_tokens is not None:
            # One token at least is computed, for the sake of the next one's probabilities.
            made["cached"] = np.minimum(self.cached_tokens, self.input_tokens - 1) // block_tokens * block_tokens
        return made


def blocks_of(trace: Trace) -> Iterator[Block]:
    """Yield a trace that is in memory in blocks."""
    for start in range(0, len(trace), BLOCK_REQUESTS):
        part = slice(start, start + BLOCK_REQUESTS)
        yield Block(
            arrivals_s=trace.arrivals_s[part],
            input_tokens=trace.input_tokens[part],
            output_tokens=trace.output_tokens[part],
            parts=trace.parts,
            parts_from=None if trace.parts_from is None else trace.parts_from[start : start + BLOCK_REQUESTS + 1],
            part_tokens=trace.part_tokens,
        )
