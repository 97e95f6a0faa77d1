"""The limits between what the model wants and what is asked for: a list of small pure rules, folded with their trace.

The list ``CHAIN`` is the specification, top to bottom: soft rules that hold capacity first, then the bounds that
nothing may break. Scale-up is in one step, whatever is pending; only removal is slowed. docs/model.md section 10.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from poolwright.planner.constraints import Ask, Constraint, allot
from poolwright.planner.memory import PACE_WINDOW_S, last_busy_s
from poolwright.planner.outcome import Load, Step
from poolwright.planner.policy import Scaling
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import History, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One tier as the limits see it: the variant it runs, replicas asked for so far, and what the model wants now.

    ``is_held`` when no candidate is feasible: what exists then stays.
    """

    tier: str
    load: Load
    variant: Variant
    current: int
    wanted: int
    is_held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything that the rules may look at; contenders in order of priority."""

    contenders: tuple[Contender, ...]
    scaling: Scaling
    constraints: tuple[Constraint, ...]
    history: History
    now_s: float


Counts = tuple[int, ...]
"""Replicas of each contender, in the same order."""

Limit = Callable[[Situation, Counts], tuple[Step, ...]]


def _step(name: str, before: int, after: int, reason: Reason, detail: str) -> Step:
    """Return the step of a rule that left ``after``: with its reason only if it moved the number."""
    if after == before:
        return Step(name=name, value=float(after), reason=Reason.WITHIN_LIMITS, detail="does not bind")
    return Step(name=name, value=float(after), reason=reason, detail=f"{after} instead of {before}: {detail}")


def to_zero(situation: Situation, counts: Counts) -> tuple[Step, ...]:
    """Keep the last replica of an idle tier until it has been idle for the delay; for ever without one."""
    return tuple(_to_zero(situation, each, count) for each, count in zip(situation.contenders, counts, strict=True))


def _to_zero(situation: Situation, contender: Contender, count: int) -> Step:
    delay_s = situation.scaling.scale_to_zero_after_s
    if count > 0:
        return _step("to-zero", count, count, Reason.DEMAND, "")
    if delay_s is None:
        return _step("to-zero", count, 1, Reason.MIN_REPLICAS, "scaling to zero is not asked for; one replica stays")
    if contender.current == 0:
        return Step(name="to-zero", value=0.0, reason=Reason.SCALE_TO_ZERO, detail="idle, and nothing runs")
    busy_s = last_busy_s(situation.history, contender.tier)
    idle_s = situation.now_s - (situation.now_s if busy_s is None else busy_s)
    if not contender.load.may_lower or idle_s < delay_s:
        detail = f"idle for {idle_s:.0f} s of {delay_s:.0f} s"
        return _step("to-zero", count, 1, Reason.SCALE_TO_ZERO, detail)
    detail = f"idle for {idle_s:.0f} s, the delay is {delay_s:.0f} s"
    return Step(name="to-zero", value=0.0, reason=Reason.SCALE_TO_ZERO, detail=detail)


def never_lower_on_missing(situation: Situation, counts: Counts) -> tuple[Step, ...]:
    """Hold what runs while a needed signal is missing, and while nothing feasible is known."""
    steps = []
    for each, count in zip(situation.contenders, counts, strict=True):
        holds = each.is_held or not each.load.may_lower
        reason = Reason.NO_FEASIBLE_CANDIDATE if each.is_held else Reason.SIGNAL_MISSING
        detail = "nothing feasible to change to" if each.is_held else "a needed signal is missing; capacity is held"
        steps.append(_step("missing signals", count, max(count, each.current) if holds else count, reason, detail))
    return tuple(steps)


def stabilisation(situation: Situation, counts: Counts) -> tuple[Step, ...]:
    """Lower only to the largest number wanted in the window; hold while less than a window is remembered."""
    return tuple(_stabilised(situation, each, count) for each, count in zip(situation.contenders, counts, strict=True))


def _stabilised(situation: Situation, contender: Contender, count: int) -> Step:
    window_s = situation.scaling.scale_down_stabilisation_s
    since_s = situation.now_s - window_s
    past = [each for each in situation.history.wanted if each.tier == contender.tier and each.time_s < situation.now_s]
    # The last wish before the window was in force when the window began.
    in_force = [each.replicas for each in past if each.time_s <= since_s][-1:]
    recent = [each.replicas for each in past if each.time_s > since_s]
    held = max(in_force + recent) if in_force else contender.current
    after = max(count, min(contender.current, held)) if window_s > 0.0 else count
    detail = f"lower must have been enough for {window_s:.0f} s"
    return _step("stabilisation", count, after, Reason.STABILISATION, detail)


def pace(situation: Situation, counts: Counts) -> tuple[Step, ...]:
    """Remove at most so many replicas a minute over the pool, the lowest priority first."""
    allowed = situation.scaling.max_change_per_minute
    drops = [max(each.current - count, 0) for each, count in zip(situation.contenders, counts, strict=True)]
    if allowed is None:
        return tuple(_step("pace", count, count, Reason.RATE_LIMIT, "") for count in counts)
    removed = sum(number for time_s, number in situation.history.removed if time_s > situation.now_s - PACE_WINDOW_S)
    left = max(allowed - removed, 0)
    steps = []
    for drop, count in zip(reversed(drops), reversed(counts), strict=True):
        granted = min(drop, left)
        left -= granted
        detail = f"at most {allowed} removed a minute, {removed} were"
        steps.append(_step("pace", count, count + drop - granted, Reason.RATE_LIMIT, detail))
    return tuple(reversed(steps))


def minimum(situation: Situation, counts: Counts) -> tuple[Step, ...]:
    """Raise the pool to its minimum, in proportion to what tiers already have."""
    least = situation.scaling.min_replicas
    after = spread(counts, least, _has_room(situation))
    detail = f"the pool's minimum is {least}"
    if sum(after) < least:
        return tuple(_short(situation, each, after, detail) for each in situation.contenders)
    return tuple(_step("minimum", b, a, Reason.MIN_REPLICAS, detail) for b, a in zip(counts, after, strict=True))


def _short(situation: Situation, contender: Contender, counts: Counts, detail: str) -> Step:
    """Return the step of a minimum that a ceiling does not leave room for."""
    granted = {each.variant.key: count for each, count in zip(situation.contenders, counts, strict=True)}
    key = contender.variant.key
    tight = [each for each in situation.constraints if each.room(granted, key) < 1]
    reason = tight[0].reason if tight else Reason.MIN_REPLICAS
    names = "; ".join(each.name for each in tight)
    return Step(
        name="minimum", value=float(granted[key]), reason=reason, detail=f"{sum(counts)}; {detail}, but {names}"
    )


def pin(situation: Situation, counts: Counts) -> tuple[Step, ...]:
    """Give the pool exactly the pinned number, by priority."""
    pinned = situation.scaling.pinned_replicas
    if pinned is None:
        return tuple(_step("pin", count, count, Reason.PINNED, "") for count in counts)
    ceiling = Constraint(
        name="pin", reason=Reason.PINNED, binding=Binding.PIN, bound=float(pinned), use=_each_one(situation)
    )
    # From what the model wants and not from what is held: a pin overrules holding.
    wishes = tuple(max(each.wanted, 1) for each in situation.contenders)
    after = spread(_allotted(situation, wishes, (ceiling,)), pinned)
    detail = f"the spec pins the pool to {pinned}"
    return tuple(Step(name="pin", value=float(count), reason=Reason.PINNED, detail=detail) for count in after)


Room = Callable[[Sequence[int], int], bool]
"""Whether one more replica of the contender at an index fits beside the counts."""


def spread(counts: Counts, total: int, has_room: Room = lambda counts, index: True) -> Counts:  # noqa: ARG005
    """Return counts raised one by one to ``total``, each to the one that grew least relative to where it began.

    >>> spread((4, 2), 9)
    (6, 3)
    """
    grown = list(counts)
    while sum(grown) < total:
        open_ones = [index for index in range(len(grown)) if has_room(grown, index)]
        if not open_ones:
            break
        grown[min(open_ones, key=lambda index: grown[index] / max(counts[index], 1))] += 1
    return tuple(grown)


def _has_room(situation: Situation) -> Room:
    """Return whether every ceiling leaves room: raising to what a ceiling takes away again would flap."""
    keys = [each.variant.key for each in situation.contenders]

    def has_room(counts: Sequence[int], index: int) -> bool:
        granted = dict(zip(keys, counts, strict=True))
        return all(each.room(granted, keys[index]) >= 1 for each in situation.constraints)

    return has_room


def _each_one(situation: Situation) -> dict[str, float]:
    return {each.variant.key: 1.0 for each in situation.contenders}


def _allotted(situation: Situation, counts: Counts, constraints: Sequence[Constraint]) -> Counts:
    asks = [Ask(key=each.variant.key, replicas=count) for each, count in zip(situation.contenders, counts, strict=True)]
    granted = allot(asks, constraints, counts={})
    return tuple(granted[ask.key] for ask in asks)


def ceilings(situation: Situation, counts: Counts) -> tuple[Step, ...]:
    """Lower to every ceiling at once: one replica to each tier, then by priority; the one that binds is named."""
    after = _allotted(situation, counts, situation.constraints)
    granted = {each.variant.key: count for each, count in zip(situation.contenders, after, strict=True)}
    return tuple(
        _capped(situation, each.variant.key, granted, before)
        for each, before in zip(situation.contenders, counts, strict=True)
    )


def _capped(situation: Situation, key: str, granted: Mapping[str, int], before: int) -> Step:
    tight = [each for each in situation.constraints if each.room(granted, key) < 1]
    reason = tight[0].reason if tight else Reason.WITHIN_LIMITS
    return _step("ceilings", before, granted[key], reason, "; ".join(each.name for each in tight))


CHAIN: Final[tuple[Limit, ...]] = (
    to_zero,
    never_lower_on_missing,
    stabilisation,
    pace,
    minimum,
    pin,
    ceilings,
)
"""The rules in the order in which they are applied; a later one overrules an earlier one."""


def _within_reach(situation: Situation) -> Situation:
    """Return the situation without what runs beyond the ceilings: nobody can hold that."""
    current = _allotted(situation, tuple(each.current for each in situation.contenders), situation.constraints)
    pairs = zip(situation.contenders, current, strict=True)
    return replace(situation, contenders=tuple(replace(each, current=count) for each, count in pairs))


def limited(situation: Situation, chain: Sequence[Limit] = CHAIN) -> tuple[Counts, tuple[tuple[Step, ...], ...]]:
    """Return replicas of each contender after every rule, and the steps of each contender in order."""
    situation = _within_reach(situation)
    counts = tuple(each.wanted for each in situation.contenders)
    traces: list[tuple[Step, ...]] = []
    for limit in chain:
        steps = limit(situation, counts)
        counts = tuple(int(step.value) for step in steps)
        traces.append(steps)
    by_tier = tuple(zip(*traces, strict=True)) if situation.contenders else ()
    return counts, by_tier
