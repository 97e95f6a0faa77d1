"""What planning returns: loads, proposals and plans as values, each with its reason and the steps that led to it.

``plan.plan`` makes them; ``explain`` prints them; the controller applies and reports them.
"""

from dataclasses import dataclass

from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import History, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the trace: its name, the value it left, why, and lines of arithmetic a person can check by hand."""

    name: str
    value: float | str
    reason: Reason
    detail: str
    arithmetic: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Demand of one tier that is planned for.

    Attributes
    ----------
    rate_per_s
        Offered requests [1/s] with backlog and headroom.
    rates_per_s, weights
        Distribution of rates over recent windows that percentiles are taken over (Poisson inside a window).
    input_tokens_mean, output_tokens_mean, cached_prefix_ratio
        The workload.
    held_token_s
        Tokens times seconds for which a request's context stays in the cache after its answer.
    is_observed
        False while a hint or a static figure stands in for signals.
    may_lower
        False when a needed signal is missing: capacity may then be held or raised only.
    """

    tier: str
    rate_per_s: float
    rates_per_s: tuple[float, ...]
    weights: tuple[float, ...]
    input_tokens_mean: float
    output_tokens_mean: float
    cached_prefix_ratio: float
    is_observed: bool
    may_lower: bool
    held_token_s: float = 0.0
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What the model expects of a variant at a number of replicas, at the tier's percentile."""

    ttft_s: float
    itl_s: float
    end_to_end_s: float
    utilisation_ratio: float
    kv_utilisation_ratio: float
    mean_batch: float
    capacity_per_s: float
    attainment_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantPlan:
    """Replicas of one variant and the limits they run with.

    Attributes
    ----------
    replicas
        Wanted now, after every limit.
    max_num_seqs, max_num_batched_tokens, max_queued_requests
        Batch limits per replica.
    cost_usd_per_s, power_w
        Of all wanted replicas; cost is None where no price is known.
    usd_per_million_tokens
        Cost over tokens in and out at the planned load, or None.
    weight_bytes
        Of one replica: what it must load before it is ready.
    rate_curve
        ``(max_num_seqs, max_num_batched_tokens, rate_per_s)``: what one replica serves within the objectives at every
        pair of limits that was tried; empty where nothing was.
    """

    variant: Variant
    replicas: int
    max_num_seqs: int
    max_num_batched_tokens: int
    max_queued_requests: int
    predicted: Predicted
    cost_usd_per_s: float | None
    power_w: float
    usd_per_million_tokens: float | None
    weight_bytes: float
    rate_curve: tuple[tuple[int, int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerUp:
    """A variant that was considered and lost, and why."""

    variant: Variant
    replicas: int
    cost_usd_per_s: float | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TierPlan:
    """Outcome for one tier.

    Attributes
    ----------
    variants
        Chosen variant first, then old ones that stay until it is ready.
    wanted_replicas
        What the model wants before limits.
    reason, detail
        The step that decided the number, and a sentence with its figures.
    binding
        What a person would have to move to make it cheaper (or feasible).
    meets_objectives
        Whether the predicted percentiles meet the objectives at the replicas planned.
    """

    tier: str
    load: Load
    variants: tuple[VariantPlan, ...]
    wanted_replicas: int
    reason: Reason
    detail: str
    binding: Binding
    meets_objectives: bool
    runners_up: tuple[RunnerUp, ...] = ()
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decision for one pool at one moment; equal inputs give equal plans.

    ``history`` is what the next cycle must be given; ``missing`` names the signals whose absence held capacity.
    """

    tiers: tuple[TierPlan, ...]
    history: History
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def variants(self) -> tuple[VariantPlan, ...]:
        """Every variant of every tier."""
        return tuple(variant for tier in self.tiers for variant in tier.variants)

    @property
    def replicas(self) -> int:
        """Replicas over all tiers."""
        return sum(variant.replicas for variant in self.variants)

    @property
    def cost_usd_per_s(self) -> float | None:
        """Cost of everything wanted, or None when a price is unknown."""
        costs = [variant.cost_usd_per_s for variant in self.variants if variant.replicas]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None
