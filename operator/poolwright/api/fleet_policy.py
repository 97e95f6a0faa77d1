"""FleetPolicy: what an administrator allows the pools of some namespaces. Cluster-scoped.

The policy with the most specific selector governs a namespace; two equally specific ones are an error that status
names.
"""

from typing import Literal

from pydantic import Field

from poolwright.api.pool_spec import BudgetSpec, Money
from poolwright.api.resource import NAME_PATTERN, Metadata, Strict, list_map
from poolwright.api.shared_spec import SharedSpec


class QuotaSpec(Strict):
    """Most accelerators of one kind that one pool may use, and what they cost here."""

    accelerator: str = Field(min_length=1, max_length=63, pattern=NAME_PATTERN, description="Catalogue name.")
    max_accelerators: int | None = Field(default=None, ge=0, le=1_000_000, description="Most that a pool may occupy.")
    usd_per_hour: Money | None = Field(default=None, description="Price of one, instead of the catalogue's.")


class FleetPolicySpec(Strict):
    """Which namespaces it governs, and what they may use."""

    namespace_selector: dict[str, str] = Field(
        default={}, max_length=16, description="Labels that a namespace must have; empty: every namespace."
    )
    accelerators: tuple[QuotaSpec, ...] = Field(
        default=(),
        max_length=64,
        description="Accelerators allowed, with quota and price. Empty: all of them.",
        json_schema_extra=list_map("accelerator"),
    )
    max_replicas: int | None = Field(default=None, ge=1, le=100_000, description="Most replicas of one pool.")
    budget: BudgetSpec = Field(default=BudgetSpec(), description="Ceilings of one pool.")
    shared: SharedSpec | None = Field(
        default=None,
        description="What all governed pools share. Given, they are planned together; absent, each for itself.",
    )


class FleetPolicy(Strict):
    """Quotas, prices and ceilings for pools."""

    api_version: Literal["poolwright.io/v1alpha1"] = "poolwright.io/v1alpha1"
    kind: Literal["FleetPolicy"] = "FleetPolicy"
    metadata: Metadata
    spec: FleetPolicySpec = Field(default=FleetPolicySpec(), description="What is allowed.")
