"""A number of replicas over the variants of a fleet, for policies that know only one number."""

from collections.abc import Sequence

from poolwright.replay.fleet_observed import VariantSeen


def filled(variants: Sequence[VariantSeen], total: int) -> dict[str, int]:
    """Return replicas by variant: the first up to its quota, then the next; what fits nowhere is left out.

    The order of the variants is the order of preference, as in a priority expander or a list of node pools. Policies
    that count replicas take each for the same, whatever it serves.
    """
    wanted = {}
    left = max(total, 0)
    for each in variants:
        granted = left if each.quota is None else min(left, each.quota)
        wanted[each.key] = granted
        left -= granted
    return wanted


def asked_for(variants: Sequence[VariantSeen]) -> int:
    """Return the replicas that the fleet's specification has now."""
    return sum(each.wanted for each in variants)
