"""Synthetic traffic: a step, a ramp, bursts, and a day with a night, with lengths like those of conversations."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poolwright.replay.source import Lengths, Rates, quantiles_with_mean
from poolwright.simulator.layout import Floats
from poolwright.units import SECONDS_PER_HOUR

WINDOW_S: Final = 10.0
"""[s] A window of constant rate: shorter than any period of decisions."""
BASE_PER_S: Final = 10.0
"""[1/s] Rate that shapes are multiples of: a few replicas of a large model."""
BURST_S: Final = 300.0
"""[s] Longer than a cold start, so that replicas ordered for it still serve it."""
RATIOS: Final = np.array([0.0, 0.5, 0.9, 0.99, 1.0])
"""Where the quantiles below are."""
INPUT_TOKENS, INPUT_MEAN = np.array([1.0, 800.0, 2500.0, 6000.0, 8000.0]), 1150.0
OUTPUT_TOKENS, OUTPUT_MEAN = np.array([1.0, 150.0, 450.0, 900.0, 1500.0]), 200.0
"""Quantiles and means of lengths [tokens]: round numbers near those of published conversation traces."""
SHAPES: Final = {
    "step": (2.0, "the rate triples at half time"),
    "ramp": (2.0, "the rate rises fivefold over an hour and stays"),
    "burst": (6.0, "the rate is fourfold in the first five minutes of every hour"),
    "night": (48.0, "two days, each from a tenth of the rate at night to fourfold at noon"),
}
"""Hours, and what it is, by name."""


def shape(name: str, seed: int = 0) -> Rates:
    """Return synthetic traffic by name."""
    hours, title = SHAPES[name]
    hour = (np.arange(round(hours * SECONDS_PER_HOUR / WINDOW_S)) + 0.5) * WINDOW_S / SECONDS_PER_HOUR
    return Rates(
        name=name,
        citation=f"synthetic: {title}",
        window_s=WINDOW_S,
        rates_per_s=BASE_PER_S * _times(name, hour),
        lengths=(
            Lengths(
                from_s=0.0,
                input_tokens=quantiles_with_mean(RATIOS, INPUT_TOKENS, INPUT_MEAN),
                output_tokens=quantiles_with_mean(RATIOS, OUTPUT_TOKENS, OUTPUT_MEAN),
            ),
        ),
        seed=seed,
    )


def _times(name: str, hour: NDArray[np.floating[Any]]) -> Floats:
    """Return the rate by the base rate at times in hours."""
    if name == "step":
        return np.where(hour < 1.0, 1.0, 3.0)
    if name == "ramp":
        return np.asarray(1.0 + 4.0 * np.clip(hour - 0.5, 0.0, 1.0))
    if name == "burst":
        return np.asarray(np.where((hour % 1.0) * SECONDS_PER_HOUR < BURST_S, 4.0, 1.0))
    noon = 0.5 - 0.5 * np.cos(2.0 * np.pi * hour / 24.0)
    return np.asarray(0.1 + 3.9 * noon**2)
