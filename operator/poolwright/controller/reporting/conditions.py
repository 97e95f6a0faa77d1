"""The standard conditions of a pool, from its plan and what runs: claims with a reason and a sentence. Pure.

A condition keeps its transition time while its status stays.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from poolwright.api.pool_status import Condition
from poolwright.api.reasons import ConditionType, ControllerReason
from poolwright.planner.explain import ms_text
from poolwright.planner.outcome import Plan, TierPlan
from poolwright.planner.policy import Mode
from poolwright.planner.reason import Reason
from poolwright.planner.snapshot import Known, Snapshot

CAPACITY_REASONS: Final = (
    Reason.MAX_REPLICAS,
    Reason.ACCELERATOR_LIMIT,
    Reason.FLEET,
    Reason.NO_ACCELERATOR,
    Reason.MODEL_DOES_NOT_FIT,
)
"""Reasons of a tier that is smaller than its load wants because there is no more to have."""

DRIFT_RATIO: Final = 1.5
"""Factor between seen and predicted time per token beyond which the model is said to be off [ratio]: published
predictors without calibration are within 1.3 of measurements for most rows; percentiles of a minute scatter by 1.1."""

LONGEST_MESSAGE: Final = 2000
"""Characters of a message that are kept: a person reads no more, and status stays small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One condition before it has times."""

    type: ConditionType
    holds: bool | None
    reason: str
    message: str = ""


def claims_of(
    plan: Plan, snapshot: Snapshot, mode: Mode, conflicts: Sequence[str], ignored: Sequence[str] = ()
) -> tuple[Claim, ...]:
    """Return every claim about a pool that was planned; ``ignored`` says what of the cluster could not be used."""
    return (
        Claim(
            type=ConditionType.ACCEPTED,
            holds=True,
            reason=_accepted(mode),
            message="; ".join(f"ignored: {each}" for each in (*plan.warnings, *ignored)),
        ),
        _ready(plan, snapshot),
        _progressing(plan, snapshot),
        _objectives_met(plan),
        _limited(ConditionType.CAPACITY_LIMITED, plan, CAPACITY_REASONS, snapshot),
        _limited(ConditionType.BUDGET_LIMITED, plan, (Reason.BUDGET,), snapshot),
        _metrics_stale(plan),
        _model_drift(plan, snapshot),
        Claim(
            type=ConditionType.SCALER_CONFLICT,
            holds=bool(conflicts),
            reason=ControllerReason.FIELD_CONFLICT if conflicts else ControllerReason.AS_PLANNED,
            message="; ".join(conflicts),
        ),
    )


def refused(reason: str, message: str) -> tuple[Claim, ...]:
    """Return the claims about a pool that cannot be acted on; everything else stays as it was."""
    return (Claim(type=ConditionType.ACCEPTED, holds=False, reason=reason, message=message),)


def paused() -> tuple[Claim, ...]:
    """Return the claims about a pool that rests; everything else stays as it was."""
    return (Claim(type=ConditionType.ACCEPTED, holds=True, reason=Reason.PAUSED, message="nothing is planned"),)


def conditions_of(
    claims: Iterable[Claim], previous: Iterable[Condition], generation: int, now: str
) -> tuple[Condition, ...]:
    """Return conditions: claimed ones over the previous ones, with times."""
    before = {each.type: each for each in previous}
    made = dict(before)
    for claim in claims:
        status = {True: "True", False: "False", None: "Unknown"}[claim.holds]
        old = before.get(claim.type)
        made[claim.type] = Condition(
            type=claim.type,
            status=status,
            reason=claim.reason,
            message=claim.message[:LONGEST_MESSAGE],
            observed_generation=generation,
            last_transition_time=old.last_transition_time if old is not None and old.status == status else now,
        )
    order = {each.value: index for index, each in enumerate(ConditionType)}
    return tuple(sorted(made.values(), key=lambda each: order.get(each.type, len(order))))


def _accepted(mode: Mode) -> str:
    return ControllerReason.RECOMMEND_ONLY if mode is Mode.RECOMMEND else ControllerReason.AS_PLANNED


def _counts(plan: Plan, snapshot: Snapshot) -> tuple[int, int]:
    """Return ready and wanted replicas; ready ones of a variant count up to what is wanted of it."""
    ready = {state.variant: state.ready for state in snapshot.variants}
    return sum(min(ready.get(each.variant, 0), each.replicas) for each in plan.variants), plan.replicas


def _ready(plan: Plan, snapshot: Snapshot) -> Claim:
    ready, wanted = _counts(plan, snapshot)
    unserved = [tier for tier in plan.tiers if not tier.meets_objectives and not any(v.replicas for v in tier.variants)]
    if unserved:
        message = f"nothing serves {_sentences(unserved)}"
        return Claim(type=ConditionType.READY, holds=False, reason=unserved[0].reason, message=message)
    if ready >= wanted:
        message = f"{ready} of {wanted} replicas serve"
        return Claim(type=ConditionType.READY, holds=True, reason=ControllerReason.REPLICAS_READY, message=message)
    stuck = sum(state.unschedulable for state in snapshot.variants)
    reason = ControllerReason.UNSCHEDULABLE if stuck else ControllerReason.REPLICAS_STARTING
    message = f"{ready} of {wanted} replicas serve" + (f", {stuck} find no node" if stuck else "")
    return Claim(type=ConditionType.READY, holds=False, reason=reason, message=message)


def _progressing(plan: Plan, snapshot: Snapshot) -> Claim:
    ready, wanted = _counts(plan, snapshot)
    moving = ready < wanted or any(state.starting for state in snapshot.variants)
    reason = ControllerReason.REPLICAS_STARTING if moving else ControllerReason.AS_PLANNED
    return Claim(type=ConditionType.PROGRESSING, holds=moving, reason=reason)


def _objectives_met(plan: Plan) -> Claim:
    failing = [tier for tier in plan.tiers if not tier.meets_objectives]
    if not failing:
        return Claim(type=ConditionType.OBJECTIVES_MET, holds=True, reason=ControllerReason.AS_PLANNED)
    return Claim(type=ConditionType.OBJECTIVES_MET, holds=False, reason=failing[0].reason, message=_sentences(failing))


def _limited(kind: ConditionType, plan: Plan, reasons: Sequence[Reason], snapshot: Snapshot) -> Claim:
    """Return whether a bound keeps a tier below its load; pods without a node count as missing accelerators."""
    bound = [tier for tier in plan.tiers if tier.reason in reasons]
    stuck = sum(state.unschedulable for state in snapshot.variants)
    if bound:
        return Claim(type=kind, holds=True, reason=bound[0].reason, message=_sentences(bound))
    if stuck and kind is ConditionType.CAPACITY_LIMITED:
        message = f"{stuck} replicas find no node"
        return Claim(type=kind, holds=True, reason=ControllerReason.UNSCHEDULABLE, message=message)
    return Claim(type=kind, holds=False, reason=Reason.WITHIN_LIMITS)


def _sentences(tiers: Iterable[TierPlan]) -> str:
    return "; ".join(f"{tier.tier}: {tier.detail}" for tier in tiers)


def _metrics_stale(plan: Plan) -> Claim:
    if not plan.missing:
        return Claim(type=ConditionType.METRICS_STALE, holds=False, reason=ControllerReason.SIGNALS_PRESENT)
    message = f"capacity is held, not lowered; missing: {'; '.join(_by_cause(plan.missing))}"
    return Claim(type=ConditionType.METRICS_STALE, holds=True, reason=ControllerReason.SIGNALS_MISSING, message=message)


def _by_cause(missing: Iterable[str]) -> list[str]:
    """Return missing signals with their cause, each cause once: one pod that does not answer lacks all of them.

    >>> _by_cause(["chat.arrivals_per_s: Stale (90 s)", "chat.waiting: Stale (90 s)"])
    ['chat.arrivals_per_s, chat.waiting: Stale (90 s)']
    """
    causes: dict[str, list[str]] = {}
    for each in missing:
        name, _, cause = each.partition(": ")
        causes.setdefault(cause, []).append(name)
    return [f"{', '.join(names)}: {cause}" for cause, names in causes.items()]


def _model_drift(plan: Plan, snapshot: Snapshot) -> Claim:
    """Compare time per token as seen and as predicted, where load runs on what was planned."""
    compared = []
    for tier in plan.tiers:
        seen = snapshot.signals(tier.tier).itl_s
        if isinstance(seen, Known) and seen.value > 0.0 and tier.variants and tier.variants[0].predicted.itl_s > 0.0:
            compared.append((tier.tier, seen.value, tier.variants[0].predicted.itl_s))
    if not compared:
        return Claim(type=ConditionType.MODEL_DRIFT, holds=None, reason=ControllerReason.NOT_OBSERVED)
    off = [each for each in compared if not 1.0 / DRIFT_RATIO <= each[1] / each[2] <= DRIFT_RATIO]
    if not off:
        return Claim(type=ConditionType.MODEL_DRIFT, holds=False, reason=ControllerReason.WITHIN_TOLERANCE)
    message = "; ".join(f"{name}: ITL {ms_text(seen)} seen, {ms_text(made)} predicted" for name, seen, made in off)
    return Claim(type=ConditionType.MODEL_DRIFT, holds=True, reason=ControllerReason.PREDICTION_OFF, message=message)
