"""Changing a tier from one variant to another: the old one stays until the new one is ready.

All of the old serve until all of the new do; where a ceiling has no room for both, one old replica makes way for one
new at a time. docs/model.md section 10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poolwright.planner.constraints import Ask, Constraint, allot
from poolwright.planner.outcome import Step
from poolwright.planner.reason import Reason
from poolwright.planner.snapshot import Variant, VariantState


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A tier's new variant with replicas wanted and ready, and the old variants that still run.

    ``may_lower`` is False while a signal is missing: then nothing old leaves, whatever is ready.
    """

    tier: str
    variant: Variant
    replicas: int
    ready: int
    old: tuple[VariantState, ...]
    may_lower: bool


def overlapped(
    changes: Sequence[Change], constraints: Sequence[Constraint]
) -> tuple[dict[str, int], dict[str, tuple[Step, ...]]]:
    """Return replicas by variant key while tiers change, and the step of each tier that does.

    Parameters
    ----------
    changes
        Every tier in order of priority, those without old variants too: their replicas take room.
    constraints
        Hard ceilings over all variants, met by the new variants alone.

    Returns
    -------
    tuple
        Replicas by key, within every constraint, and steps by tier name.
    """
    counts = {change.variant.key: change.replicas for change in changes}
    steps: dict[str, tuple[Step, ...]] = {}
    for change in changes:
        if change.old:
            others = {key: count for key, count in counts.items() if key != change.variant.key}
            granted = _granted(change, constraints, others)
            counts = {**others, **granted}
            steps[change.tier] = (_step(change, granted),)
    return counts, steps


def _granted(change: Change, constraints: Sequence[Constraint], others: Mapping[str, int]) -> dict[str, int]:
    """Return replicas of a tier's variants: one more new than serves, then the old, then all new."""
    key = change.variant.key
    first = Ask(key=key, replicas=min(change.replicas, change.ready + 1))
    old = [Ask(key=each.variant.key, replicas=_kept(change, each)) for each in _by_key(change.old)]
    granted = allot((first,), constraints, counts=others)
    granted |= allot(old, constraints, counts={**others, **granted})
    rest = Ask(key=key, replicas=change.replicas - granted[key])
    return {**granted, key: granted[key] + allot((rest,), constraints, counts={**others, **granted})[key]}


def _by_key(states: Sequence[VariantState]) -> list[VariantState]:
    return sorted(states, key=lambda each: each.variant)


def _kept(change: Change, old: VariantState) -> int:
    """Return how many old replicas would stay: all, until the new ones serve and nothing is missing."""
    return 0 if change.may_lower and change.ready >= change.replicas else old.wanted


def _step(change: Change, granted: Mapping[str, int]) -> Step:
    now = granted[change.variant.key]
    old = [each.variant.key for each in _by_key(change.old)]
    kept = ", ".join(f"{granted[key]} x {key}" for key in old if granted[key])
    detail = f"{change.ready} of {change.replicas} new replicas are ready; "
    detail += f"kept until all are: {kept}" if kept else f"gone: {', '.join(old)}"
    if now < change.replicas:
        detail += f"; the ceilings leave room for {now} new ones so far"
    return Step(name="transition", value=float(now), reason=Reason.TRANSITION, detail=detail)
