"""A plan as text that a person can check by hand: every step with its reason, its value and its arithmetic.

Prints what planning recorded and computes nothing of its own.
"""

import math
from collections.abc import Iterator

from poolwright.planner.outcome import Plan, Step, TierPlan, VariantPlan
from poolwright.planner.reason import Reason
from poolwright.units import ms_from_s, percent_from_ratio, usd_per_h_from_usd_per_s


def explained(plan: Plan) -> str:
    """Return the trace of every tier, then what is missing and what was refused."""
    lines: list[str] = []
    for tier in plan.tiers:
        lines += _tier(tier)
    lines += [f"missing: {each}" for each in plan.missing]
    lines += [f"note: {each}" for each in plan.warnings]
    return "\n".join(lines)


def _tier(tier: TierPlan) -> Iterator[str]:
    yield f"tier {tier.tier}: {tier.reason}: {tier.detail}"
    for number, step in enumerate(_spoken(tier.steps), start=1):
        yield f"  {number}. {step.name} = {_value(step.value)}  [{step.reason}] {step.detail}"
        yield from (f"       {line}" for line in step.arithmetic)
    silent = [step.name for step in tier.steps if step.reason is Reason.WITHIN_LIMITS]
    if silent:
        yield f"  limits that did not bind: {', '.join(silent)}"
    for variant in tier.variants:
        yield f"  => {variant_text(variant)}"
    yield f"  binding: {tier.binding}; objectives {'are met' if tier.meets_objectives else 'are NOT met'}"


def _spoken(steps: tuple[Step, ...]) -> list[Step]:
    return [step for step in steps if step.reason is not Reason.WITHIN_LIMITS]


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def variant_text(plan: VariantPlan) -> str:
    """Return one line with what a variant runs with and what is expected of it."""
    predicted = plan.predicted
    parts = [
        f"{plan.replicas} x {plan.variant.key}",
        f"max_num_seqs {plan.max_num_seqs}",
        f"max_num_batched_tokens {plan.max_num_batched_tokens}",
        f"TTFT {ms_text(predicted.ttft_s)}",
        f"ITL {ms_text(predicted.itl_s)}",
        f"utilisation {percent_from_ratio(predicted.utilisation_ratio):.0f} %",
        f"{dollars_per_h(plan.cost_usd_per_s)} $/h",
        f"{dollars(plan.usd_per_million_tokens)} $ per million tokens",
    ]
    return ", ".join(parts)


def ms_text(value_s: float) -> str:
    """Return milliseconds as people read them; a dash where nothing arrives in time.

    >>> ms_text(0.0371), ms_text(0.4), ms_text(math.inf)
    ('37.1 ms', '400 ms', '-')
    """
    if not math.isfinite(value_s):
        return "-"
    value_ms = ms_from_s(value_s)
    return f"{value_ms:.1f} ms" if value_ms < 100.0 else f"{value_ms:.0f} ms"  # noqa: PLR2004 - three digits


def dollars(value: float | None) -> str:
    """Return dollars with cents, or ``?`` where no price is known."""
    return "?" if value is None else f"{value:.2f}"


def dollars_per_h(value_usd_per_s: float | None) -> str:
    """Return dollars per hour, or ``?`` where no price is known."""
    return "?" if value_usd_per_s is None else f"{usd_per_h_from_usd_per_s(value_usd_per_s):.2f}"
