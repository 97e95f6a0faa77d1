"""What a user may say of a pool: what is wanted, never how the controller works; units are in the names."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from poolwright.api.resource import MONEY_PATTERN, Strict, list_map, rules
from poolwright.api.serving_spec import AcceleratorSpec, EngineSpec, ModelSpec, PodSpec
from poolwright.api.tier_spec import TaskClassSpec, TierSpec
from poolwright.planner.policy import Mode
from poolwright.units import PERCENT

Money = Annotated[str, Field(pattern=MONEY_PATTERN, max_length=14)]


class DemandSource(StrEnum):
    """Where the arrival rate comes from."""

    AUTO = "Auto"
    PROMETHEUS = "Prometheus"
    STATIC = "Static"


class DemandSpec(Strict):
    """Where the arrival rate comes from."""

    model_config = Strict.model_config | {
        "json_schema_extra": rules(
            ("self.source != 'Static' || has(self.requestsPerMinute)", "demand.source Static needs requestsPerMinute"),
            ("self.source != 'Prometheus' || has(self.query)", "demand.source Prometheus needs query"),
        )
    }

    source: DemandSource = Field(
        default=DemandSource.AUTO,
        description="Auto: the engines' own counters. Prometheus: a query. Static: a stated rate.",
    )
    query: str | None = Field(
        default=None, min_length=1, max_length=2000, description="PromQL that gives the pool's requests per second."
    )
    requests_per_minute: int | None = Field(
        default=None, ge=0, le=100_000_000, description="Stated rate of the pool, shared equally by its tiers."
    )

    @model_validator(mode="after")
    def _is_complete(self) -> "DemandSpec":
        if self.source is DemandSource.STATIC and self.requests_per_minute is None:
            raise ValueError("source Static needs requestsPerMinute")
        if self.source is DemandSource.PROMETHEUS and self.query is None:
            raise ValueError("source Prometheus needs query")
        return self


class ScalingSpec(Strict):
    """Bounds and pace of the pool over all tiers."""

    model_config = Strict.model_config | {
        "json_schema_extra": rules(
            (
                "self.minReplicas <= self.maxReplicas",
                "scaling.minReplicas must not be above scaling.maxReplicas",
            ),
            (
                "!has(self.replicas) || (self.replicas >= self.minReplicas && self.replicas <= self.maxReplicas)",
                "scaling.replicas must be from scaling.minReplicas to scaling.maxReplicas",
            ),
        )
    }

    min_replicas: int = Field(default=1, ge=0, le=10_000, description="Fewest replicas over all tiers.")
    max_replicas: int = Field(
        default=64, ge=1, le=10_000, description="Most replicas over all tiers; the default bounds a mistake's cost."
    )
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="Exact number: a pin. The scale subresource writes it, and answers reads only while it is set.",
    )
    scale_to_zero_after_seconds: int | None = Field(
        default=None, ge=60, le=604_800, description="With minReplicas 0: idle time before the last replica goes."
    )
    headroom_percent: int = Field(default=0, ge=0, le=500, description="Capacity planned beyond the demand.")
    scale_down_stabilization_seconds: int = Field(
        default=300, ge=0, le=86_400, description="A lower number must have been enough for this long."
    )
    max_change_per_minute: int | None = Field(
        default=None, ge=1, le=10_000, description="Most replicas removed in a minute. Scaling up is never slowed."
    )

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "ScalingSpec":
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"minReplicas is {self.min_replicas}, above maxReplicas {self.max_replicas}")
        if self.replicas is not None and not self.min_replicas <= self.replicas <= self.max_replicas:
            raise ValueError(f"replicas is {self.replicas}, must be from {self.min_replicas} to {self.max_replicas}")
        return self


class BudgetSpec(Strict):
    """Ceilings that the pool's plan may not pass."""

    usd_per_hour: Money | None = Field(default=None, description="Most the pool may cost, such as '42.50'.")
    watts: int | None = Field(default=None, ge=1, le=1_000_000_000, description="Most power its accelerators may draw.")


class InferencePoolSpec(Strict):
    """Model, objectives and bounds."""

    model_config = Strict.model_config | {
        "json_schema_extra": rules(
            (
                (
                    "!has(self.taskClasses) || self.taskClasses.size() == 0 || "
                    "self.taskClasses.map(c, c.requestPercent).sum() == 100"
                ),
                "taskClasses: requestPercent must add up to 100",
            )
        )
    }

    mode: Mode = Field(
        default=Mode.AUTO,
        description="Auto: act. Recommend: write the plan to status and events, touch nothing. Paused: rest.",
    )
    model: ModelSpec = Field(description="What is served.")
    engine: EngineSpec = Field(default=EngineSpec(), description="What serves it.")
    accelerators: tuple[AcceleratorSpec, ...] = Field(
        default=(),
        max_length=40,
        description="The menu. Empty: whatever the FleetPolicy allows and the cluster has.",
        json_schema_extra=list_map("name"),
    )
    tiers: tuple[TierSpec, ...] = Field(
        min_length=1, max_length=8, description="Latency tiers.", json_schema_extra=list_map("name")
    )
    task_classes: tuple[TaskClassSpec, ...] = Field(
        default=(),
        max_length=16,
        description="Kinds of tasks, for right-sizing among model.alternatives.",
        json_schema_extra=list_map("name"),
    )
    demand: DemandSpec = Field(default=DemandSpec(), description="Where the arrival rate comes from.")
    scaling: ScalingSpec = Field(default=ScalingSpec(), description="Bounds and pace.")
    budget: BudgetSpec = Field(default=BudgetSpec(), description="Ceilings of cost and power.")
    pod: PodSpec = Field(default=PodSpec(), description="Whitelisted fields of the engine pods.")

    @field_validator("task_classes")
    @classmethod
    def _all_requests(cls, items: tuple[TaskClassSpec, ...]) -> tuple[TaskClassSpec, ...]:
        total = sum(each.request_percent for each in items)
        if items and total != PERCENT:
            raise ValueError(f"requestPercent adds up to {total}, must be 100")
        return items

    @field_validator("tiers", "accelerators", "task_classes")
    @classmethod
    def _unique_names(cls, items: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [item.name for item in items]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names must be unique, {', '.join(twice)} occurs twice")
        return items
