"""What replicas cost and draw, in the units that people compare: $/h, $ per million tokens, watts.

A price that nobody states is None, never zero.
"""

from collections.abc import Mapping

from poolwright.hardware.accelerator import Accelerator
from poolwright.planner.outcome import Load
from poolwright.units import TOKENS_PER_MILLION


def price_usd_per_s(accelerator: Accelerator, overrides: Mapping[str, float]) -> float | None:
    """Return the price of one accelerator [$/s]: the policy's, otherwise the catalogue's, otherwise None."""
    return overrides.get(accelerator.name, accelerator.price_usd_per_s)


def tokens_per_s(load: Load) -> float:
    """Return tokens in and out that a load moves [1/s]."""
    return load.rate_per_s * (load.input_tokens_mean + load.output_tokens_mean)


def usd_per_million_tokens(cost_usd_per_s: float | None, load: Load) -> float | None:
    """Return cost over tokens in and out at a load [$ per million], or None without price or demand.

    Notes
    -----
    Docs/model.md equation (10.7). Every token counts alike here; a price card that tells prompt from answer does not
    belong to a sizing decision.
    """
    rate = tokens_per_s(load)
    return None if cost_usd_per_s is None or rate <= 0.0 else cost_usd_per_s / rate * TOKENS_PER_MILLION
