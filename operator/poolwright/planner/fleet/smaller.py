"""Columns for when something is short: fewer replicas that serve a share, and two variants where a quota cuts one.

What they lose is the share of the load that so few replicas do not serve within the objectives; equation (10.13) of
docs/model.md.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from poolwright.planner.fleet.columns import Column, TierColumns, column, full_replicas, list_usd_per_s
from poolwright.planner.fleet.sizing import share_need
from poolwright.planner.fleet.ways import Part, least_of

FEW: Final = 4
"""Replicas up to which every smaller number is a column of its own [count]."""

SHARES: Final = (0.875, 0.75, 0.5, 0.25)
"""Shares of a tier's replicas that degraded columns run [ratio]: what is between is lost, at most an eighth of it."""

SPLITS: Final = (0.25, 0.5, 0.75)
"""Shares of a tier's replicas that stay on the variant that a quota cut, where a second variant serves the rest."""

SECONDS: Final = 3
"""Second variants that are tried beside one that a quota cut: the cheapest ones."""


def degraded(tier: TierColumns) -> list[Column]:
    """Return columns that serve less than the whole load, on each accelerator those that others do not dominate."""
    if tier.held:
        return []
    found: dict[str, list[Column]] = {}
    for way in tier.ways:
        whole = full_replicas(tier, way)
        tried = {*range(1, min(whole, FEW + 1)), *(math.ceil(whole * share) for share in SHARES), min(way.cap, whole)}
        for replicas in sorted(tried):
            if 0 < replicas <= way.cap and replicas < whole:
                serving = max(replicas - way.extra - tier.request.spare_replicas, 1)
                # A pin is a wish for a number: fewer serve its share, whatever the load.
                served = way.need.served_ratio(serving)
                served = min(served, replicas / whole) if served >= 1.0 else served
                if served > 0.0:
                    made = column(tier, ((way, replicas),), served)
                    found.setdefault(way.variant.accelerator, []).append(made)
    return [each for columns in found.values() for each in _undominated(columns, tier.kept)]


def _undominated(columns: Sequence[Column], kept: Sequence[Part]) -> Iterator[Column]:
    """Yield columns of one accelerator that serve more than every one that occupies as little; and what runs."""
    most, runs = 0.0, {part.variant for part in kept}
    for each in sorted(columns, key=lambda made: (made.accelerators[0][1], -made.served_ratio, made.name)):
        if each.served_ratio > most or each.parts[0].variant in runs:
            yield each
        most = max(most, each.served_ratio)


def mixed(tier: TierColumns, accelerator: str) -> list[Column]:
    """Return columns that keep part of the load on an accelerator that is cut and serve the rest with a second variant.

    Each part is a pool of its own with its share of a Poisson stream, so that nothing is gained by pooling over both.
    """
    if tier.held or tier.request.policy.scaling.pinned_replicas is not None:
        return []
    by_cost = sorted(tier.ways, key=lambda way: (list_usd_per_s(way, full_replicas(tier, way)), way.variant.key))
    first = next((way for way in by_cost if way.variant.accelerator == accelerator), None)
    others = [way for way in by_cost if way.variant.accelerator != accelerator][:SECONDS]
    if first is None:
        return []
    whole = full_replicas(tier, first)
    tried = {math.ceil(whole * share) for share in SPLITS}
    made = []
    for count in sorted(each for each in tried if 0 < each < min(whole, first.cap + 1)):
        rest_per_s = first.need.rate_per_s - first.need.curve.rate_per_s(count)
        for other in others if rest_per_s > 0.0 else ():
            rest = share_need(other.candidate, tier.workload, tier.tier.objectives, rest_per_s)
            replicas = None if rest is None else rest.replicas + tier.request.spare_replicas
            if replicas is not None and replicas <= other.cap and _fits(tier, count + replicas):
                made.append(column(tier, ((first, count), (other, replicas)), 1.0))
    return made


def _fits(tier: TierColumns, replicas: int) -> bool:
    return least_of(tier.request) <= replicas <= tier.request.policy.scaling.max_replicas
