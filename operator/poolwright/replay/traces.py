"""Traces of real traffic: when requests came and how long they were. Reads public formats by path; ships none of them.

Scaling a trace keeps its shape in time and its joint lengths. Where no file is at hand, ``profile`` makes a trace.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FRACTION_DIGITS = 6
"""``datetime`` knows microseconds; the public file prints a seventh digit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Requests in order of arrival.

    Attributes
    ----------
    arrivals_s
        Arrival times [s] from the first request on, ascending, shape (requests,).
    input_tokens, output_tokens
        Lengths of prompt and answer, each at least 1, shape (requests,).
    source
        Citation.
    parts, parts_from
        Parts of prompts that several may begin with, by number, one after the other; and where those of each request
        begin, with the end of the last, shape (requests + 1,). None: nothing is known of what prompts share.
    part_tokens
        Tokens of one part.
    """

    arrivals_s: NDArray[np.float64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    source: str
    parts: NDArray[np.int64] | None = None
    parts_from: NDArray[np.int64] | None = None
    part_tokens: int = 512

    def __post_init__(self) -> None:
        """Refuse what no replay could mean."""
        lengths = {len(self.arrivals_s), len(self.input_tokens), len(self.output_tokens)}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(f"a trace needs equally many arrivals, inputs and outputs, at least one; got {lengths}")
        if not np.all(np.isfinite(self.arrivals_s)) or np.any(np.diff(self.arrivals_s) < 0):
            raise ValueError("arrivals_s must be finite and ascending")
        if self.input_tokens.min() < 1 or self.output_tokens.min() < 1:
            raise ValueError("input_tokens and output_tokens must be at least 1")

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.arrivals_s)

    @property
    def duration_s(self) -> float:
        """Time of the last arrival [s]."""
        return float(self.arrivals_s[-1])

    def requests(self) -> Iterator[tuple[float, int, int]]:
        """Yield (arrival_s, input_tokens, output_tokens) in order."""
        yield from zip(self.arrivals_s.tolist(), self.input_tokens.tolist(), self.output_tokens.tolist(), strict=True)


def read_azure_csv(path: Path) -> Trace:
    """Read a trace in the format of the Azure LLM inference traces of 2023 (TIMESTAMP, ContextTokens, GeneratedTokens).

    Raises
    ------
    ValueError
        Naming file, line and column of what cannot be read.

    References
    ----------
    Azure/AzurePublicDataset, AzureLLMInferenceTrace_conv.csv, CC-BY 4.0.
    """
    times: list[datetime] = []
    lengths: list[tuple[int, int]] = []
    with path.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                times.append(_time(row["TIMESTAMP"]))
                lengths.append((max(1, int(row["ContextTokens"])), max(1, int(row["GeneratedTokens"]))))
            except (KeyError, TypeError, ValueError) as error:
                expected = "TIMESTAMP, ContextTokens, GeneratedTokens"
                raise ValueError(f"{path}:{number}: {error!r}; expected columns {expected}") from error
    if not times:
        raise ValueError(f"{path}: no requests")
    arrivals = np.array([(time - times[0]).total_seconds() for time in times])
    order = np.argsort(arrivals, kind="stable")
    tokens = np.array(lengths, dtype=np.int64)[order]
    return Trace(
        arrivals_s=arrivals[order], input_tokens=tokens[:, 0], output_tokens=tokens[:, 1], source=f"{path.name} (Azure)"
    )


def _time(text: str) -> datetime:
    whole, _, fraction = text.partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:FRACTION_DIGITS]:0<{FRACTION_DIGITS}}")


def scaled(trace: Trace, factor: float, rng: np.random.Generator, *, window_s: float = 10.0) -> Trace:
    """Return a trace with ``factor`` times the requests: independent users with the same rhythm and lengths.

    Every request is repeated ``factor`` times on average, each copy moved uniformly inside its own ``window_s`` and
    given the joint lengths of a request drawn from the whole trace. Rates over windows scale; the clumping of single
    users inside a window does not.
    """
    if not 0.0 < factor < float("inf"):
        raise ValueError(f"factor is {factor}, must be positive and finite")
    copies = np.floor(factor + rng.random(len(trace))).astype(np.int64)
    start = np.floor(np.repeat(trace.arrivals_s, copies) / window_s) * window_s
    arrivals = np.sort(start + rng.random(len(start)) * window_s)
    drawn = rng.integers(0, len(trace), len(arrivals))
    return Trace(
        arrivals_s=arrivals,
        input_tokens=trace.input_tokens[drawn],
        output_tokens=trace.output_tokens[drawn],
        source=f"{trace.source}, times {factor:g}",
    )
