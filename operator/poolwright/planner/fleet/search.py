"""Choices without a solver: greedy, cheapest first, and improvement by changing one tier at a time.

Greedy is the anytime fallback and the baseline that a plan is compared with; improvement polishes every result, which
also makes a plan that was carried out the plan of the next call. Equation (10.14) of docs/model.md.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.planner.fleet.program import Array, Choice, Program

SWEEPS: Final = 20
"""Most rounds over all owners: each ends with a better choice or is the last; more than four were never seen."""

WORTH: Final = 1e-9
"""Relative gain below which a change is rounding [ratio]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """Columns of one owner as dense blocks: the rows that they touch, and what each uses of them."""

    columns: NDArray[np.intp]
    rows: NDArray[np.intp]
    uses: Array
    rank: int
    losses: Array
    costs: Array
    occupied: Array
    spot_ratio: float


class _Standing:
    """What a choice uses, kept up to date while single owners change."""

    def __init__(self, program: Program, chosen: Choice) -> None:
        self.program = program
        self.chosen = chosen.copy()
        self.listed = np.asarray(program.uses[chosen].sum(axis=0)).ravel()
        self.occupied, self.allowed = program.supply(chosen)

    def move(self, index: int, owner: _Owner, position: int) -> None:
        """Give an owner another of its columns."""
        now = int(self.chosen[index] - owner.columns[0])
        self.listed[owner.rows] += owner.uses[position] - owner.uses[now]
        change = owner.occupied[position] - owner.occupied[now]
        self.occupied = self.occupied + change
        self.allowed = self.allowed + owner.spot_ratio * change
        self.chosen[index] = owner.columns[position]

    def options(self, index: int, owner: _Owner) -> tuple[NDArray[np.bool_], Array]:
        """Return which columns of an owner fit beside the others, and what each costs with savings."""
        program = self.program
        now = int(self.chosen[index] - owner.columns[0])
        change = owner.occupied - owner.occupied[now]
        occupied, allowed = self.occupied + change, self.allowed + owner.spot_ratio * change
        costs = owner.costs - program.savings.worth(occupied, allowed)
        used = self.listed[owner.rows] + owner.uses - owner.uses[now]
        row = program.usd_row
        if row is not None:
            used = used - np.where(owner.rows == row, program.savings.usd_per_s(occupied, allowed)[:, None], 0.0)
        over = used > (program.bounds + program.tolerance)[owner.rows]
        return ~over.any(axis=1), costs


def greedy(program: Program) -> Choice:
    """Return a choice made one owner at a time: by class, each takes what loses least and costs least of what fits.

    Begins with everybody's last column, which must use nothing.
    """
    standing = _Standing(program, program.starts[1:] - 1)
    owners = _owners(program)
    for index in np.lexsort((np.arange(program.owners), program.classes)):
        fits, costs = standing.options(int(index), owners[index])
        _take(standing, int(index), owners[index], fits, np.lexsort((costs, owners[index].losses)))
    return standing.chosen


def rounded(program: Program, taken: Array, reduced: Array) -> Choice:
    """Return the choice nearest to a linear relaxation: by class, split ones first, each taking what fits.

    ``taken`` and ``reduced`` are the share and the reduced cost of each column; infinite ones are not wanted.
    """
    standing = _Standing(program, program.starts[1:] - 1)
    owners = _owners(program)
    surest = np.maximum.reduceat(taken, program.starts[:-1]).round(6)
    for index in np.lexsort((np.arange(program.owners), surest, program.classes)):
        owner = owners[index]
        fits, _ = standing.options(int(index), owner)
        order = np.lexsort((reduced[owner.columns], -taken[owner.columns].round(6)))
        _take(standing, int(index), owner, fits & np.isfinite(reduced[owner.columns]), order)
    return standing.chosen


def _take(standing: _Standing, index: int, owner: _Owner, fits: NDArray[np.bool_], order: NDArray[np.intp]) -> None:
    """Give an owner the first of its columns that fits; its last one, which uses nothing, where none does."""
    standing.move(index, owner, int(next((each for each in order if fits[each]), len(fits) - 1)))


def improved(program: Program, chosen: Choice) -> Choice:
    """Return a choice that no change of a single owner makes better: less loss in its class, or as little at less cost.

    Raises nothing and never returns a worse choice; one that breaks a row is returned as it came.
    """
    if not program.is_met(chosen):
        return chosen
    standing = _Standing(program, chosen)
    owners = _owners(program)
    order = np.lexsort((np.arange(program.owners), program.classes))
    for _ in range(SWEEPS):
        moved = [_improve(standing, int(index), owners[index]) for index in order]
        if not any(moved):
            break
    return standing.chosen


def _improve(standing: _Standing, index: int, owner: _Owner) -> bool:
    fits, costs = standing.options(index, owner)
    now = int(standing.chosen[index] - owner.columns[0])
    losses = owner.losses
    small_loss = WORTH * max(float(losses[now]), 1.0)
    small_cost = WORTH * max(abs(float(owner.costs[now])), 1e-12)
    gains = fits & (
        (losses < losses[now] - small_loss) | ((losses <= losses[now] + small_loss) & (costs < costs[now] - small_cost))
    )
    if not gains.any():
        return False
    found = np.flatnonzero(gains)
    standing.move(index, owner, int(found[np.lexsort((costs[found], losses[found]))[0]]))
    return True


def _owners(program: Program) -> list[_Owner]:
    made = []
    uses = program.uses
    for index in range(program.owners):
        first, last = int(program.starts[index]), int(program.starts[index + 1])
        begin, end = uses.indptr[first], uses.indptr[last]
        rows, inverse = np.unique(uses.indices[begin:end], return_inverse=True)
        block = np.zeros((last - first, len(rows)))
        line = np.repeat(np.arange(last - first), np.diff(uses.indptr[first : last + 1]))
        block[line, inverse] = uses.data[begin:end]
        made.append(
            _Owner(
                columns=np.arange(first, last),
                rows=rows.astype(np.intp),
                uses=block,
                rank=int(program.classes[index]),
                losses=program.losses[first:last],
                costs=program.costs[first:last],
                occupied=program.occupied[first:last],
                spot_ratio=float(program.spot_ratios[index]),
            )
        )
    return made
