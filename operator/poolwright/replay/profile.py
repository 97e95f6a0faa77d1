"""A trace boiled down to what ships: rates over short windows and joint bins of lengths, with its citation.

``python -m poolwright.replay.profile TRACE.csv`` prints the profile that lies in ``data/``. A profile makes a trace
again by drawing Poisson arrivals at each window's rate and lengths from the joint bins: windows and lengths are kept,
single requests are not.
"""

import json
import sys
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poolwright.replay.traces import Trace, read_azure_csv

WINDOW_S = 10.0
"""[s] Long enough for some tens of requests, short enough for every burst that a replica's queue feels."""
BINS_PER_OCTAVE = 2
"""Length bins per doubling: within a bin lengths differ by 41 % at most, and their mean is kept exactly."""
CITATION = (
    "Azure LLM inference trace, conversation, 2023-11-16 (Azure/AzurePublicDataset, CC-BY 4.0; Patel et al., "
    "Splitwise, ISCA 2024): 10-second rates and joint length bins derived from it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Rates and joint lengths.

    Attributes
    ----------
    source
        Citation.
    window_s
        Length of a window [s].
    rates_per_s
        Requests per second of each window, in order.
    lengths
        ``(requests, mean input tokens, mean output tokens)`` of each non-empty joint bin.
    """

    source: str
    window_s: float
    rates_per_s: tuple[float, ...]
    lengths: tuple[tuple[int, float, float], ...]

    @property
    def mean_rate_per_s(self) -> float:
        """Requests per second over the whole profile."""
        return sum(self.rates_per_s) / len(self.rates_per_s)

    def mean_tokens(self) -> tuple[float, float]:
        """Return mean input and output tokens of a request."""
        counts, inputs, outputs = (np.array(column, dtype=np.float64) for column in zip(*self.lengths, strict=True))
        return float(np.average(inputs, weights=counts)), float(np.average(outputs, weights=counts))

    def trace(self, rng: np.random.Generator, *, factor: float = 1.0) -> Trace:
        """Draw a trace with ``factor`` times the rates."""
        if not 0.0 < factor < float("inf"):
            raise ValueError(f"factor is {factor}, must be positive and finite")
        rates = np.array(self.rates_per_s)
        counts = rng.poisson(rates * self.window_s * factor)
        starts = np.repeat(np.arange(len(rates)) * self.window_s, counts)
        arrivals = np.sort(starts + rng.random(len(starts)) * self.window_s)
        weights = np.array([count for count, _, _ in self.lengths], dtype=np.float64)
        drawn = rng.choice(len(self.lengths), size=len(arrivals), p=weights / weights.sum())
        inputs = np.array([inputs for _, inputs, _ in self.lengths])
        outputs = np.array([outputs for _, _, outputs in self.lengths])
        return Trace(
            arrivals_s=arrivals,
            input_tokens=_whole(inputs[drawn], rng),
            output_tokens=_whole(outputs[drawn], rng),
            source=self.source,
        )


def _whole(mean_tokens: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Round at random so that the mean is kept."""
    return np.maximum(1, np.floor(mean_tokens + rng.random(len(mean_tokens)))).astype(np.int64)


def profile_of(trace: Trace, *, source: str, window_s: float = WINDOW_S) -> Profile:
    """Boil a trace down to rates over windows and joint length bins."""
    windows = np.floor(trace.arrivals_s / window_s).astype(np.int64)
    rates = np.bincount(windows) / window_s
    octaves = np.floor(np.log2(np.stack([trace.input_tokens, trace.output_tokens])) * BINS_PER_OCTAVE)
    _, bin_of, counts = np.unique(octaves, axis=1, return_inverse=True, return_counts=True)
    inputs = np.bincount(bin_of, weights=trace.input_tokens) / counts
    outputs = np.bincount(bin_of, weights=trace.output_tokens) / counts
    return Profile(
        source=source,
        window_s=window_s,
        rates_per_s=tuple(round(float(rate), 4) for rate in rates),
        lengths=tuple(
            (int(count), round(float(mean_in), 1), round(float(mean_out), 1))
            for count, mean_in, mean_out in zip(counts, inputs, outputs, strict=True)
        ),
    )


def load_profile() -> Profile:
    """Return the profile that ships."""
    text = files("poolwright.replay").joinpath("data/azure2023_conversation_profile.json").read_text()
    loaded = json.loads(text)
    return Profile(
        source=loaded["source"],
        window_s=loaded["window_s"],
        rates_per_s=tuple(loaded["rates_per_s"]),
        lengths=tuple((int(count), float(mean_in), float(mean_out)) for count, mean_in, mean_out in loaded["lengths"]),
    )


def main() -> None:
    """Print the profile of the trace named on the command line."""
    sys.stdout.write(json.dumps(asdict(profile_of(read_azure_csv(Path(sys.argv[1])), source=CITATION))) + "\n")


if __name__ == "__main__":
    main()
