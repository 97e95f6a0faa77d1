"""Hard ceilings of a pool as linear constraints over replicas per variant, and how priorities share what they leave.

Maximum replicas, accelerators (menu, quota, cluster) and budgets ($ and watts) all have the form
``sum(use of a replica * replicas) <= bound``, docs/model.md equation (10.5). Decides nothing about demand.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poolwright.planner.reason import Binding, Reason

ROUNDING: Final = 1e-9
"""Relative slack when a bound is compared with a sum of products [ratio]: three times 0.1 must fit into 0.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One ceiling: what each replica of a variant (by key) uses of it, absent keys nothing.

    ``name`` says to a person where the bound comes from.
    """

    name: str
    reason: Reason
    binding: Binding
    bound: float
    use: Mapping[str, float]

    def room(self, counts: Mapping[str, int], key: str) -> float:
        """Return how many more replicas of a variant fit beside ``counts``; infinite where it uses nothing."""
        use = self.use.get(key, 0.0)
        if use <= 0.0:
            return math.inf
        used = sum(each * counts.get(other, 0) for other, each in self.use.items())
        return max(math.floor((self.bound * (1.0 + ROUNDING) - used) / use), 0)

    def is_met(self, counts: Mapping[str, int]) -> bool:
        """Return whether replicas by variant key stay within the bound."""
        used = sum(each * counts.get(key, 0) for key, each in self.use.items())
        return used <= self.bound * (1.0 + ROUNDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Replicas that somebody would like of a variant, known by its key."""

    key: str
    replicas: int


def room(constraints: Sequence[Constraint], counts: Mapping[str, int], key: str) -> float:
    """Return how many more replicas of a variant every constraint leaves; infinite without any."""
    return min((each.room(counts, key) for each in constraints), default=math.inf)


def allot(asks: Sequence[Ask], constraints: Sequence[Constraint], *, counts: Mapping[str, int]) -> dict[str, int]:
    """Return replicas by key that are granted on top of ``counts``: one to each first, then in the order of the asks.

    Never more than asked, and within every constraint whenever ``counts`` is.
    """
    granted = dict(counts)
    for only_one in (True, False):
        for ask in asks:
            missing = ask.replicas - (granted.get(ask.key, 0) - counts.get(ask.key, 0))
            wish = min(missing, 1) if only_one else missing
            granted[ask.key] = granted.get(ask.key, 0) + int(min(max(wish, 0), room(constraints, granted, ask.key)))
    return {ask.key: granted[ask.key] - counts.get(ask.key, 0) for ask in asks}
