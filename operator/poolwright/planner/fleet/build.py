"""From tiers with their columns to the program: rows for what they share, losses by priority, costs with churn.

Decides what a column is worth and what changing costs, equation (10.13) of docs/model.md; ``fleet.solve`` decides which
are taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from scipy.sparse import csr_matrix

from poolwright.planner.fleet.columns import Column, TierColumns, served_now
from poolwright.planner.fleet.program import Array, Program, Savings
from poolwright.planner.fleet.request import FleetLimits, Purpose, Supply
from poolwright.planner.menu import max_replicas_of
from poolwright.planner.optimise import CHURN_RATIO
from poolwright.planner.prices import price_usd_per_s
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.verify import LEAST_RATE_PER_S
from poolwright.units import usd_per_h_from_usd_per_s

UNPRICED_RATIO: Final = 10.0
"""Cost per watt of an accelerator without a price, over the dearest known one [ratio]: it is taken after all others."""

DEAREST_USD_PER_J: Final = 1e-5
"""Cost per watt [$/J] that stands in where no price at all is known: an H100 at 2 $/h and 700 W is 8e-7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that columns share: what a person calls it, and which kind of limit it is.

    ``quota_of`` names the accelerator where it is the fleet's quota of one.
    """

    name: str
    bound: float
    reason: Reason
    binding: Binding
    quota_of: str = ""


@dataclass(slots=True, kw_only=True)
class _Sheet:
    """Rows and their entries while they are collected."""

    rows: list[Row] = field(default_factory=list)
    index: dict[object, int] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def row(self, key: object, row: Row) -> int:
        """Return the index of a row, made at the first call with its key."""
        if key not in self.index:
            self.index[key] = len(self.rows)
            self.rows.append(row)
        return self.index[key]

    def use(self, column: int, row: int, amount: float) -> None:
        """Note that a column uses an amount of a row."""
        if amount > 0.0:
            self.lines.append(column)
            self.at.append(row)
            self.values.append(amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A program, its rows in words, and how much each column keeps of what runs [ratio], shape (columns,)."""

    program: Program
    rows: tuple[Row, ...]
    kept: Array


def built(tiers: Sequence[TierColumns], limits: FleetLimits) -> Built:
    """Return the program of tiers."""
    columns = [each for tier in tiers for each in tier.columns]
    names = tuple(sorted({name for each in columns for name, _ in each.accelerators}))
    position = {name: index for index, name in enumerate(names)}
    occupied = np.zeros((len(columns), len(names)))
    for line, each in enumerate(columns):
        for name, count in each.accelerators:
            occupied[line, position[name]] = count
    sheet = _Sheet()
    usd_row = _shared_rows(sheet, tiers, limits)
    _pool_rows(sheet, tiers)
    ranks = sorted({_priority(tier) for tier in tiers})
    uses = csr_matrix((sheet.values, (sheet.lines, sheet.at)), shape=(len(columns), len(sheet.rows)))
    unpriced_usd_per_j = _unpriced_usd_per_j(tiers)
    program = Program(
        starts=np.concatenate(([0], np.cumsum([len(tier.columns) for tier in tiers]))).astype(np.intp),
        classes=np.array([ranks.index(_priority(tier)) for tier in tiers], dtype=np.intp),
        losses=np.array([each for tier in tiers for each in _losses(tier)]),
        costs=np.concatenate([_costs(tier, limits, unpriced_usd_per_j) for tier in tiers]),
        occupied=occupied,
        spot_ratios=np.array([tier.request.spot_ratio for tier in tiers]),
        uses=uses,
        bounds=np.array([row.bound for row in sheet.rows]),
        usd_row=usd_row,
        savings=_savings([limits.supply(name) for name in names], list_prices(tiers, names), limits),
    )
    return Built(program=program, rows=tuple(sheet.rows), kept=np.array([each.kept_ratio for each in columns]))


def _priority(tier: TierColumns) -> tuple[bool, int]:
    """Return the order in which tiers are served: what must be held while signals are missing comes first."""
    return not tier.held, tier.tier.priority


def _losses(tier: TierColumns) -> list[float]:
    """Return the value that each column loses: requests not served in time, and more for those served now."""
    value = max(tier.load.rate_per_s, LEAST_RATE_PER_S) * tier.request.utility
    if tier.held:
        return [value * (1.0 - each.kept_ratio) for each in tier.columns]
    now = served_now(tier)
    taken = [max(now - each.served_ratio, 0.0) for each in tier.columns]
    return [
        value * (1.0 - each.served_ratio + CHURN_RATIO * less) for each, less in zip(tier.columns, taken, strict=True)
    ]


def _costs(tier: TierColumns, limits: FleetLimits, unpriced_usd_per_j: float) -> Array:
    """Return what each column costs in the fleet's purpose, with the cost of leaving what runs, equation (10.6)."""
    own = np.array([listed(each, limits, unpriced_usd_per_j) for each in tier.columns])
    if not tier.kept:
        return own
    full = [cost for each, cost in zip(tier.columns, own, strict=True) if each.is_full and each.kept_ratio >= 1.0]
    churn = CHURN_RATIO * min(full, default=0.0)
    return own + churn * (1.0 - np.array([each.kept_ratio for each in tier.columns]))


def listed(column: Column, limits: FleetLimits, unpriced_usd_per_j: float) -> float:
    """Return a column's cost at list prices [$/s], its power [W] or its carbon [g/s], by the fleet's purpose."""
    if limits.purpose is Purpose.ENERGY:
        return column.energy_w
    if limits.purpose is Purpose.CARBON:
        total = sum(count for _, count in column.accelerators)
        rates = [(limits.supply(name).grams_per_j, count) for name, count in column.accelerators]
        mean = sum((limits.grams_per_j if rate is None else rate) * count for rate, count in rates)
        return column.energy_w * mean / total if total else 0.0
    return unpriced_usd_per_j * column.power_w if column.usd_per_s is None else column.usd_per_s


def _unpriced_usd_per_j(tiers: Sequence[TierColumns]) -> float:
    """Return a cost per watt above every known one [$/J]."""
    known = [
        each.usd_per_s / each.power_w
        for tier in tiers
        for each in tier.columns
        if each.usd_per_s is not None and each.power_w > 0.0
    ]
    return UNPRICED_RATIO * (max(known, default=0.0) or DEAREST_USD_PER_J)


def list_prices(tiers: Sequence[TierColumns], names: Sequence[str]) -> list[float]:
    """Return the list price of one accelerator of each name [$/s]: the first that a pool's ways state, otherwise 0."""
    found: dict[str, float] = {}
    for tier in tiers:
        prices = dict(tier.request.policy.prices_usd_per_s)
        for option in tier.request.options if len(found) < len(names) else ():
            price = price_usd_per_s(option.accelerator, prices)
            if price is not None:
                found.setdefault(option.accelerator.name, price)
    return [found.get(name, 0.0) for name in names]


def _savings(supplies: Sequence[Supply], prices: Sequence[float], limits: FleetLimits) -> Savings:
    """Return what reserved and spot accelerators save; a spot one that saves nothing with its risk is not used."""
    counts = limits.purpose is Purpose.COST
    list_usd_per_s = np.array(prices, dtype=np.float64)
    spot_usd_per_s = np.array([np.inf if each.spot_usd_per_s is None else each.spot_usd_per_s for each in supplies])
    worth = np.maximum(list_usd_per_s - spot_usd_per_s * (1.0 + limits.spot_risk_ratio), 0.0)
    saved = np.where(worth > 0.0, list_usd_per_s - spot_usd_per_s, 0.0) if len(supplies) else worth
    return Savings(
        reserved=np.array([float(each.reserved) for each in supplies]),
        spot=np.where(worth > 0.0, np.array([float(each.spot) for each in supplies]), 0.0),
        reserved_worth=list_usd_per_s * counts,
        spot_worth=worth * counts,
        reserved_usd_per_s=list_usd_per_s,
        spot_usd_per_s=saved,
    )


def _shared_rows(sheet: _Sheet, tiers: Sequence[TierColumns], limits: FleetLimits) -> int | None:
    """Add budgets, quotas and failure domains of the fleet; return the row of the budget in dollars, if any."""
    usd, watts = _budget_rows(sheet, limits)
    quotas = {
        each.accelerator: sheet.row(
            ("quota", each.accelerator),
            replace(
                _row(f"the quota of {each.quota} {each.accelerator}", each.quota, Reason.ACCELERATOR_LIMIT),
                quota_of=each.accelerator,
            ),
        )
        for each in limits.supplies
        if each.quota is not None
    }
    spread = {each.accelerator: each.domains for each in limits.supplies if each.domains}
    columns = [(tier, column) for tier in tiers for column in tier.columns]
    for line, (tier, column) in enumerate(columns):
        for name, count in column.accelerators:
            if name in quotas:
                sheet.use(line, quotas[name], float(count))
        if usd is not None:
            sheet.use(line, usd, column.usd_per_s or 0.0)
        if watts is not None:
            sheet.use(line, watts, column.power_w)
        if spread:
            _domains(sheet, line, tier, column, spread)
    return usd


def _budget_rows(sheet: _Sheet, limits: FleetLimits) -> tuple[int | None, int | None]:
    """Add the fleet's budgets and return their rows, in dollars and in watts."""
    usd = watts = None
    if limits.budget.usd_per_s is not None:
        name = f"the fleet's budget of {usd_per_h_from_usd_per_s(limits.budget.usd_per_s):.2f} $/h"
        usd = sheet.row("usd", _row(name, limits.budget.usd_per_s, Reason.BUDGET))
    if limits.budget.watts is not None:
        name = f"the fleet's budget of {limits.budget.watts:.0f} W"
        watts = sheet.row("watts", _row(name, limits.budget.watts, Reason.BUDGET))
    return usd, watts


def _domains(sheet: _Sheet, line: int, tier: TierColumns, column: Column, spread: dict[str, tuple[int, ...]]) -> None:
    """Add what a column takes of every failure domain: its even share, where it must be spread, else what is over."""
    for part in column.parts:
        name, size = part.variant.accelerator, part.variant.accelerators
        domains = spread.get(name, ())
        even = part.replicas // len(domains) * size if domains and tier.request.min_domains > 1 else 0
        for number, count in enumerate(domains):
            row = _row(f"the {count} {name} of failure domain {number}", count, Reason.ACCELERATOR_LIMIT)
            sheet.use(line, sheet.row(("domain", name, number), row), float(even))
        if domains:
            row = _row(f"the {sum(domains)} {name} of all domains", sum(domains), Reason.ACCELERATOR_LIMIT)
            sheet.use(line, sheet.row(("domains", name), row), float(part.replicas * size))


def _row(name: str, bound: float, reason: Reason) -> Row:
    binding = Binding.BUDGET if reason is Reason.BUDGET else Binding.ACCELERATORS
    return Row(name=name, bound=float(bound), reason=reason, binding=binding)


def _pool_rows(sheet: _Sheet, tiers: Sequence[TierColumns]) -> None:
    """Add a pool's own ceilings where several tiers share them; those of a single tier have cut its columns already."""
    line = 0
    for tier in tiers:
        policy = tier.request.policy
        if len(policy.tiers) > 1:
            for number, column in enumerate(tier.columns):
                _own(sheet, line + number, tier, column)
        line += len(tier.columns)


def _own(sheet: _Sheet, line: int, tier: TierColumns, column: Column) -> None:
    policy, pool = tier.request.policy, tier.request.name
    maximum = policy.scaling.max_replicas
    row = Row(
        name=f"{pool}'s maximum of {maximum} replicas",
        bound=float(maximum),
        reason=Reason.MAX_REPLICAS,
        binding=Binding.MAX_REPLICAS,
    )
    sheet.use(line, sheet.row((pool, "replicas"), row), float(sum(part.replicas for part in column.parts)))
    quotas, menu = dict(policy.max_accelerators), max_replicas_of(policy)
    for part in column.parts:
        name = part.variant.accelerator
        if name in menu:
            row = _row(f"{pool}'s menu of {menu[name]} replicas on {name}", menu[name], Reason.ACCELERATOR_LIMIT)
            sheet.use(line, sheet.row((pool, "menu", name), row), float(part.replicas))
        if name in quotas:
            row = _row(f"{pool}'s quota of {quotas[name]} {name}", quotas[name], Reason.ACCELERATOR_LIMIT)
            count = part.replicas * part.variant.accelerators
            sheet.use(line, sheet.row((pool, "quota", name), row), float(count))
    if policy.budget.usd_per_s is not None:
        bound = policy.budget.usd_per_s
        row = _row(f"{pool}'s budget of {usd_per_h_from_usd_per_s(bound):.2f} $/h", bound, Reason.BUDGET)
        sheet.use(line, sheet.row((pool, "usd"), row), column.usd_per_s or 0.0)
    if policy.budget.watts is not None:
        row = _row(f"{pool}'s budget of {policy.budget.watts:.0f} W", policy.budget.watts, Reason.BUDGET)
        sheet.use(line, sheet.row((pool, "watts"), row), column.power_w)
