"""Columns: every way to serve one tier that the fleet may choose, sized by the closed form and priced.

A column says how many replicas of which variant, what they occupy, cost and draw, which share of the load they serve
and how much of what runs they keep. Since each is sized before anything is chosen, pooling gains are exact and the
program over columns stays linear. Equations (10.12) and (10.13) of docs/model.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from poolwright.perf.cost import power_w
from poolwright.planner.candidates import candidates, workload_of
from poolwright.planner.fleet.request import FleetLimits, FleetRequest
from poolwright.planner.fleet.ways import Part, Way, kept_of, ways_of
from poolwright.planner.outcome import Load
from poolwright.planner.policy import TierPolicy
from poolwright.planner.prices import price_usd_per_s
from poolwright.queueing.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One way to serve a tier.

    Attributes
    ----------
    parts
        What runs; empty is nothing.
    accelerators
        What it occupies, by catalogue name.
    usd_per_s
        At list prices [$/s]; None where one is unknown.
    power_w, energy_w
        Limit of its accelerators [W], and what they draw at the tier's load [W].
    served_ratio
        Share of the load served within the objectives, in [0, 1].
    kept_ratio
        Share of the running replicas that are still needed and stay, in [0, 1]; 1 where nothing runs.
    """

    parts: tuple[Part, ...]
    accelerators: tuple[tuple[str, int], ...]
    usd_per_s: float | None
    power_w: float
    energy_w: float
    served_ratio: float
    kept_ratio: float

    @property
    def name(self) -> str:
        """What people read: ``2 x chat-h100-sxm-bf16 + 3 x chat-l40s-bf16``."""
        return " + ".join(f"{part.replicas} x {part.variant.key}" for part in self.parts) or "nothing"

    @property
    def is_full(self) -> bool:
        """Whether the whole load is served."""
        return self.served_ratio >= 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TierColumns:
    """One tier with its ways and columns; the last column is always nothing.

    ``held`` is what runs while a needed signal is missing: no other column may then take any of it away. ``wish`` is
    the cheapest way to serve the whole load among those that a shared quota alone cuts, None where it cuts none.
    """

    request: FleetRequest
    tier: TierPolicy
    load: Load
    workload: Workload
    ways: tuple[Way, ...]
    kept: tuple[Part, ...]
    held: tuple[Part, ...]
    columns: tuple[Column, ...]
    wish: Column | None = None

    @property
    def name(self) -> str:
        """Pool and tier as people name them."""
        return f"{self.request.name} {self.tier.name}"


def tier_columns(request: FleetRequest, limits: FleetLimits) -> list[TierColumns]:
    """Return every tier of a pool with its full columns and nothing; sizing is remembered across pools."""
    return [_tier(request, tier, load, limits) for tier, load in zip(request.policy.tiers, request.loads, strict=True)]


def _tier(request: FleetRequest, tier: TierPolicy, load: Load, limits: FleetLimits) -> TierColumns:
    workload = workload_of(load)
    running = tuple(each for each in request.running if each.variant.tier == tier.name and each.wanted > 0)
    found, _ = candidates(request.policy.model, request.options, load, tier.objectives)
    ways = tuple(ways_of(request, tier, load, workload, [each for each in found if each.is_feasible], running, limits))
    kept = kept_of(ways, running)
    held = () if load.may_lower else tuple(Part(variant=each.variant, replicas=each.wanted) for each in running)
    made = TierColumns(
        request=request, tier=tier, load=load, workload=workload, ways=ways, kept=kept, held=held, columns=()
    )
    if held:
        return with_columns(made, _held_columns(made))
    return with_columns(replace(made, wish=_wish(made)), _full(made))


def with_columns(tier: TierColumns, columns: Sequence[Column]) -> TierColumns:
    """Return a tier with these columns, equal ones once, and nothing as the last of them."""
    unique = {each.name: each for each in columns if each.parts}
    nothing = Column(
        parts=(),
        accelerators=(),
        usd_per_s=0.0,
        power_w=0.0,
        energy_w=0.0,
        served_ratio=0.0,
        kept_ratio=0.0 if tier.kept or tier.held else 1.0,
    )
    return replace(tier, columns=(*unique.values(), nothing))


def served_now(tier: TierColumns) -> float:
    """Return the share of the load that the running replicas serve, in [0, 1]."""
    needs = {way.variant: way.need for way in tier.ways}
    return min(sum(needs[part.variant].served_ratio(part.replicas) for part in tier.kept), 1.0)


def full_replicas(tier: TierColumns, way: Way) -> int:
    """Return replicas that serve the whole load: pinned, or as needed with spares and at least the least."""
    pinned = tier.request.policy.scaling.pinned_replicas
    if pinned is not None:
        return max(pinned // len(tier.request.policy.tiers), 1)
    return max(way.need.replicas + way.extra + tier.request.spare_replicas, way.least)


def _full(tier: TierColumns) -> list[Column]:
    """Return one column for each accelerator: the way that occupies fewest of it; and the one that runs."""
    best: dict[str, tuple[int, Way]] = {}
    columns = []
    for way in tier.ways:
        replicas = full_replicas(tier, way)
        if replicas > way.cap:
            continue
        if any(way.variant == part.variant for part in tier.kept):
            columns.append(column(tier, ((way, replicas),), 1.0))
        occupied = replicas * way.size
        if occupied < best.get(way.variant.accelerator, (math.inf, way))[0]:
            best[way.variant.accelerator] = occupied, way
    return columns + [column(tier, ((way, count // way.size),), 1.0) for count, way in best.values()]


def _wish(tier: TierColumns) -> Column | None:
    """Return the cheapest full column of the ways that only a shared quota cuts."""
    cut = [
        (list_usd_per_s(way, full_replicas(tier, way)), way.variant, way)
        for way in tier.ways
        if way.cap < full_replicas(tier, way) <= way.own_cap
    ]
    if not cut:
        return None
    way = min(cut)[-1]
    return column(tier, ((way, full_replicas(tier, way)),), 1.0)


def list_usd_per_s(way: Way, replicas: int) -> float:
    """Return what replicas of a way cost at list price [$/s]; infinite where none is known."""
    return math.inf if way.price_usd_per_s is None else way.price_usd_per_s * way.size * replicas


def column(tier: TierColumns, chosen: Sequence[tuple[Way, int]], served_ratio: float) -> Column:
    """Return the column of some replicas of some ways, priced."""
    costs = [list_usd_per_s(way, replicas) for way, replicas in chosen]
    occupied: dict[str, int] = {}
    for way, replicas in chosen:
        occupied[way.variant.accelerator] = occupied.get(way.variant.accelerator, 0) + way.size * replicas
    parts = tuple(Part(variant=way.variant, replicas=replicas) for way, replicas in chosen)
    return Column(
        parts=parts,
        accelerators=tuple(occupied.items()),
        usd_per_s=None if math.inf in costs else sum(costs),
        power_w=sum(way.candidate.config.accelerator.tdp_w * way.size * replicas for way, replicas in chosen),
        energy_w=sum(_energy_w(tier, way, replicas, served_ratio, chosen) for way, replicas in chosen),
        served_ratio=served_ratio,
        kept_ratio=_kept_ratio(tier, parts),
    )


def _energy_w(
    tier: TierColumns, way: Way, replicas: int, served_ratio: float, chosen: Sequence[tuple[Way, int]]
) -> float:
    """Return the mean power of a part at its share of the load [W], equation (7.1)."""
    able = sum(other.sustained_per_s * count for other, count in chosen)
    busy = min(tier.load.rate_per_s * served_ratio / able, 1.0)
    return power_w(way.candidate.config, busy, 0.0) * replicas


def _kept_ratio(tier: TierColumns, parts: Sequence[Part]) -> float:
    counts = {part.variant: part.replicas for part in parts}
    if tier.held:
        total = sum(part.replicas for part in tier.held)
        return sum(min(counts.get(part.variant, 0), part.replicas) for part in tier.held) / total
    if not tier.kept:
        return 1.0
    curves = {way.variant: way.need.curve for way in tier.ways}
    able = sum(curves[part.variant].rate_per_s(part.replicas) for part in tier.kept)
    stays = sum(curves[part.variant].rate_per_s(min(counts.get(part.variant, 0), part.replicas)) for part in tier.kept)
    return min(stays / able, 1.0)


def _held_columns(tier: TierColumns) -> list[Column]:
    """Return what runs, and the same with as many more replicas of its current variant as the last load needs."""
    request = tier.request
    prices = dict(request.policy.prices_usd_per_s)
    known = {option.accelerator.name: option.accelerator for option in request.options}
    occupied: dict[str, int] = {}
    usd_per_s: float | None = 0.0
    power = 0.0
    for part in tier.held:
        name, count = part.variant.accelerator, part.replicas * part.variant.accelerators
        occupied[name] = occupied.get(name, 0) + count
        price = price_usd_per_s(known[name], prices) if name in known else None
        usd_per_s = None if price is None or usd_per_s is None else usd_per_s + price * count
        power += known[name].tdp_w * count if name in known else 0.0
    stays = Column(
        parts=tier.held,
        accelerators=tuple(occupied.items()),
        usd_per_s=usd_per_s,
        power_w=power,
        energy_w=power,
        served_ratio=1.0,
        kept_ratio=1.0,
    )
    way = next((each for each in tier.ways if tier.kept and each.variant == tier.kept[0].variant), None)
    if way is None or len(tier.held) > 1 or full_replicas(tier, way) <= tier.held[0].replicas:
        return [stays]
    grown = min(full_replicas(tier, way), way.cap)
    return [stays, column(tier, ((way, grown),), 1.0)] if grown > tier.held[0].replicas else [stays]
