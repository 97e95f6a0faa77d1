"""What the fleet planner is asked: pools with their loads, and what they share (accelerators, budgets, a purpose).

Only values; columns are made in ``fleet.columns``, the choice in ``fleet``.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from poolwright.planner.menu import Option
from poolwright.planner.outcome import Load
from poolwright.planner.policy import Budget, PoolPolicy
from poolwright.planner.snapshot import Variant, VariantState

SPOT_RISK_RATIO: Final = 0.25
"""What is added to a spot price when plans are compared [ratio]: an interruption costs a cold start of paid but idle
time and the requests on it. Interrupted once in 8 h with minutes to come back loses a few percent; erring high keeps
small discounts from moving pools. Convention of this planner, to be set where the rate of interruptions is known."""


class Purpose(StrEnum):
    """What the fleet minimises once objectives are served as far as they can be."""

    COST = "Cost"
    ENERGY = "Energy"
    CARBON = "Carbon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """One accelerator as the fleet can get it.

    Attributes
    ----------
    accelerator
        Catalogue name.
    quota
        Most that all pools together may occupy; None is no limit.
    reserved
        Of those, already paid for whether used or not.
    spot, spot_usd_per_s
        Of those, to be had as interruptible capacity, and what one costs then [$/s].
    domains
        Accelerators in each failure domain; empty where unknown.
    grams_per_j
        Carbon of the electricity where it stands [g/J]; None: the fleet's.
    """

    accelerator: str
    quota: int | None = None
    reserved: int = 0
    spot: int = 0
    spot_usd_per_s: float | None = None
    domains: tuple[int, ...] = ()
    grams_per_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLimits:
    """What all pools share.

    Attributes
    ----------
    supplies
        Accelerators that are bounded, reserved or priced in a special way; others are unlimited at their price.
    budget
        Ceilings of everything together.
    purpose
        What is minimised after objectives.
    grams_per_j
        Carbon of electricity where a supply states none [g/J].
    spot_risk_ratio
        Added to spot prices in comparisons [ratio].
    """

    supplies: tuple[Supply, ...] = ()
    budget: Budget = field(default_factory=Budget)
    purpose: Purpose = Purpose.COST
    grams_per_j: float = 0.0
    spot_risk_ratio: float = SPOT_RISK_RATIO

    def supply(self, accelerator: str) -> Supply:
        """Return the supply of an accelerator; an unlimited one where none is stated."""
        return next(
            (each for each in self.supplies if each.accelerator == accelerator), Supply(accelerator=accelerator)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRequest:
    """One pool that shares.

    Attributes
    ----------
    policy
        Objectives, priorities and the pool's own ceilings, which it keeps.
    loads
        Demand of each tier, in the order of ``policy.tiers``.
    options
        Ways to run the model that are open to it.
    running
        What runs now: changing it costs.
    utility
        What a request served in time is worth relative to other pools' [1].
    spare_replicas
        Replicas beyond what the load needs, so that so many may fail (N+1 is 1).
    min_domains
        Failure domains that each tier's replicas are spread over.
    spot_ratio
        Share of its accelerators that may be interruptible [ratio].
    judged
        Variants with a rate [1/s] and the replicas that a judge asked for at it: what it corrects is carried over.
    """

    policy: PoolPolicy
    loads: tuple[Load, ...]
    options: tuple[Option, ...]
    running: tuple[VariantState, ...] = ()
    utility: float = 1.0
    spare_replicas: int = 0
    min_domains: int = 1
    spot_ratio: float = 0.0
    judged: tuple[tuple[Variant, float, int], ...] = ()

    @property
    def name(self) -> str:
        """The pool as people name it."""
        return f"{self.policy.namespace}/{self.policy.name}"
