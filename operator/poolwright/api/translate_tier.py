"""From the spec of a tier, its workload and its tasks to the core's values: what was parsed can be translated."""

from poolwright.api.pool_spec import DemandSource, InferencePoolSpec
from poolwright.api.tier_spec import ObjectivesSpec, SessionsSpec, TaskClassSpec, TierSpec
from poolwright.planner.policy import SessionShape, TaskClass, TierPolicy, WorkloadHint
from poolwright.queueing.objectives import Objectives
from poolwright.units import SECONDS_PER_MINUTE, ratio_from_percent, s_from_ms


def tier_policy(tier: TierSpec, spec: InferencePoolSpec) -> TierPolicy:
    """Return a tier of a pool; a stated demand is shared equally by the tiers."""
    stated = spec.demand.requests_per_minute if spec.demand.source is DemandSource.STATIC else None
    hint = tier.workload
    return TierPolicy(
        name=tier.name,
        objectives=objectives(tier.objectives),
        priority=tier.priority,
        deadline_s=_deadline_s(tier.objectives),
        hint=WorkloadHint(
            input_tokens_mean=float(hint.input_tokens),
            output_tokens_mean=float(hint.output_tokens),
            cached_prefix_ratio=ratio_from_percent(hint.cached_prefix_percent),
            sessions=None if hint.sessions is None else _sessions(hint.sessions),
        ),
        static_rate_per_s=None if stated is None else stated / SECONDS_PER_MINUTE / len(spec.tiers),
    )


def _sessions(spec: SessionsSpec) -> SessionShape:
    return SessionShape(
        turns=spec.turns,
        new_tokens=float(spec.new_tokens_per_turn),
        hold_s=float(spec.hold_seconds),
        samples_per_prompt=spec.samples_per_prompt,
    )


def _deadline_s(spec: ObjectivesSpec) -> float | None:
    """Return the deadline of a tier that promises nothing else."""
    if spec.deadline_seconds is None or spec.ttft_milliseconds is not None or spec.itl_milliseconds is not None:
        return None
    return float(spec.deadline_seconds)


def objectives(spec: ObjectivesSpec) -> Objectives:
    """Return a tier's objectives in seconds."""
    whole_s = (
        s_from_ms(spec.end_to_end_milliseconds) if spec.end_to_end_milliseconds is not None else spec.deadline_seconds
    )
    return Objectives(
        percentile_ratio=ratio_from_percent(float(spec.percentile)),
        ttft_s=None if spec.ttft_milliseconds is None else s_from_ms(spec.ttft_milliseconds),
        itl_s=None if spec.itl_milliseconds is None else s_from_ms(spec.itl_milliseconds),
        end_to_end_s=None if whole_s is None else float(whole_s),
    )


def task_class(spec: TaskClassSpec) -> TaskClass:
    """Return a class of tasks."""
    return TaskClass(
        name=spec.name,
        request_ratio=ratio_from_percent(spec.request_percent),
        min_accuracy_ratio=ratio_from_percent(spec.min_accuracy_percent),
        relevance=ratio_from_percent(spec.relevance_percent),
        latency_exponent=ratio_from_percent(spec.latency_exponent_percent),
    )
