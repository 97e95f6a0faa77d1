"""What the pools of a FleetPolicy share: accelerators and budgets for all of them together, and what they are for."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from poolwright.api.pool_spec import BudgetSpec, Money
from poolwright.api.resource import NAME_PATTERN, Strict, list_map, rules


class Objective(StrEnum):
    """What is minimised once objectives are served as far as they can be."""

    COST = "Cost"
    ENERGY = "Energy"
    CARBON = "Carbon"


class SharedAcceleratorSpec(Strict):
    """One kind of accelerator for all governed pools together."""

    model_config = Strict.model_config | {
        "json_schema_extra": rules(
            (
                "!has(self.maxAccelerators) || self.reserved <= self.maxAccelerators",
                "reserved must not exceed maxAccelerators",
            ),
            ("self.spot == 0 || has(self.spotUsdPerHour)", "spot accelerators need spotUsdPerHour"),
        )
    }

    accelerator: str = Field(min_length=1, max_length=63, pattern=NAME_PATTERN, description="Catalogue name.")
    max_accelerators: int | None = Field(
        default=None, ge=0, le=1_000_000, description="Most that all pools together may occupy. None: what nodes have."
    )
    reserved: int = Field(
        default=0, ge=0, le=1_000_000, description="Of those, paid for whether used or not: they cost nothing more."
    )
    spot: int = Field(
        default=0, ge=0, le=1_000_000, description="Of those, interruptible. Counts when plans are compared."
    )
    spot_usd_per_hour: Money | None = Field(default=None, description="Price of an interruptible one.")
    carbon_grams_per_kilowatt_hour: int | None = Field(
        default=None, ge=0, le=5000, description="Carbon of electricity where these stand, if it differs."
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.max_accelerators is not None and self.reserved > self.max_accelerators:
            raise ValueError(f"reserved is {self.reserved}, above maxAccelerators {self.max_accelerators}")
        if self.spot > 0 and self.spot_usd_per_hour is None:
            raise ValueError(f"spot is {self.spot}: it needs spotUsdPerHour")
        return self


class UtilitySpec(Strict):
    """What requests of some pools are worth, relative to others of the same tier priority."""

    pool: str = Field(min_length=1, max_length=253, description="Name of the pool.")
    namespace: str = Field(min_length=1, max_length=63, pattern=NAME_PATTERN, description="Its namespace.")
    weight: int = Field(ge=1, le=10_000, description="Worth of a request served in time; 100 where none is given.")


class SharedSpec(Strict):
    """What governed pools share. They are then planned together: the most valuable tiers first, the rest cheapest."""

    accelerators: tuple[SharedAcceleratorSpec, ...] = Field(
        default=(),
        max_length=64,
        description="Accelerators for all pools together. Those that are not named are bounded by the nodes alone.",
        json_schema_extra=list_map("accelerator"),
    )
    budget: BudgetSpec = Field(default=BudgetSpec(), description="Ceilings of all pools together.")
    objective: Objective = Field(
        default=Objective.COST,
        description="What is minimised once every tier is served as far as it can be: Cost, Energy or Carbon.",
    )
    carbon_grams_per_kilowatt_hour: int = Field(
        default=400, ge=0, le=5000, description="Carbon of electricity at the site."
    )
    spot_percent: int = Field(
        default=0, ge=0, le=100, description="Share of each pool's accelerators that may be interruptible."
    )
    utilities: tuple[UtilitySpec, ...] = Field(
        default=(),
        max_length=256,
        description="What pools are worth to each other.",
        json_schema_extra=list_map("namespace", "pool"),
    )
