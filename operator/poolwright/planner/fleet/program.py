"""The fleet's choice as numbers: one column for each tier, rows that bound what all take together, savings on supply.

Builds the matrices of equation (10.13) of docs/model.md, and says what a choice uses and costs. Knows no pools and no
prices; is filled by ``fleet.build`` and solved by ``fleet.solve``.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Array = NDArray[np.float64]
Choice = NDArray[np.intp]
"""Index of the chosen column of each owner, shape (owners,)."""

SLACK: Final = 1e-9
"""Relative slack when a sum is compared with its bound [ratio]: three times 0.1 must fit into 0.3."""

TINY: Final = 1e-12
"""The same in units of the row, for bounds of 0: far below a cent a year, or a watt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """Supply that is cheaper than the list price, by accelerator; all of shape (accelerators,).

    Attributes
    ----------
    reserved, spot
        How many there are [count].
    reserved_worth, spot_worth
        What one saves in the objective.
    reserved_usd_per_s, spot_usd_per_s
        What one saves in money [$/s].
    """

    reserved: Array
    spot: Array
    reserved_worth: Array
    spot_worth: Array
    reserved_usd_per_s: Array
    spot_usd_per_s: Array

    def used(self, occupied: Array, allowed: Array) -> tuple[Array, Array]:
        """Return reserved and spot accelerators taken, of ``occupied`` ones of which ``allowed`` may be spot."""
        reserved = np.minimum(occupied, self.reserved)
        spot = np.minimum(np.minimum(self.spot, np.floor(allowed + SLACK)), occupied - reserved)
        return reserved, spot

    def worth(self, occupied: Array, allowed: Array) -> Array:
        """Return what is saved in the objective, summed over the last axis."""
        reserved, spot = self.used(occupied, allowed)
        return np.asarray(reserved @ self.reserved_worth + spot @ self.spot_worth)

    def usd_per_s(self, occupied: Array, allowed: Array) -> Array:
        """Return what is saved in money [$/s], summed over the last axis."""
        reserved, spot = self.used(occupied, allowed)
        return np.asarray(reserved @ self.reserved_usd_per_s + spot @ self.spot_usd_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Columns with their owners, and rows that bound them.

    Attributes
    ----------
    starts
        First column of each owner and the number of columns, shape (owners + 1,): columns of one owner are contiguous.
    classes
        Rank of each owner's priority, from 0, shape (owners,).
    losses
        Value that a column loses, in units of its owner's class, shape (columns,).
    costs
        What a column costs in the objective at list prices, shape (columns,).
    occupied
        Accelerators that a column takes, shape (columns, accelerators).
    spot_ratios
        Share of an owner's accelerators that may be spot, shape (owners,).
    uses, bounds
        What a column uses of every row, and the most that all may, shapes (columns, rows) and (rows,).
    usd_row
        Row whose use is lowered by savings in money, or None.
    """

    starts: NDArray[np.intp]
    classes: NDArray[np.intp]
    losses: Array
    costs: Array
    occupied: Array
    spot_ratios: Array
    uses: csr_matrix
    bounds: Array
    usd_row: int | None
    savings: Savings

    @property
    def owners(self) -> int:
        """Number of owners."""
        return len(self.starts) - 1

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.costs)

    @property
    def owner_of(self) -> NDArray[np.intp]:
        """Owner of each column, shape (columns,)."""
        return np.repeat(np.arange(self.owners), np.diff(self.starts))

    @property
    def ranks(self) -> int:
        """Number of priority classes."""
        return int(self.classes.max()) + 1 if self.owners else 0

    @property
    def tolerance(self) -> Array:
        """How far a row may be over its bound for rounding alone, shape (rows,)."""
        tolerances: Array = np.maximum(SLACK * np.abs(self.bounds), TINY)
        return tolerances

    def supply(self, chosen: Choice) -> tuple[Array, Array]:
        """Return accelerators occupied, and how many of them may be spot, by accelerator."""
        taken = self.occupied[chosen]
        return taken.sum(axis=0), self.spot_ratios @ taken

    def used(self, chosen: Choice) -> Array:
        """Return what a choice uses of every row, shape (rows,)."""
        used: Array = np.asarray(self.uses[chosen].sum(axis=0), dtype=np.float64).ravel()
        if self.usd_row is not None:
            used[self.usd_row] -= float(self.savings.usd_per_s(*self.supply(chosen)))
        return used

    def is_met(self, chosen: Choice) -> bool:
        """Return whether every row is within its bound."""
        return bool(np.all(self.used(chosen) <= self.bounds + self.tolerance))

    def value(self, chosen: Choice) -> tuple[float, ...]:
        """Return what is minimised, first things first: the loss of each class, then the cost."""
        lost = np.bincount(self.classes, weights=self.losses[chosen], minlength=self.ranks)
        cost = float(self.costs[chosen].sum() - self.savings.worth(*self.supply(chosen)))
        return (*(float(each) for each in lost), cost)

    def restricted(self, keep: NDArray[np.bool_]) -> tuple["Program", NDArray[np.intp]]:
        """Return the program with some columns only, and their indices; every owner must keep one."""
        index = np.flatnonzero(keep)
        counts = np.add.reduceat(keep.astype(np.intp), self.starts[:-1])
        made = replace(
            self,
            starts=np.concatenate(([0], np.cumsum(counts))),
            losses=self.losses[index],
            costs=self.costs[index],
            occupied=self.occupied[index],
            uses=self.uses[index],
        )
        return made, index
