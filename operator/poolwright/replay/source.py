"""Where a replay's requests come from: a trace in memory, or rates and lengths that requests are drawn from in blocks.

A source may be read several times, with the same requests each time.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from poolwright.replay.fleet_block import BLOCK_REQUESTS, Block, blocks_of
from poolwright.replay.traces import Trace, scaled
from poolwright.simulator.layout import Floats, Integers

QUANTILES: Final = 1 << 15
"""Equally likely lengths that stand for a distribution [count]: a draw is one look-up, one in 30,000 the longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Requests to replay.

    Attributes
    ----------
    name, citation
        What it is called, and where it is from.
    duration_s
        From its beginning to the end of traffic [s].
    requests
        How many there are, or are to be expected.
    longest_tokens
        Most tokens of one request, prompt and answer together.
    opened
        Returns the blocks from the beginning on.
    """

    name: str
    citation: str
    duration_s: float
    requests: float
    longest_tokens: int
    opened: Callable[[], Iterator[Block]] = field(repr=False)

    def blocks(self) -> Iterator[Block]:
        """Return all requests from the beginning on."""
        return self.opened()

    @property
    def days(self) -> float:
        """Its length [days]."""
        return self.duration_s / 86_400.0


def source_of(trace: Trace, name: str, *, factor: float = 1.0, seed: int = 0) -> Source:
    """Return a trace in memory as a source, with ``factor`` times its requests."""
    played = trace if factor == 1.0 else scaled(trace, factor, np.random.default_rng(seed))
    return Source(
        name=name,
        citation=trace.source,
        duration_s=math.nextafter(trace.duration_s, math.inf),  # the last request still comes
        requests=len(played),
        longest_tokens=int((played.input_tokens + played.output_tokens).max()),
        opened=lambda: blocks_of(played),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lengths from a window on, each column equally likely values [tokens]; prompts and answers are independent."""

    from_s: float
    input_tokens: Integers
    output_tokens: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates and lengths that requests are drawn from.

    Attributes
    ----------
    name, citation
        As in ``Source``.
    window_s
        Length of a window [s]; arrivals are Poisson inside it.
    rates_per_s
        Requests per second by window.
    lengths
        In order of time; the first one from 0 on.
    seed
        Of all draws.
    """

    name: str
    citation: str
    window_s: float
    rates_per_s: Floats
    lengths: tuple[Lengths, ...]
    seed: int = 0

    def times(self, factor: float) -> "Rates":
        """Return the same with ``factor`` times the requests."""
        return replace(self, rates_per_s=self.rates_per_s * factor)

    def source(self) -> Source:
        """Return the requests."""
        return Source(
            name=self.name,
            citation=self.citation,
            duration_s=self.window_s * len(self.rates_per_s),
            requests=float(self.rates_per_s.sum() * self.window_s),
            longest_tokens=max(int(each.input_tokens[-1] + each.output_tokens[-1]) for each in self.lengths),
            opened=self._drawn,
        )

    def _drawn(self) -> Iterator[Block]:
        rng = np.random.default_rng(self.seed)
        starts_s = np.array([each.from_s for each in self.lengths])
        counts = rng.poisson(self.rates_per_s * self.window_s)
        for window, count in enumerate(counts.tolist()):
            begin_s = window * self.window_s
            lengths = self.lengths[int(np.searchsorted(starts_s, begin_s, side="right")) - 1]
            # A window too large for one block is spread evenly over several: each gets its own part of the window.
            parts = -(-count // BLOCK_REQUESTS)
            for part in range(parts):
                own = count * (part + 1) // parts - count * part // parts
                yield self._block(rng, lengths, begin_s + part * self.window_s / parts, parts, own)

    def _block(self, rng: np.random.Generator, lengths: Lengths, begin_s: float, parts: int, count: int) -> Block:
        # Arrivals of a Poisson process, given their number, are uniform.
        arrivals = rng.random(count)
        arrivals.sort()
        return Block(
            arrivals_s=begin_s + arrivals * (self.window_s / parts),
            input_tokens=lengths.input_tokens[rng.integers(0, len(lengths.input_tokens), count, dtype=np.int32)],
            output_tokens=lengths.output_tokens[rng.integers(0, len(lengths.output_tokens), count, dtype=np.int32)],
        )


def quantiles(ratios: Floats, tokens: Floats) -> Integers:
    """Return equally likely lengths of a distribution whose quantile is linear between the given ones [tokens]."""
    middle = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.maximum(1, np.rint(np.interp(middle, ratios, tokens))).astype(np.int64)


def quantiles_with_mean(ratios: Floats, tokens: Floats, mean_tokens: float) -> Integers:
    """Return equally likely lengths with the given quantiles and mean [tokens].

    Between two quantiles lengths rise as a power of the way, the same one everywhere, which is what makes the mean
    right: equation (13.11) of docs/model.md.
    """
    share, low, rise = np.diff(ratios), tokens[:-1], np.diff(tokens)
    least, most = float(share @ low), float(share @ (low + rise))
    if not least < mean_tokens < most:
        raise ValueError(f"a mean of {mean_tokens:g} tokens is not between {least:g} and {most:g}, as quantiles demand")
    power = (most - least) / (mean_tokens - least) - 1.0
    middle = (np.arange(QUANTILES) + 0.5) / QUANTILES
    cell = np.searchsorted(ratios, middle, side="right") - 1
    way = (middle - ratios[cell]) / share[cell]
    return np.maximum(1, np.rint(low[cell] + rise[cell] * way**power)).astype(np.int64)
