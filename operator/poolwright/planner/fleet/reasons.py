"""Why a tier got what it got: what its own cheapest way would have been, what stood in its way, and who has that.

Words for a choice that is made already; nothing here changes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poolwright.planner.fleet.build import Built, Row
from poolwright.planner.fleet.columns import Column, TierColumns
from poolwright.planner.fleet.program import Choice
from poolwright.planner.reason import Binding, Reason
from poolwright.units import percent_from_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Reason of a choice, a sentence with its figures, what binds, and the pool that has what was wanted."""

    reason: Reason
    binding: Binding
    detail: str
    rival: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    """Who takes most of a row, and how badly it would do without, per unit of the row."""

    name: str
    index: int


def reasons(made: Built, tiers: Sequence[TierColumns], chosen: Choice) -> list[tuple[int, Why]]:
    """Return, for each tier, the column that it would take alone and why it has the one that was chosen."""
    program = made.program
    room = program.bounds + program.tolerance - program.used(chosen)
    holders: dict[int, list[_Holder]] = {}
    found = []
    for index, tier in enumerate(tiers):
        first, last = int(program.starts[index]), int(program.starts[index + 1])
        own = first + int(np.lexsort((program.costs[first:last], program.losses[first:last]))[0])
        found.append((own, _why(made, tiers, chosen, room, holders, index, tier, own)))
    return found


def _why(
    made: Built,
    tiers: Sequence[TierColumns],
    chosen: Choice,
    room: NDArray[np.float64],
    holders: dict[int, list[_Holder]],
    index: int,
    tier: TierColumns,
    own: int,
) -> Why:
    now = int(chosen[index])
    first = int(made.program.starts[index])
    wish, column = tier.columns[own - first], tier.columns[now - first]
    if tier.held:
        return Why(
            reason=Reason.SIGNAL_MISSING,
            binding=Binding.SIGNAL,
            detail=f"a needed signal is missing: {column.name} stays",
        )
    if not tier.ways:
        detail = "no accelerator that may be used serves it within its objectives and limits"
        return Why(reason=Reason.NO_FEASIBLE_CANDIDATE, binding=Binding.NONE, detail=detail)
    served = "" if column.is_full else f"; {percent_from_ratio(column.served_ratio):.0f} % of its load is served"
    if own == now:
        cut = tier.wish is not None and (not column.is_full or _is_cheaper(tier.wish, column))
        return _cut(made, tier.wish, column, served) if cut and tier.wish is not None else _cheapest(column, served)
    change = (made.program.uses[own] - made.program.uses[now]).toarray().ravel()
    blocked = np.flatnonzero(change > room)
    if not len(blocked):
        return _unblocked(wish, column, served)
    row = int(blocked[0])
    if row not in holders:
        holders[row] = _holders(made, tiers, chosen, row)
    rival = next((each for each in holders[row] if each.index != index), None)
    return _outbid(made.rows[row], wish, column, served, rival)


def _is_cheaper(one: Column, other: Column) -> bool:
    return (one.usd_per_s is None, one.usd_per_s or 0.0) < (other.usd_per_s is None, other.usd_per_s or 0.0)


def _cheapest(column: Column, served: str) -> Why:
    return Why(reason=Reason.CHEAPEST, binding=Binding.NONE, detail=f"{column.name} is its own cheapest way{served}")


def _cut(made: Built, wish: Column, column: Column, served: str) -> Why:
    """Return why a tier does not run what the whole quota would not be enough for."""
    names = {name for name, _ in wish.accelerators}
    row = next((each for each in made.rows if each.quota_of in names), None)
    return _unblocked(wish, column, served) if row is None else _outbid(row, wish, column, served, None)


def _unblocked(wish: Column, column: Column, served: str) -> Why:
    """Return why a tier has not its own cheapest although there is room: supply may be cheaper elsewhere."""
    detail = f"{column.name} instead of {wish.name}: together with the other pools that costs the fleet less{served}"
    return Why(reason=Reason.FLEET, binding=Binding.NONE, detail=detail)


def _outbid(row: Row, wish: Column, column: Column, served: str, rival: _Holder | None) -> Why:
    whom = f" is worth more to {rival.name}" if rival is not None else " does not leave room for it"
    return Why(
        reason=Reason.FLEET,
        binding=row.binding,
        detail=f"{column.name} instead of {wish.name}: {row.name}{whom}{served}",
        rival="" if rival is None else rival.name,
    )


def _holders(made: Built, tiers: Sequence[TierColumns], chosen: Choice, row: int) -> list[_Holder]:
    """Return the two tiers to which a row is worth most: by priority, then by what doing without would cost per unit.

    Doing without is the best column of the tier that uses none of the row.
    """
    program = made.program
    uses = np.asarray(program.uses[:, [row]].todense()).ravel()
    worth = []
    for index in np.flatnonzero(uses[chosen] > 0.0):
        first, last = int(program.starts[index]), int(program.starts[index + 1])
        others = np.flatnonzero(uses[first:last] <= 0.0) + first
        other = others[np.lexsort((program.costs[others], program.losses[others]))[0]]
        unit = uses[chosen[index]]
        lost = float(program.losses[other] - program.losses[chosen[index]]) / unit
        spent = float(program.costs[other] - program.costs[chosen[index]]) / unit
        worth.append((int(program.classes[index]), -lost, -spent, int(index)))
    return [_Holder(name=tiers[index].name, index=index) for *_, index in sorted(worth)[:2]]
