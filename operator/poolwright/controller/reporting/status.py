"""The status of a pool from its plan: a pure function, rounded so that it changes when something did.

Writing it is ``report``'s. Numbers that live traffic jitters are kept to two digits; counts and reasons are exact.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from poolwright.api.inference_pool import InferencePool
from poolwright.api.pool_status import Decision, InferencePoolStatus, RunnerUpStatus, TierStatus, VariantStatus
from poolwright.controller.objects import labels
from poolwright.controller.reporting.conditions import Claim, claims_of, conditions_of
from poolwright.planner.outcome import Plan, TierPlan, VariantPlan
from poolwright.planner.snapshot import Known, Signal, Snapshot
from poolwright.units import (
    MICROSECONDS_PER_SECOND,
    MILLISECONDS_PER_SECOND,
    SECONDS_PER_MINUTE,
    percent_from_ratio,
    usd_per_h_from_usd_per_s,
)

DECISIONS: Final = 10
"""Entries of the history that are kept."""
DIGITS: Final = 2
"""Digits of numbers that jitter with live traffic."""
PROVENANCE: Final = "Datasheet"
"""Where the model's figures come from until measurements correct them."""


def status_of(
    pool: InferencePool,
    plan: Plan,
    snapshot: Snapshot,
    conflicts: Sequence[str],
    now: datetime,
    ignored: Sequence[str] = (),
) -> InferencePoolStatus:
    """Return the status of a pool that was planned.

    Parameters
    ----------
    pool
        With the previous status.
    conflicts
        What somebody else owns and was left alone.
    ignored
        Resources of the cluster that cannot be read, as sentences.
    now
        Time of conditions and decisions that are new.
    """
    ready = {state.variant: state.ready for state in snapshot.variants}
    cost = plan.cost_usd_per_s
    return InferencePoolStatus(
        observed_generation=pool.metadata.generation,
        replicas=plan.replicas,
        ready_replicas=sum(ready.values()),
        selector=labels.selector_text(labels.pool_selector(pool.metadata.name)),
        usd_per_hour="" if cost is None else f"{usd_per_h_from_usd_per_s(cost):.2f}",
        binding=plan.tiers[0].binding if plan.tiers else "",
        provenance=PROVENANCE,
        conditions=conditions_of(
            claims_of(plan, snapshot, pool.spec.mode, conflicts, ignored),
            pool.status.conditions,
            pool.metadata.generation,
            stamp(now),
        ),
        plan=tuple(_variant(each, ready.get(each.variant, 0)) for each in plan.variants),
        tiers=tuple(_tier(each, snapshot) for each in plan.tiers),
        runners_up=tuple(_runners_up(plan)),
        history=_history(pool, plan, stamp(now)),
    )


def status_with(pool: InferencePool, claims: Sequence[Claim], now: datetime) -> InferencePoolStatus:
    """Return the previous status with other claims: for a pool that is refused or paused, whose plan stays in force."""
    conditions = conditions_of(claims, pool.status.conditions, pool.metadata.generation, stamp(now))
    return pool.status.model_copy(update={"conditions": conditions, "observed_generation": pool.metadata.generation})


def stamp(now: datetime) -> str:
    """Return a moment as Kubernetes writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _variant(each: VariantPlan, ready: int) -> VariantStatus:
    cost, tokens = each.cost_usd_per_s, each.usd_per_million_tokens
    return VariantStatus(
        name=each.variant.key,
        tier=each.variant.tier,
        accelerator=each.variant.accelerator,
        weight_format=each.variant.weight_format,
        kv_format=each.variant.kv_format,
        tensor_parallel=each.variant.tensor_parallel,
        replicas=each.replicas,
        ready_replicas=ready,
        max_num_seqs=each.max_num_seqs,
        max_num_batched_tokens=each.max_num_batched_tokens,
        max_queued_requests=each.max_queued_requests,
        ttft_milliseconds=rounded(each.predicted.ttft_s * MILLISECONDS_PER_SECOND),
        itl_microseconds=rounded(each.predicted.itl_s * MICROSECONDS_PER_SECOND),
        utilisation_percent=rounded(percent_from_ratio(each.predicted.utilisation_ratio)),
        usd_per_hour=None if cost is None else f"{usd_per_h_from_usd_per_s(cost):.2f}",
        usd_per_million_tokens=None if tokens is None else f"{tokens:.2f}",
        watts=round(each.power_w),
    )


def _tier(tier: TierPlan, snapshot: Snapshot) -> TierStatus:
    signals = snapshot.signals(tier.tier)
    return TierStatus(
        name=tier.tier,
        requests_per_minute=_seen(signals.arrivals_per_s, SECONDS_PER_MINUTE),
        planned_requests_per_minute=rounded(tier.load.rate_per_s * SECONDS_PER_MINUTE, DIGITS + 1) or 0,
        observed_ttft_milliseconds=_seen(signals.ttft_s, MILLISECONDS_PER_SECOND),
        observed_itl_microseconds=_seen(signals.itl_s, MICROSECONDS_PER_SECOND),
        reason=tier.reason,
        message=tier.detail,
        binding=tier.binding,
        meets_objectives=tier.meets_objectives,
    )


def _seen(signal: Signal, factor: float) -> int | None:
    return rounded(signal.value * factor) if isinstance(signal, Known) else None


def rounded(value: float, digits: int = DIGITS) -> int | None:
    """Return a number to so many digits as an integer; None where it is infinite or undefined.

    >>> rounded(0.4), rounded(123.4), rounded(98765.0), rounded(math.inf)
    (0, 120, 99000, None)
    """
    if not math.isfinite(value):
        return None
    if abs(value) < 1.0:
        return round(value)
    return int(round(value, digits - 1 - math.floor(math.log10(abs(value)))))


def _runners_up(plan: Plan) -> list[RunnerUpStatus]:
    return [
        RunnerUpStatus(
            variant=each.variant.key,
            replicas=each.replicas,
            usd_per_hour=None
            if each.cost_usd_per_s is None
            else f"{usd_per_h_from_usd_per_s(each.cost_usd_per_s):.2f}",
            message=each.detail,
        )
        for tier in plan.tiers
        for each in tier.runners_up
    ][:8]


def _history(pool: InferencePool, plan: Plan, now: str) -> tuple[Decision, ...]:
    """Return past decisions with this one in front, if it is another: other replicas, or a bound that now binds.

    That the same number is now held for another reason is no news: demand jitters around every threshold.
    """
    past = pool.status.history
    tier = _speaker(plan)
    if tier is None:
        return past
    is_news = (
        not past
        or past[0].replicas != plan.replicas
        or _variants(pool.status) != {v.variant.key for v in plan.variants}
    )
    if not is_news and (tier.meets_objectives or past[0].reason == tier.reason):
        return past
    made = Decision(time=now, replicas=plan.replicas, reason=tier.reason, message=tier.detail[:1024])
    return (made, *past)[:DECISIONS]


def _variants(status: InferencePoolStatus) -> set[str]:
    return {each.name for each in status.plan}


def _speaker(plan: Plan) -> TierPlan | None:
    """Return the tier whose reason stands for the pool's: the first that fails its objectives, else the first."""
    failing = [tier for tier in plan.tiers if not tier.meets_objectives]
    return next(iter((*failing, *plan.tiers)), None)
