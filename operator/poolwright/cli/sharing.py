"""How ``poolwright plan --sharing`` says what tiers would save on the same replicas."""

from collections.abc import Sequence

from poolwright.planner.advice.sharing import Group, Sharing
from poolwright.planner.explain import dollars_per_h
from poolwright.units import percent_from_ratio


def sharing_lines(found: Sharing | None) -> list[str]:
    """Return each grouping with its cost, the probabilities that were simulated, and the saving."""
    if found is None:
        return ["sharing: fewer than two tiers run something that has a price"]
    lines = ["sharing: replicas of its own for each tier, as simulated", *map(_group, found.dedicated)]
    if found.saved_usd_per_s <= 0.0:
        return [*lines, "  no replicas that tiers share are cheaper"]
    lines += ["cheapest grouping, where engines schedule by priority", *map(_group, found.groups)]
    before = sum(each.usd_per_s for each in found.dedicated)
    after = before - found.saved_usd_per_s
    lines.append(
        f"  saves {dollars_per_h(before)} - {dollars_per_h(after)} = {dollars_per_h(found.saved_usd_per_s)} $/h; "
        "advice only: every tier gets replicas of its own"
    )
    return lines


def _group(group: Group) -> str:
    count = f"{group.replicas} x {group.runs_on}, {dollars_per_h(group.usd_per_s)} $/h"
    return f"  {' + '.join(group.tiers)}: {count}, {_attained(group.attainment)}"


def _attained(attainment: Sequence[float]) -> str:
    if not attainment:
        return "the plan's number: not simulated"
    return ", ".join(f"{percent_from_ratio(each):.1f} %" for each in attainment) + " within the objectives"
