"""What a user may say of requests: tiers with what they promise, workloads with their sessions, classes of tasks."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic.json_schema import WithJsonSchema

from poolwright.api.resource import NAME_PATTERN, Strict, rules

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


class TaskClassSpec(Strict):
    """A kind of task among the requests: what right-sizing chooses a model for."""

    name: str = Field(min_length=1, max_length=40, pattern=NAME_PATTERN, description="Name, unique in the pool.")
    request_percent: int = Field(ge=0, le=100, description="Percent of the requests; all classes add up to 100.")
    min_accuracy_percent: int = Field(default=0, ge=0, le=100, description="Percent of its tasks that must succeed.")
    relevance_percent: int = Field(
        default=100, ge=1, le=10_000, description="What a success is worth against other classes: R of A R / L^k."
    )
    latency_exponent_percent: int = Field(
        default=100, ge=0, le=300, description="How much waiting devalues an answer, 100 for in proportion: k of it."
    )
