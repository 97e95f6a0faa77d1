"""All pools at once: which way each tier is served when pools share accelerators and budgets. Total, deterministic.

Objectives first, in order of priority; of the choices that serve most value the cheapest, or the one that draws or
emits least. Sizing is in ``fleet.columns``, the solver in ``fleet.solve``, reasons in ``fleet.reasons``.
docs/model.md section 10.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from poolwright.planner.fleet.build import Built, built, listed
from poolwright.planner.fleet.columns import Column, TierColumns, tier_columns, with_columns
from poolwright.planner.fleet.program import Choice, Program
from poolwright.planner.fleet.prune import undominated
from poolwright.planner.fleet.reasons import Why, reasons
from poolwright.planner.fleet.request import FleetLimits, FleetRequest
from poolwright.planner.fleet.smaller import degraded, mixed
from poolwright.planner.fleet.solve import Settings, Solution, Status, by_class, unharmed


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChoice:
    """What one tier gets, and why.

    Attributes
    ----------
    pool, tier
        Whose it is.
    column
        What it runs.
    own
        What it would run with the fleet for itself.
    why
        Reason, sentence and what binds.
    """

    pool: str
    tier: str
    column: Column
    own: Column
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A shared limit that costs something: what is used of its bound, and what one more would save at the end."""

    name: str
    used: float
    bound: float
    worth: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """The decision for all pools; equal inputs give equal plans.

    Attributes
    ----------
    choices
        One for each tier, in the order of the requests.
    cost
        In the fleet's purpose ($/s, W or g/s), churn included, supply at its own prices.
    usd_per_s, power_w
        New spending (reserved capacity is paid already) and the limit of all accelerators.
    losses
        Value lost in each priority class, first class first [requests/s times utility].
    bound
        What no plan over the same columns can cost less than, given the losses.
    gap_ratio
        Largest distance from a proven bound, of losses and cost [ratio].
    status
        How far the plan is proven.
    bindings
        Shared limits without room, dearest first.
    columns
        How many columns were compared.
    """

    choices: tuple[FleetChoice, ...]
    cost: float
    usd_per_s: float
    power_w: float
    losses: tuple[float, ...]
    bound: float
    gap_ratio: float
    status: Status
    bindings: tuple[Binding, ...]
    columns: int

    @property
    def value(self) -> tuple[float, ...]:
        """What plans are compared by: losses by class, then the cost."""
        return (*self.losses, self.cost)


DEFAULT = Settings()

NOTHING = FleetPlan(
    choices=(),
    cost=0.0,
    usd_per_s=0.0,
    power_w=0.0,
    losses=(),
    bound=0.0,
    gap_ratio=0.0,
    status=Status.OPTIMAL,
    bindings=(),
    columns=0,
)
"""The plan of a fleet without pools."""


def plan_fleet(
    requests: Sequence[FleetRequest], limits: FleetLimits, settings: Settings = DEFAULT, *, may_mix: bool = True
) -> FleetPlan:
    """Return what every tier of every pool runs.

    Parameters
    ----------
    requests
        Pools, in any order.
    limits
        What they share, and what is minimised.
    settings
        The gap that is good enough, and how long a solver may take.
    may_mix
        Whether a tier may be served by two variants at once where a quota cuts one.

    Notes
    -----
    Docs/model.md equations (10.12) to (10.14). Bounds hold for the columns that were made: every variant at the number
    that serves the whole load, and a few smaller ones.
    """
    if not requests:
        return NOTHING
    order = sorted(range(len(requests)), key=lambda index: requests[index].name)
    tiers = [tier for index in order for tier in tier_columns(requests[index], limits)]
    made, compared, solution = _solved(tiers, limits, settings, may_mix=may_mix)
    return _plan(requests, made, compared, solution)


def _solved(
    tiers: Sequence[TierColumns], limits: FleetLimits, settings: Settings, *, may_mix: bool
) -> tuple[Built, Sequence[TierColumns], Solution]:
    """Return the choice among full columns; among smaller ones too where those do not go together."""
    tiers = _mixed(tiers, limits) if may_mix else tiers
    made = built(tiers, limits)
    part, index, incumbent = _pruned(made)
    solution = unharmed(part, settings, incumbent)
    if solution is None:
        more = [with_columns(tier, [*tier.columns, *degraded(tier)]) for tier in tiers]
        tiers, made = more, built(more, limits)
        part, index, incumbent = _pruned(made)
        solution = by_class(part, settings, incumbent)
    return made, tiers, replace(solution, chosen=index[solution.chosen])


def _pruned(made: Built) -> tuple[Program, NDArray[np.intp], Choice]:
    """Return the program without columns that others dominate, their indices, and what runs, which always stays."""
    incumbent = _incumbent(made)
    keep = undominated(made.program)
    keep[incumbent] = True
    part, index = made.program.restricted(keep)
    return part, index, np.searchsorted(index, incumbent)


def _mixed(tiers: Sequence[TierColumns], limits: FleetLimits) -> list[TierColumns]:
    """Return tiers with mixed columns where more of an accelerator is everybody's cheapest than its quota allows."""
    wanted: dict[str, int] = {}
    best = [_cheapest(tier, limits) for tier in tiers]
    for each in best:
        for name, count in each.accelerators:
            wanted[name] = wanted.get(name, 0) + count
    short = {name for name, count in wanted.items() if count > _quota(limits, name)}
    return [
        with_columns(tier, [*tier.columns, *mixed(tier, each.accelerators[0][0])])
        if each.accelerators and each.accelerators[0][0] in short
        else tier
        for tier, each in zip(tiers, best, strict=True)
    ]


def _quota(limits: FleetLimits, accelerator: str) -> float:
    quota = limits.supply(accelerator).quota
    return float("inf") if quota is None else quota


def _cheapest(tier: TierColumns, limits: FleetLimits) -> Column:
    full = [each for each in (*tier.columns, *([] if tier.wish is None else [tier.wish])) if each.is_full]
    return min(full, key=lambda each: (listed(each, limits, 1.0), each.name), default=tier.columns[-1])


def _incumbent(made: Built) -> Choice:
    """Return the choice that stays on what runs: the column of each tier that keeps most, loses and costs least."""
    program = made.program
    order = np.lexsort((program.costs, program.losses, -made.kept, program.owner_of))
    return np.asarray(order[program.starts[:-1]])


def _plan(requests: Sequence[FleetRequest], made: Built, tiers: Sequence[TierColumns], solution: Solution) -> FleetPlan:
    program, chosen = made.program, solution.chosen
    why = reasons(made, tiers, chosen)
    columns = [each for tier in tiers for each in tier.columns]
    choices = {
        (tier.request.name, tier.tier.name): FleetChoice(
            pool=tier.request.name, tier=tier.tier.name, column=columns[index], own=columns[own], why=each
        )
        for tier, index, (own, each) in zip(tiers, chosen, why, strict=True)
    }
    *losses, cost = program.value(chosen)
    listed_usd_per_s = sum(columns[index].usd_per_s or 0.0 for index in chosen)
    return FleetPlan(
        choices=tuple(choices[each.name, tier.name] for each in requests for tier in each.policy.tiers),
        cost=cost,
        usd_per_s=listed_usd_per_s - float(program.savings.usd_per_s(*program.supply(chosen))),
        power_w=sum(columns[index].power_w for index in chosen),
        losses=tuple(losses),
        bound=solution.phases[-1].bound,
        gap_ratio=solution.gap_ratio,
        status=solution.status,
        bindings=_bindings(made, solution),
        columns=len(columns),
    )


def _bindings(made: Built, solution: Solution) -> tuple[Binding, ...]:
    """Return shared limits that have a price in some phase; the price is that of the last one."""
    used = made.program.used(solution.chosen)
    tight = np.max([phase.prices for phase in solution.phases], axis=0) > 0.0
    worth = solution.phases[-1].prices
    found = [
        Binding(name=row.name, used=float(used[index]), bound=row.bound, worth=float(worth[index]))
        for index, row in enumerate(made.rows)
        if tight[index]
    ]
    return tuple(sorted(found, key=lambda each: (-each.worth, each.name)))


def allotted(plan: FleetPlan, pool: str) -> tuple[tuple[str, int], ...]:
    """Return the accelerators by name that a pool's tiers got."""
    total: dict[str, int] = {}
    for each in plan.choices:
        for name, count in each.column.accelerators if each.pool == pool else ():
            total[name] = total.get(name, 0) + count
    return tuple(sorted(total.items()))
