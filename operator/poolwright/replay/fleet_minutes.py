"""What is kept of a replay: one row a minute, whatever the number of requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_tables import OPEN_MINUTES, counts_of, more_minutes
from poolwright.simulator.fleet_layout import LEAST_TTFT_S, MINUTE_S, TTFT_STEP
from poolwright.simulator.layout import Floats, Integers, Rows

PERCENTILES: Final = (0.5, 0.9, 0.95, 0.99)
"""Percentiles of times to first token that are kept [ratio]."""


class Minutes:
    """Counts of a fleet by minute; a minute's percentiles are closed half an hour after it."""

    def __init__(self, kinds: int, tiers: Sequence[Objectives]) -> None:
        self.tiers = tuple(tiers)
        self.tally = counts_of(kinds, len(tiers))
        self._percentiles: list[Floats] = []
        self._closed = np.zeros_like(self.tally.recent[0])

    def reach(self, until_s: float) -> None:
        """Make room for the minutes until a time."""
        needed = int(until_s / MINUTE_S) + 1
        if needed > len(self.tally.spent):
            self.tally = more_minutes(self.tally, needed)

    def close(self, now_s: float) -> None:
        """Close the minute whose place the one that begins now takes."""
        number = int(now_s / MINUTE_S) - OPEN_MINUTES
        place = self.tally.recent[number % OPEN_MINUTES]
        if number >= 0:
            self._percentiles.append(_percentiles(place))
            self._closed += place
        place.fill(0)

    def recorded(self, until_s: float, waiting: Sequence[tuple[float, int]]) -> "Recorded":
        """Return what happened until a time.

        Parameters
        ----------
        until_s
            End of the record [s].
        waiting
            ``(arrival_s, tier)`` of who had no first token then: late where the objective has passed.
        """
        count = int(np.ceil(until_s / MINUTE_S))
        minutes = self.tally.minutes[:count].copy()
        percentiles = np.full((count, len(self.tiers), len(PERCENTILES)), np.nan)
        closed = min(len(self._percentiles), count)
        for number in range(closed):
            percentiles[number] = self._percentiles[number]
        for number in range(closed, count):
            percentiles[number] = _percentiles(self.tally.recent[number % OPEN_MINUTES])
        overdue = np.zeros((count, len(self.tiers)), dtype=np.int64)
        for arrival_s, tier in waiting:
            goal_s = self.tiers[tier].ttft_s
            overdue[int(arrival_s / MINUTE_S), tier] += goal_s is not None and until_s - arrival_s > goal_s
        return Recorded(
            tiers=self.tiers,
            until_s=until_s,
            minutes=minutes,
            overdue=overdue,
            ttft_s=percentiles,
            whole_ttft_s=_percentiles(self._closed + self.tally.recent.sum(axis=0)),
            spent=self.tally.spent[:count].copy(),
            life_s=self.tally.life_s.copy(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A replay by minute of arrival (requests) and of the clock (replicas, cost, energy, queues).

    Attributes
    ----------
    tiers
        Objectives by tier.
    until_s
        Length [s].
    minutes
        Records of ``fleet_layout.MINUTE``, shape (minutes, tiers).
    overdue
        Who had no first token in the end though the objective had passed, same shape.
    ttft_s
        ``PERCENTILES`` of times to first token [s], NaN without any, shape (minutes, tiers, percentiles).
    whole_ttft_s
        The same over the whole replay [s], shape (tiers, percentiles).
    spent
        Records of ``fleet_layout.SPENT``, shape (minutes,).
    life_s
        Replica-seconds by variant, starting and draining ones included.
    """

    tiers: tuple[Objectives, ...]
    until_s: float
    minutes: Rows
    overdue: Integers
    ttft_s: Floats
    whole_ttft_s: Floats
    spent: Rows
    life_s: Floats

    @property
    def late(self) -> Integers:
        """Requests whose first token came late, or never: shed, lost or overdue ones too, shape (minutes, tiers)."""
        made = self.minutes
        return np.asarray(made["ttft_late"] + made["shed"] + made["lost"] + self.overdue)

    @property
    def itl_mean_s(self) -> Floats:
        """Mean time between tokens of who came in each minute [s], NaN without any, shape (minutes, tiers)."""
        tokens = self.minutes["itl_tokens"]
        return np.where(tokens > 0, self.minutes["itl_s"] / np.maximum(tokens, 1), np.nan)

    @property
    def violates(self) -> NDArray[np.bool_]:
        """Whether a minute missed an objective: too many first tokens late, or the mean time between tokens too long.

        Shape (minutes, tiers). A minute without requests misses none.
        """
        allowed = np.array([1.0 - each.percentile_ratio for each in self.tiers])
        goals_s = np.array([np.inf if each.itl_s is None else each.itl_s for each in self.tiers])
        # Rounding of the ratio must not make a request too many of the last one allowed.
        too_many = self.late > allowed * self.minutes["arrived"] * (1.0 + 1e-9)
        with np.errstate(invalid="ignore"):
            return np.asarray(too_many | (self.itl_mean_s > goals_s))

    @property
    def violating_ratio(self) -> float:
        """Share of minutes in which any tier missed an objective."""
        return float(np.mean(self.violates.any(axis=1)))

    @property
    def attainment(self) -> tuple[float, ...]:
        """Share of requests by tier whose first token came in time; 1 without any."""
        arrived = self.minutes["arrived"].sum(axis=0)
        return tuple((1.0 - self.late.sum(axis=0) / np.maximum(arrived, 1)).tolist())

    @property
    def replica_s(self) -> float:
        """Replica-seconds of all variants [s]."""
        return float(self.life_s.sum())

    @property
    def usd(self) -> float:
        """Cost of the replicas [$]."""
        return float(self.spent["usd"].sum())

    @property
    def joules(self) -> float:
        """Energy of the replicas [J]."""
        return float(self.spent["joules"].sum())


def _percentiles(counts: Integers) -> Floats:
    """Return the percentiles of tiers by bin, shape (tiers, percentiles)."""
    summed = counts.cumsum(axis=1)
    found = np.full((len(counts), len(PERCENTILES)), np.nan)
    for tier, row in enumerate(summed):
        if row[-1]:
            places = np.searchsorted(row, np.array(PERCENTILES) * row[-1])
            found[tier] = LEAST_TTFT_S * np.exp(TTFT_STEP * (places + 0.5))
    return found
