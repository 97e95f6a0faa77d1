"""What a user may say of a pool: what is wanted, never how the controller works; units are in the names."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator
from pydantic.json_schema import WithJsonSchema

from poolwright.api.resource import MONEY_PATTERN, NAME_PATTERN, Strict, list_map, rules
from poolwright.api.serving_spec import AcceleratorSpec, EngineSpec, ModelSpec, PodSpec
from poolwright.planner.policy import Mode

LOWEST_PERCENTILE, HIGHEST_PERCENTILE = 50.0, 99.9
PERCENTILE_PATTERN = "^[5-9][0-9]([.][0-9])?$"

Percentile = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 4,
            **rules(
                (
                    f"type(self) == int ? self >= 50 && self <= 99 : self.matches('{PERCENTILE_PATTERN}')",
                    "percentile must be from 50 to 99.9, such as 95 or '99.9'",
                )
            ),
        }
    ),
]
Money = Annotated[str, Field(pattern=MONEY_PATTERN, max_length=14)]


class DemandSource(StrEnum):
    """Where the arrival rate comes from."""

    AUTO = "Auto"
    PROMETHEUS = "Prometheus"
    STATIC = "Static"


class ObjectivesSpec(Strict):
    """What a tier promises, at a percentile; at least one objective."""

    model_config = Strict.model_config | {
        "json_schema_extra": rules(
            (
                (
                    "has(self.ttftMilliseconds) || has(self.itlMilliseconds) || has(self.endToEndMilliseconds)"
                    " || has(self.deadlineSeconds)"
                ),
                (
                    "objectives needs at least one of ttftMilliseconds, itlMilliseconds, endToEndMilliseconds, "
                    "deadlineSeconds"
                ),
            ),
            (
                "!(has(self.endToEndMilliseconds) && has(self.deadlineSeconds))",
                "objectives has endToEndMilliseconds and deadlineSeconds: state only one of them",
            ),
        )
    }

    percentile: Percentile = Field(
        default=95, description="Percent of requests (and tokens) that must meet the objectives: 50 to 99, or '99.9'."
    )
    ttft_milliseconds: int | None = Field(default=None, ge=1, le=3_600_000, description="Time to first token.")
    itl_milliseconds: int | None = Field(default=None, ge=1, le=60_000, description="Time between two tokens.")
    end_to_end_milliseconds: int | None = Field(default=None, ge=1, le=86_400_000, description="Whole request.")
    deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        le=604_800,
        description="Whole request, for batch work. Alone, demand is averaged over it: work may queue for half of it.",
    )

    @field_validator("percentile")
    @classmethod
    def _percentile_in_range(cls, value: int | str) -> int | str:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not LOWEST_PERCENTILE <= number <= HIGHEST_PERCENTILE:
            raise ValueError(f"is {value!r}, must be from 50 to 99.9")
        return value

    @model_validator(mode="after")
    def _at_least_one(self) -> "ObjectivesSpec":
        stated = (
            self.ttft_milliseconds,
            self.itl_milliseconds,
            self.end_to_end_milliseconds,
            self.deadline_seconds,
        )
        if all(value is None for value in stated):
            raise ValueError("needs at least one of ttftMilliseconds, itlMilliseconds, endToEndMilliseconds")
        if self.end_to_end_milliseconds is not None and self.deadline_seconds is not None:
            raise ValueError("has endToEndMilliseconds and deadlineSeconds: state only one of them")
        return self


class SessionsSpec(Strict):
    """Requests that follow one another: agents that call tools, rollouts, long conversations."""

    turns: int = Field(default=1, ge=1, le=10_000, description="Mean requests of a session.")
    new_tokens_per_turn: int = Field(
        default=0, ge=0, le=10_000_000, description="Mean prompt tokens that each later turn adds to what was said."
    )
    hold_seconds: int = Field(
        default=0,
        ge=0,
        le=86_400,
        description="Mean time between an answer and the next turn (tools run): the context stays in the cache.",
    )
    samples_per_prompt: int = Field(
        default=1, ge=1, le=10_000, description="Sessions that begin with the same prompt, as rollouts do."
    )


class WorkloadSpec(Strict):
    """What requests are expected to look like, until they have been observed."""

    input_tokens: int = Field(
        default=1024, ge=1, le=10_000_000, description="Mean tokens of a prompt; with sessions, of the first one."
    )
    output_tokens: int = Field(default=256, ge=1, le=1_000_000, description="Mean tokens of an answer.")
    cached_prefix_percent: int = Field(
        default=0, ge=0, le=99, description="Percent of prompt tokens that the prefix cache is expected to hold."
    )
    sessions: SessionsSpec | None = Field(
        default=None, description="How requests follow one another. What was seen of lengths replaces theirs."
    )


class TierSpec(Strict):
    """One latency tier."""

    name: str = Field(min_length=1, max_length=20, pattern=NAME_PATTERN, description="Name, unique in the pool.")
    priority: int = Field(default=0, ge=0, le=1000, description="Served first when short: lower is more important.")
    objectives: ObjectivesSpec = Field(description="What the tier promises.")
    workload: WorkloadSpec = Field(default=WorkloadSpec(), description="Hint used until requests were observed.")


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
    demand: DemandSpec = Field(default=DemandSpec(), description="Where the arrival rate comes from.")
    scaling: ScalingSpec = Field(default=ScalingSpec(), description="Bounds and pace.")
    budget: BudgetSpec = Field(default=BudgetSpec(), description="Ceilings of cost and power.")
    pod: PodSpec = Field(default=PodSpec(), description="Whitelisted fields of the engine pods.")

    @field_validator("tiers", "accelerators")
    @classmethod
    def _unique_names(cls, items: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [item.name for item in items]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names must be unique, {', '.join(twice)} occurs twice")
        return items
