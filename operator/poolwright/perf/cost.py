"""What a replica costs: dollars per second, watts, and both per token at a given speed. Section 7 of docs/model.md.

Prices are the catalogue's or the user's; carbon and margins are the planner's.
"""

from dataclasses import dataclass
from typing import Final

from poolwright.perf.replica import ReplicaConfig
from poolwright.units import TOKENS_PER_MILLION

BUSY_POWER_RATIO: Final = 0.55
"""Power of a busy decode step between idle and TDP [ratio]: Splitwise measured 0.5-0.6 of TDP in decoding and up to 1
in prefill on A100 and H100 (Patel et al., ISCA 2024, section 3). Erring low understates energy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost of a replica at one operating point.

    Attributes
    ----------
    usd_per_s
        Price of the replica, None where its accelerator has no price.
    power_w
        Mean power of its accelerators.
    joules_per_token, usd_per_million_tokens
        Per output token; None where nothing is produced (or no price is known).
    """

    usd_per_s: float | None
    power_w: float
    joules_per_token: float | None
    usd_per_million_tokens: float | None


def usd_per_s(config: ReplicaConfig, price_usd_per_s: float | None = None) -> float | None:
    """Return the price of a replica [$/s]: of its accelerators, by the user's price or the catalogue's."""
    price = config.accelerator.price_usd_per_s if price_usd_per_s is None else price_usd_per_s
    return None if price is None else price * config.accelerators


def power_w(config: ReplicaConfig, busy_ratio: float, compute_ratio: float) -> float:
    """Return the mean power of a replica's accelerators [W], equation (7.1).

    Parameters
    ----------
    busy_ratio
        Share of time in which a step runs, in [0, 1].
    compute_ratio
        Share of the step's time that the peak compute would need, in [0, 1]: prefill draws more than decode.
    """
    accelerator = config.accelerator
    activity = busy_ratio * min(1.0, BUSY_POWER_RATIO + (1.0 - BUSY_POWER_RATIO) * min(1.0, 2.0 * compute_ratio))
    return config.accelerators * (accelerator.idle_w + activity * (accelerator.tdp_w - accelerator.idle_w))


def cost(
    config: ReplicaConfig,
    *,
    output_tokens_per_s: float,
    busy_ratio: float = 1.0,
    compute_ratio: float = 0.0,
    price_usd_per_s: float | None = None,
) -> Cost:
    """Return cost and energy of a replica that produces ``output_tokens_per_s``, equations (7.1) to (7.3)."""
    price = usd_per_s(config, price_usd_per_s)
    power = power_w(config, busy_ratio, compute_ratio)
    producing = output_tokens_per_s > 0.0
    return Cost(
        usd_per_s=price,
        power_w=power,
        joules_per_token=power / output_tokens_per_s if producing else None,
        usd_per_million_tokens=(
            price / output_tokens_per_s * TOKENS_PER_MILLION if producing and price is not None else None
        ),
    )
