"""From a tier's proposal and granted replicas to what is reported: predictions, cost, and the step that decided.

Only describes; numbers of replicas come from ``limits`` and ``transition``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from poolwright.hardware.catalogue import Catalogue, UnknownAcceleratorError
from poolwright.perf.memory import weight_bytes
from poolwright.perf.replica import ReplicaConfig, ReplicaError
from poolwright.planner.candidates import Candidate, Rejected, candidates, with_limits, workload_of
from poolwright.planner.ceilings import ReplicaCost
from poolwright.planner.menu import Option
from poolwright.planner.optimise import Proposal
from poolwright.planner.outcome import Load, Predicted, Step, TierPlan, VariantPlan
from poolwright.planner.policy import PoolPolicy, TierPolicy
from poolwright.planner.prices import price_usd_per_s, usd_per_million_tokens
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import Variant, VariantState
from poolwright.planner.verify import Judge, expected
from poolwright.queueing.objectives import Objectives

QUEUE_S: Final = 60.0
"""Longest wait that a full queue stands for where a tier states no latency for whole requests [s]."""

QUEUE_RATIO: Final = 2.0
"""Factor by which a running queue limit may be off before it is changed [ratio]: it only decides who is told early."""

BINDING_OF: Final = {
    Reason.PINNED: Binding.PIN,
    Reason.MIN_REPLICAS: Binding.MIN_REPLICAS,
    Reason.MAX_REPLICAS: Binding.MAX_REPLICAS,
    Reason.ACCELERATOR_LIMIT: Binding.ACCELERATORS,
    Reason.BUDGET: Binding.BUDGET,
    Reason.FLEET: Binding.ACCELERATORS,
    Reason.SIGNAL_MISSING: Binding.SIGNAL,
    Reason.STABILISATION: Binding.STABILISATION,
    Reason.RATE_LIMIT: Binding.STABILISATION,
}
"""What a person would have to move, where a limit and not the model decided."""

SILENT: Final = (Reason.WITHIN_LIMITS, Reason.DEMAND)
"""Reasons of steps that left the number as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """One variant of a tier: its replicas, the candidate that describes it, and the state that runs now, if any."""

    variant: Variant
    replicas: int
    candidate: Candidate | None
    state: VariantState | None


def tier_plan(
    tier: TierPolicy,
    load: Load,
    proposal: Proposal,
    granted: Sequence[Granted],
    steps: Sequence[Step],
    costs: Mapping[Variant, ReplicaCost],
) -> TierPlan:
    """Return the plan of one tier; ``granted`` begins with the chosen variant, ``steps`` are those of its limits."""
    plans = tuple(_variant_plan(tier, load, each, granted, costs[each.variant], proposal.judge) for each in granted)
    deciding = next((step for step in reversed(steps) if step.reason not in SILENT), None)
    replicas = plans[0].replicas if plans else 0
    is_served = proposal.offer is not None and replicas > 0
    idle = load.rate_per_s == 0.0 and load.may_lower
    is_met = idle or (is_served and plans[0].predicted.attainment_ratio >= tier.objectives.percentile_ratio)
    reason, detail = (deciding.reason, deciding.detail) if deciding else _unlimited(load, proposal)
    if proposal.offer is None:
        reason, detail = proposal.reason, proposal.detail
    return TierPlan(
        tier=tier.name,
        load=load,
        variants=plans,
        wanted_replicas=wanted_of(load, proposal),
        reason=reason,
        detail=detail,
        binding=BINDING_OF.get(reason, proposal.binding),
        meets_objectives=is_met,
        runners_up=proposal.runners_up,
        steps=(*load.steps, *proposal.steps, *steps),
    )


def wanted_of(load: Load, proposal: Proposal) -> int:
    """Return how many replicas the model wants: none without any demand."""
    if proposal.offer is None or load.rate_per_s <= 0.0:
        return 0
    return proposal.offer.verdict.replicas


def _unlimited(load: Load, proposal: Proposal) -> tuple[Reason, str]:
    """Return why, where no limit moved the number: the load's last word."""
    speaking = [
        step for step in load.steps if step.reason in (Reason.BACKLOG, Reason.STATIC_DEMAND, Reason.ZERO_MEASUREMENT)
    ]
    reason = speaking[-1].reason if speaking and speaking[-1].name != "lengths" else Reason.DEMAND
    return reason, next((step.detail for step in proposal.steps if step.name == "replicas"), proposal.detail)


def _variant_plan(
    tier: TierPolicy, load: Load, own: Granted, granted: Sequence[Granted], cost: ReplicaCost, judge: Judge
) -> VariantPlan:
    total_usd_per_s = None if cost.usd_per_s is None else cost.usd_per_s * own.replicas
    share = _share(own, granted)
    limits = _limits(tier, own)
    return VariantPlan(
        variant=own.variant,
        replicas=own.replicas,
        max_num_seqs=limits.max_num_seqs,
        max_num_batched_tokens=limits.max_num_batched_tokens,
        max_queued_requests=limits.max_queued_requests,
        predicted=_predicted(tier, load, own, share, judge),
        cost_usd_per_s=total_usd_per_s,
        power_w=cost.power_w * own.replicas,
        usd_per_million_tokens=_per_million(total_usd_per_s, load, share),
        weight_bytes=limits.weight_bytes,
        rate_curve=() if own.candidate is None else own.candidate.limits.rate_curve,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """Everything of a variant that its pods' command line and probes are made from."""

    max_num_seqs: int
    max_num_batched_tokens: int
    max_queued_requests: int
    weight_bytes: float


def _limits(tier: TierPolicy, own: Granted) -> _Limits:
    """Return what a variant's pods are given: what running ones have, as long as that is about right.

    A change of any of these rolls every replica over, so none may follow the digits of an observed mean.
    """
    candidate, state = own.candidate, own.state
    if candidate is None:
        known = state or VariantState(variant=own.variant, wanted=0)
        return _Limits(
            max_num_seqs=max(known.max_num_seqs, 1),
            max_num_batched_tokens=max(known.max_num_batched_tokens, 1),
            max_queued_requests=max(known.max_queued_requests, 1),
            weight_bytes=known.weight_bytes,
        )
    sequences, tokens = candidate.limits.max_num_seqs, candidate.limits.max_num_batched_tokens
    queued = max(math.ceil(candidate.limits.rate_per_s * _patience_s(tier.objectives)), 1)
    weights = loaded_bytes(candidate.config)
    if state is not None and (state.max_num_seqs, state.max_num_batched_tokens) == (sequences, tokens):
        is_about_right = 1.0 / QUEUE_RATIO <= state.max_queued_requests / queued <= QUEUE_RATIO
        queued = state.max_queued_requests if is_about_right else queued
        weights = state.weight_bytes or weights
    return _Limits(
        max_num_seqs=sequences, max_num_batched_tokens=tokens, max_queued_requests=queued, weight_bytes=weights
    )


def loaded_bytes(config: ReplicaConfig) -> float:
    """Return what a replica loads before it is ready [bytes]: the checkpoint, also where it is quantised on the way."""
    own = weight_bytes(config)
    try:
        native = weight_bytes(replace(config, weight_format=config.model.native_format))
    except ReplicaError:
        native = own
    return max(own, native) * config.accelerators


def _patience_s(objectives: Objectives) -> float:
    """Return how long a request may wait before it is hopeless [s]: longer queues only make everybody late."""
    return objectives.ttft_s or objectives.end_to_end_s or QUEUE_S


def _share(own: Granted, granted: Sequence[Granted]) -> float:
    """Return which part of the load a variant carries, by what its replicas can serve."""

    def ability(each: Granted) -> float:
        return each.replicas * (each.candidate.limits.rate_per_s if each.candidate else 0.0)

    total = sum(ability(each) for each in granted)
    return ability(own) / total if total > 0.0 else 1.0 / len(granted)


def _per_million(cost_usd_per_s: float | None, load: Load, share: float) -> float | None:
    whole = usd_per_million_tokens(cost_usd_per_s, load)
    return None if whole is None or share <= 0.0 else whole / share


def _predicted(tier: TierPolicy, load: Load, own: Granted, share: float, judge: Judge) -> Predicted:
    if own.candidate is None or own.replicas < 1:
        return NOTHING
    return expected(own.candidate, workload_of(load), load, tier.objectives, own.replicas, share, judge)


NOTHING: Final = Predicted(
    ttft_s=math.inf,
    itl_s=math.inf,
    end_to_end_s=math.inf,
    utilisation_ratio=0.0,
    kv_utilisation_ratio=0.0,
    mean_batch=0.0,
    capacity_per_s=0.0,
    attainment_ratio=0.0,
)
"""What no replica serves: nothing arrives in time."""


def candidate_of(
    state: VariantState, policy: PoolPolicy, tier: TierPolicy, load: Load, catalogue: Catalogue
) -> Candidate | None:
    """Return the candidate that describes what runs already, with its limits; None where the catalogue lost it."""
    variant = state.variant
    try:
        accelerator = catalogue.accelerator(variant.accelerator)
    except UnknownAcceleratorError:
        return None
    option = Option(
        accelerator=accelerator,
        weight_format=variant.weight_format,
        kv_format=variant.kv_format,
        tensor_parallel=variant.tensor_parallel,
    )
    found, _ = candidates(policy.model, (option,), load, tier.objectives)
    if not found or not state.has_limits:
        return found[0] if found else None
    sequences, tokens = state.max_num_seqs, state.max_num_batched_tokens
    return with_limits(found[0], workload_of(load), tier.objectives, sequences=sequences, tokens=tokens)


def planned_candidate(policy: PoolPolicy, tier: TierPolicy, made: TierPlan, catalogue: Catalogue) -> Candidate | None:
    """Return the candidate behind the variant that a plan chose, with the limits that it gave; None without one."""
    own = next((each for each in made.variants if each.replicas > 0), None)
    if own is None:
        return None
    state = VariantState(
        variant=own.variant,
        wanted=own.replicas,
        max_num_seqs=own.max_num_seqs,
        max_num_batched_tokens=own.max_num_batched_tokens,
    )
    return candidate_of(state, policy, tier, made.load, catalogue)


def replica_cost(variant: Variant, catalogue: Catalogue, prices: Mapping[str, float]) -> ReplicaCost:
    """Return what one replica of a variant costs and draws at most; nothing known of one that the catalogue lost."""
    try:
        accelerator = catalogue.accelerator(variant.accelerator)
    except UnknownAcceleratorError:
        return ReplicaCost(usd_per_s=None, power_w=0.0)
    price = price_usd_per_s(accelerator, prices)
    return ReplicaCost(
        usd_per_s=None if price is None else price * variant.accelerators,
        power_w=accelerator.tdp_w * variant.accelerators,
    )


def unpriced(option: Option, prices: Mapping[str, float]) -> Rejected | None:
    """Return why an option is out under a budget: its cost cannot be held against it."""
    if price_usd_per_s(option.accelerator, prices) is not None:
        return None
    name = option.accelerator.name
    return Rejected(name=name, detail=f"{name} has no price, and the pool has a budget in dollars")
