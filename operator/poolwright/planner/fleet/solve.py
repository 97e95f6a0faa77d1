"""Solves a fleet program in order of priority: the least loss of each class, then the least cost, each with its bound.

HiGHS decides: a linear relaxation gives bound, prices and reduced costs; an integer program over the columns that these
leave, or over all of them, gives the choice. Where it stops early, greedy choice and improvement stand in and the
bound says how far they may be off. Equation (10.14) of docs/model.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.planner.fleet.highs import Goal, Relaxed, integer, relaxed
from poolwright.planner.fleet.program import Array, Choice, Program
from poolwright.planner.fleet.search import greedy, improved, rounded

GAP_RATIO: Final = 0.01
"""Distance from the proven bound at which a choice is good enough [ratio]: loads are known to no better than that."""

SMALL: Final = 3000
"""Columns up to which the integer program is solved over all of them, and to the end [count]."""

NEAREST: Final = 4
"""Columns of each owner that a large program keeps: those with the least reduced cost. The bound stays that of all."""

PROVEN_RATIO: Final = 1e-6
"""Gap at which small programs count as solved [ratio]: what HiGHS' own tolerances leave."""

TIME_LIMIT_S: Final = 4.0
"""Time for each integer program [s]: a fleet's plan is due every ten seconds or so. Only where this is reached may two
machines choose differently, and the status says so."""


class Status(StrEnum):
    """How far a choice is proven."""

    OPTIMAL = "Optimal"
    """No choice is better."""
    WITHIN_GAP = "WithinGap"
    """No choice is better by more than the gap asked for."""
    HEURISTIC = "Heuristic"
    """The solver stopped early: the gap says how much better a choice might be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Gap asked for [ratio] and time for each integer program [s]; 0 s goes without integer programs."""

    gap_ratio: float = GAP_RATIO
    time_limit_s: float = TIME_LIMIT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One thing that was minimised: its value, what none can be below, and what one more of each row would save."""

    value: float
    bound: float
    prices: Array

    @property
    def gap_ratio(self) -> float:
        """Distance of value and bound [ratio of the value]."""
        return max(self.value - self.bound, 0.0) / abs(self.value) if abs(self.value) > 0.0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A choice, and a phase for each class that lost something and for the cost."""

    chosen: Choice
    phases: tuple[Phase, ...]
    status: Status

    @property
    def gap_ratio(self) -> float:
        """Largest gap of any phase [ratio]."""
        return max(each.gap_ratio for each in self.phases)


def unharmed(program: Program, settings: Settings, incumbent: Choice | None) -> Solution | None:
    """Return the cheapest choice in which nobody loses anything; None where there is none.

    ``incumbent`` is a choice that stays where it is within the gap: what runs now.
    """
    keep = program.losses <= 0.0
    if not np.all(np.logical_or.reduceat(keep, program.starts[:-1])):
        return None
    part, index = program.restricted(keep)
    goal = Goal(weights=part.costs, has_savings=True)
    relaxation = relaxed(part, goal)
    if relaxation is None:
        return None
    stays = np.searchsorted(index, incumbent) if incumbent is not None and keep[incumbent].all() else None
    taken, reduced = np.zeros(program.columns), np.full(program.columns, np.inf)
    taken[index], reduced[index] = relaxation.taken, relaxation.reduced
    near = improved(program, rounded(program, taken, reduced))
    known = [np.searchsorted(index, near)] if keep[near].all() else []
    found = _best(part, goal, relaxation, settings, known=known, stays=stays)
    if found is None:
        return None
    chosen, bound = improved(program, index[found[0]]), found[1]
    value = program.value(chosen)[-1]
    phase = Phase(value=value, bound=min(bound, value), prices=relaxation.prices)
    return Solution(chosen=chosen, phases=(phase,), status=_status([phase], settings))


def by_class(program: Program, settings: Settings, incumbent: Choice | None) -> Solution:
    """Return the choice with the least loss of each class in turn, and of those the cheapest.

    Every owner's last column must use nothing; ``incumbent`` as in ``unharmed``. In large programs a later phase may
    give back a tenth of the gap of an earlier one, which would otherwise pin it to one choice.
    """
    is_large = program.columns > SMALL
    fixed: list[tuple[Array, float]] = []
    proven: list[tuple[float, Relaxed]] = []
    owner_class = program.classes[program.owner_of]
    chosen = improved(program, greedy(program))
    for rank in range(program.ranks + 1):
        weights = program.costs if rank == program.ranks else np.where(owner_class == rank, program.losses, 0.0)
        chosen, bound, relaxation = _phase(program, settings, rank, weights, fixed, [chosen, incumbent])
        proven.append((bound, relaxation))
        value = program.value(chosen)[rank]
        slack = 1.0 + (settings.gap_ratio / 10.0 if is_large else 0.0)
        fixed.append((weights, value * slack if value > PROVEN_RATIO else 0.0))
    phases = [
        Phase(value=value, bound=min(bound, value), prices=relaxation.prices)
        for value, (bound, relaxation) in zip(program.value(chosen), proven, strict=True)
    ]
    return Solution(chosen=chosen, phases=tuple(phases), status=_status(phases, settings))


def _phase(
    program: Program,
    settings: Settings,
    rank: int,
    weights: Array,
    fixed: Sequence[tuple[Array, float]],
    starts: Sequence[Choice | None],
) -> tuple[Choice, float, Relaxed]:
    """Return the best choice for one class, or for the cost after the last, its bound and its linear relaxation.

    ``starts`` are the choice so far and what runs.
    """
    # Later classes take nothing yet: what they would use is left to this one.
    keep = program.classes[program.owner_of] <= rank
    for losses, most in fixed:
        keep &= (losses <= 0.0) | (most > 0.0)
    keep[program.starts[1:] - 1] = True
    part, index = program.restricted(keep)
    bounded = tuple((losses[index], most) for losses, most in fixed)
    goal = Goal(weights=weights[index], has_savings=rank == program.ranks, fixed=bounded)
    relaxation = relaxed(part, goal) or Relaxed.unknown(part)
    so_far, stays = (None if each is None else _within(program, each, rank, keep, index) for each in starts)
    # Rounding must not lose again what earlier phases won: their losses weigh more than anything it could gain.
    dear = sum((losses for losses, _ in bounded), np.zeros(part.columns)) * float(np.abs(goal.weights).sum() + 1.0)
    near = improved(part, rounded(part, relaxation.taken, relaxation.reduced + dear))
    known = [each for each in (near, so_far, stays) if each is not None]
    found, bound = _best(part, goal, relaxation, settings, known=known, stays=stays) or (greedy(part), -np.inf)
    return improved(program, index[found]), bound, relaxation


def _within(
    program: Program, choice: Choice, rank: int, keep: NDArray[np.bool_], index: NDArray[np.intp]
) -> Choice | None:
    """Return a choice in terms of the kept columns, with later classes taking nothing; None where one is not kept."""
    moved = np.where(program.classes > rank, program.starts[1:] - 1, choice)
    return np.searchsorted(index, moved) if keep[moved].all() else None


def _status(phases: Sequence[Phase], settings: Settings) -> Status:
    gap = max(each.gap_ratio for each in phases)
    if gap <= PROVEN_RATIO:
        return Status.OPTIMAL
    return Status.WITHIN_GAP if gap <= settings.gap_ratio else Status.HEURISTIC


def _best(
    program: Program,
    goal: Goal,
    relaxation: Relaxed,
    settings: Settings,
    *,
    known: Sequence[Choice],
    stays: Choice | None,
) -> tuple[Choice, float] | None:
    """Return the best choice found for a goal and the proven bound; what runs stays where it is within the gap."""
    if (
        stays is not None
        and _is_allowed(program, goal, stays)
        and _gap(program, goal, stays, relaxation) <= settings.gap_ratio
    ):
        return stays, relaxation.bound
    found = [each for each in known if _is_allowed(program, goal, each)]
    bound, is_large = relaxation.bound, program.columns > SMALL
    enough = settings.gap_ratio / 10.0 if is_large else PROVEN_RATIO
    if not any(_gap(program, goal, each, relaxation) <= enough for each in found) and settings.time_limit_s > 0.0:
        choice, proven = _integer(program, goal, relaxation, settings, only_near=is_large)
        found += [choice] if choice is not None else []
        if is_large and not any(_gap(program, goal, each, relaxation) <= settings.gap_ratio for each in found):
            choice, proven = _integer(program, goal, relaxation, settings, only_near=False)
            found += [choice] if choice is not None else []
        bound = max(bound, proven)
    if not found:
        return None
    return min(found, key=lambda each: _value(program, goal, each)), bound


def _integer(
    program: Program, goal: Goal, relaxation: Relaxed, settings: Settings, *, only_near: bool
) -> tuple[Choice | None, float]:
    """Return the choice of the integer program and its bound, over all columns or those with least reduced cost."""
    if not only_near:
        gap = PROVEN_RATIO if program.columns <= SMALL else settings.gap_ratio
        chosen, bound = integer(program, goal, gap_ratio=gap, time_limit_s=settings.time_limit_s)
        return chosen if chosen is not None and _is_allowed(program, goal, chosen) else None, bound
    order = np.lexsort((np.arange(program.columns), relaxation.reduced, program.owner_of))
    rank = np.empty(program.columns, dtype=np.intp)
    rank[order] = np.arange(program.columns)
    keep = rank - program.starts[:-1][program.owner_of] < NEAREST
    part, index = program.restricted(keep)
    narrowed = Goal(
        weights=goal.weights[index],
        has_savings=goal.has_savings,
        fixed=tuple((losses[index], most) for losses, most in goal.fixed),
    )
    # A tenth of the gap: what the relaxation leaves open is not known yet.
    chosen, _ = integer(part, narrowed, gap_ratio=settings.gap_ratio / 10.0, time_limit_s=settings.time_limit_s)
    whole = None if chosen is None else index[chosen]
    return whole if whole is not None and _is_allowed(program, goal, whole) else None, -np.inf


def _value(program: Program, goal: Goal, chosen: Choice) -> float:
    saved = program.savings.worth(*program.supply(chosen)) if goal.has_savings else 0.0
    return float(goal.weights[chosen].sum() - saved)


def _gap(program: Program, goal: Goal, chosen: Choice, relaxation: Relaxed) -> float:
    value = _value(program, goal, chosen)
    return max(value - relaxation.bound, 0.0) / abs(value) if value != 0.0 else max(-relaxation.bound, 0.0)


def _is_allowed(program: Program, goal: Goal, chosen: Choice) -> bool:
    kept = all(float(losses[chosen].sum()) <= most * (1.0 + PROVEN_RATIO) for losses, most in goal.fixed)
    return kept and program.is_met(chosen)
