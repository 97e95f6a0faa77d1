"""Replicas that come and go: orders, cold starts, drains, failures and reclaims, in order and by seeded draws."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from poolwright.replay.fleet_variant import FleetVariant


@dataclass(slots=True, kw_only=True)
class Life:
    """One replica: its kind, its row in the tables, and its moments [s]; infinite what will not happen.

    Takes requests from ``opens_s`` to ``closes_s``, learns at ``notice_s`` that it will be reclaimed, is down at
    ``ends_s`` whatever it has then.
    """

    kind: int
    serial: int
    row: int
    begun_s: float
    opens_s: float
    closes_s: float = math.inf
    notice_s: float = math.inf
    ends_s: float = math.inf

    def is_open(self, now_s: float) -> bool:
        """Whether it takes requests."""
        return self.opens_s <= now_s < self.closes_s

    def is_starting(self, now_s: float) -> bool:
        """Whether it is on its way."""
        return now_s < self.opens_s

    def next_s(self, now_s: float) -> float:
        """Return its next moment after now [s]."""
        return min(
            (each for each in (self.opens_s, self.notice_s, self.ends_s) if each > now_s),
            default=math.inf,
        )


@dataclass(slots=True)
class Quota:
    """Accelerators by name that several fleets share: most that there may be, and how many are taken.

    What is not named is not bounded. First come, first served.
    """

    most: Mapping[str, int]
    taken: dict[str, int] = field(default_factory=dict)

    def room(self, variant: FleetVariant) -> float:
        """Return how many more replicas of a kind there may be."""
        name, each = variant.resource
        if name not in self.most:
            return math.inf
        return (self.most[name] - self.taken.get(name, 0)) // each

    def take(self, variant: FleetVariant, replicas: int) -> None:
        """Note that so many replicas came, or went where negative."""
        name, each = variant.resource
        self.taken[name] = self.taken.get(name, 0) + replicas * each


@dataclass(slots=True, kw_only=True)
class Lives:
    """All replicas of a fleet that are paid for, in order of their start, and what is wanted.

    Attributes
    ----------
    drain_most_s
        Longest time that a replica may take to finish what it has [s].
    quota
        What is shared with other fleets.
    started, stopped, failed
        How many were ordered, closed or cancelled, and went down by themselves.
    cold_start_s
        How long the latest start took that was seen [s]; None before any.
    """

    variants: Sequence[FleetVariant]
    seed: int
    drain_most_s: float
    quota: Quota = field(default_factory=lambda: Quota({}))
    wanted: list[int] = field(init=False)
    alive: list[Life] = field(default_factory=list)
    started: int = 0
    stopped: int = 0
    failed: int = 0
    cold_start_s: float | None = None
    _serial: int = 0

    def __post_init__(self) -> None:
        """Want nothing yet."""
        self.wanted = [0] * len(self.variants)

    def count(self, kind: int, now_s: float) -> tuple[int, int, int]:
        """Return how many of a kind take requests, start, and drain."""
        own = [each for each in self.alive if each.kind == kind]
        starting = sum(each.is_starting(now_s) for each in own)
        ready = sum(each.is_open(now_s) for each in own)
        return ready, starting, len(own) - ready - starting

    def want(self, wanted: Mapping[str, int]) -> bool:
        """Note what is wanted, a variant left out stays; return whether that changed anything."""
        before = list(self.wanted)
        keys = [variant.key for variant in self.variants]
        for key, count in wanted.items():
            if key not in keys or count < 0:
                raise ValueError(f"wanted {count} of {key!r}; the fleet has {', '.join(keys)}")
            self.wanted[keys.index(key)] = count
        return self.wanted != before

    def order(self, kind: int, now_s: float, *, is_cold: bool = True) -> Life:
        """Return a new replica without a row, ordered now."""
        variant = self.variants[kind]
        opens_s = now_s + (variant.cold_start_s if is_cold else 0.0)
        life, notice = (_exponential(self.seed, self._serial, draw) for draw in range(2))
        notice_s = opens_s + variant.mean_spot_s * notice
        made = Life(
            kind=kind,
            serial=self._serial,
            row=-1,
            begun_s=now_s,
            opens_s=opens_s,
            notice_s=notice_s,
            ends_s=min(opens_s + variant.mean_life_s * life, notice_s + variant.notice_s),
        )
        self._serial += 1
        self.started += 1
        self.quota.take(variant, 1)
        self.alive.append(made)
        return made

    def bury(self, life: Life) -> None:
        """Forget a replica that is gone."""
        self.alive.remove(life)
        self.quota.take(self.variants[life.kind], -1)

    def missing(self, now_s: float) -> list[int]:
        """Return the kinds of replicas to order, one entry each: wanted but neither ready nor starting, in quota."""
        found: list[int] = []
        for kind, (variant, wanted) in enumerate(zip(self.variants, self.wanted, strict=True)):
            ready, starting, draining = self.count(kind, now_s)
            room = math.inf if variant.quota is None else variant.quota - ready - starting - draining
            found += [kind] * int(max(0, min(wanted - ready - starting, room)))
        return found

    def may_order(self, kind: int) -> bool:
        """Whether what is shared has room for one more of a kind."""
        return self.quota.room(self.variants[kind]) >= 1

    def surplus(self, now_s: float) -> list[Life]:
        """Return the replicas to give up: those still starting first, then the newest, as Kubernetes does."""
        found = []
        for kind, wanted in enumerate(self.wanted):
            own = [each for each in self.alive if each.kind == kind and now_s < each.closes_s]
            own.sort(key=lambda each: (not each.is_starting(now_s), -each.serial))
            found += own[: max(0, len(own) - wanted)]
        return found

    def close(self, life: Life, now_s: float) -> None:
        """Let a replica take no more requests."""
        life.closes_s = now_s
        life.notice_s = math.inf
        life.ends_s = min(life.ends_s, now_s + self.drain_most_s)

    def next_s(self, now_s: float) -> float:
        """Return the next moment after now at which anything happens by itself [s]."""
        return min((each.next_s(now_s) for each in self.alive), default=math.inf)


def _exponential(seed: int, serial: int, draw: int) -> float:
    """Return a draw with mean 1 that depends on nothing else."""
    raw = int(np.random.PCG64([seed, serial, draw]).random_raw())
    return -math.log((raw + 1) / 2**64)
