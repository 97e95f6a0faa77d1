"""What the controller says of a pool: integers with their unit in the name, money as decimal strings, no floats."""

from pydantic import Field

from poolwright.api.resource import Strict, list_map


class Condition(Strict):
    """A standard Kubernetes condition."""

    type: str = Field(max_length=316, description="What is claimed, in CamelCase.")
    status: str = Field(pattern="^(True|False|Unknown)$", description="True, False or Unknown.")
    reason: str = Field(max_length=1024, description="Why, in one CamelCase word.")
    message: str = Field(default="", max_length=32_768, description="Why, with its figures.")
    observed_generation: int = Field(default=0, description="Generation of the spec that this speaks of.")
    last_transition_time: str = Field(
        description="When the status last changed.", json_schema_extra={"format": "date-time"}
    )


class VariantStatus(Strict):
    """One variant: where it runs, with which limits, and what is expected of it."""

    name: str = Field(description="Key of the variant.")
    tier: str = Field(description="Tier that it serves.")
    accelerator: str = Field(description="Catalogue name of the accelerator.")
    weight_format: str = Field(description="Number format of the weights.")
    kv_format: str = Field(description="Number format of the KV cache.")
    tensor_parallel: int = Field(description="Accelerators that share each layer.")
    replicas: int = Field(description="Replicas wanted.")
    ready_replicas: int = Field(description="Replicas that serve.")
    max_num_seqs: int = Field(description="Most sequences in a batch.")
    max_num_batched_tokens: int = Field(description="Most tokens in a step.")
    max_queued_requests: int = Field(description="Most requests that may wait at a replica.")
    ttft_milliseconds: int | None = Field(default=None, description="Predicted time to first token, at the percentile.")
    itl_microseconds: int | None = Field(default=None, description="Predicted time between tokens, at the percentile.")
    utilisation_percent: int | None = Field(default=None, description="Predicted load over capacity.")
    usd_per_hour: str | None = Field(default=None, description="Cost of all replicas wanted.")
    usd_per_million_tokens: str | None = Field(default=None, description="Cost of a million tokens in and out.")
    watts: int = Field(default=0, description="Power of all replicas wanted.")


class TierStatus(Strict):
    """One tier: what comes in, and what was seen against what was predicted."""

    name: str = Field(description="Tier.")
    requests_per_minute: int | None = Field(default=None, description="Arrivals seen; absent while unknown.")
    planned_requests_per_minute: int = Field(description="Load planned for, with backlog, forecast and headroom.")
    observed_ttft_milliseconds: int | None = Field(default=None, description="Seen time to first token.")
    observed_itl_microseconds: int | None = Field(default=None, description="Seen time between tokens.")
    reason: str = Field(description="Why this number of replicas.")
    message: str = Field(default="", description="The same in a sentence with its figures.")
    binding: str = Field(description="What would have to move for a cheaper or a feasible plan.")
    meets_objectives: bool = Field(description="Whether the plan is expected to meet the objectives.")


class RunnerUpStatus(Strict):
    """A variant that was considered and lost."""

    variant: str = Field(description="Key of the variant.")
    replicas: int = Field(description="Replicas that it would have taken.")
    usd_per_hour: str | None = Field(default=None, description="What it would have cost.")
    message: str = Field(default="", description="Why it lost.")


class Decision(Strict):
    """One entry of the history."""

    time: str = Field(description="When.", json_schema_extra={"format": "date-time"})
    replicas: int = Field(description="Replicas wanted over all tiers.")
    reason: str = Field(description="Why.")
    message: str = Field(default="", max_length=1024, description="The same in a sentence.")


class InferencePoolStatus(Strict):
    """Plan, state and reasons."""

    observed_generation: int = Field(default=0, description="Generation of the spec that was last acted on.")
    replicas: int = Field(default=0, description="Replicas wanted over all tiers.")
    ready_replicas: int = Field(default=0, description="Replicas that serve.")
    selector: str = Field(default="", description="Label selector of the pool's pods, for the scale subresource.")
    usd_per_hour: str = Field(default="", description="Cost of everything wanted; empty where no price is known.")
    binding: str = Field(default="", description="Binding constraint of the most important tier.")
    provenance: str = Field(default="", description="Where the model's figures come from: Datasheet or Learned.")
    conditions: tuple[Condition, ...] = Field(
        default=(), max_length=16, description="Claims with reasons.", json_schema_extra=list_map("type")
    )
    plan: tuple[VariantStatus, ...] = Field(
        default=(), max_length=64, description="Variants.", json_schema_extra=list_map("name")
    )
    tiers: tuple[TierStatus, ...] = Field(
        default=(), max_length=8, description="Tiers.", json_schema_extra=list_map("name")
    )
    runners_up: tuple[RunnerUpStatus, ...] = Field(default=(), max_length=8, description="What lost, and why.")
    history: tuple[Decision, ...] = Field(default=(), max_length=10, description="The last decisions, newest first.")
