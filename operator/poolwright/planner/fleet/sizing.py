"""What any number of replicas of a candidate serves, computed once for all pools of one model, lengths and objectives.

The curve is the closed form of ``queueing`` at 1 % steps of rate, so pooling gains are in it: twice the replicas serve
more than twice the rate. Replicas for a load, and the share that fewer serve, are then look-ups. Equation (10.12) of
docs/model.md.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.planner.candidates import MEMO, Candidate, Same, sustained_per_s
from poolwright.planner.outcome import Load
from poolwright.planner.verify import MOST_REPLICAS, RATE_STEP, ROUNDING, rates_of
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.sizing import probabilities, smallest_replicas
from poolwright.queueing.steady import Limits, steady
from poolwright.queueing.workload import Arrivals, Workload

Array = NDArray[np.float64]

EXACT: Final = 16
"""Numbers of replicas up to which every one is computed [count]: pooling gains change fastest there."""

GROWTH: Final = 1.15
"""Ratio of neighbouring numbers beyond [ratio]. The rate per replica is concave there, so a line between neighbours
plans at most one replica in a hundred too many, never too few."""

FIRST_REACH: Final = 64
"""Replicas that a curve covers at first [count]; it is doubled twice whenever a load needs more."""

FEWEST_LOAD: Final = 0.01
"""Least share of what a replica sustains that is looked at [ratio]: below it a candidate is no way to serve a tier."""

PROBES: Final = 20
"""Rates tried at once for each number of replicas: two rounds of 20 find one of 441 steps of 1 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Largest rate [1/s] within the objectives, ascending, for numbers of replicas, ascending from 0."""

    replicas: tuple[int, ...]
    rates_per_s: tuple[float, ...]

    def rate_per_s(self, replicas: int) -> float:
        """Return the rate that so many replicas serve [1/s]; beyond the curve as the last ones do each."""
        if replicas >= self.replicas[-1]:
            return self.rates_per_s[-1] * replicas / self.replicas[-1]
        upper = bisect_left(self.replicas, replicas)
        high = self.replicas[upper]
        if high == replicas:
            return self.rates_per_s[upper]
        low = self.replicas[upper - 1]
        part = (replicas - low) / (high - low)
        each = (1.0 - part) * self.rates_per_s[upper - 1] / low + part * self.rates_per_s[upper] / high
        return each * replicas

    def needed(self, rate_per_s: float) -> int | None:
        """Return the fewest replicas that serve a rate, None where the curve ends before."""
        enough = rate_per_s * (1.0 - ROUNDING)
        upper = bisect_left(self.rates_per_s, enough)
        if upper >= len(self.replicas):
            return None
        low, high = self.replicas[max(upper - 1, 0)], self.replicas[upper]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.rate_per_s(middle) >= enough else (middle, high)
        return high


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Replicas that a load needs on a candidate, the steady rate [1/s] that stands for it, and the curve behind."""

    replicas: int
    rate_per_s: float
    curve: Curve

    def served_ratio(self, replicas: int) -> float:
        """Return the share of the load that fewer replicas serve within the objectives, in [0, 1]."""
        return min(self.curve.rate_per_s(replicas) / self.rate_per_s, 1.0)


def need_of(candidate: Candidate, workload: Workload, load: Load, objectives: Objectives) -> Need | None:
    """Return what a load needs on a candidate; None where no number of replicas does.

    Notes
    -----
    Bursty arrivals are sized as ``verify`` does, and then stand for the steady rate that the same replicas serve.
    """
    rates = rates_of(load)
    if isinstance(rates, Arrivals):
        return share_need(candidate, workload, objectives, rates.rate_per_s)
    sizing = smallest_replicas(candidate.station, workload, rates, objectives, most=MOST_REPLICAS)
    if not sizing.is_feasible:
        return None
    curve = _reaching(candidate, workload, objectives, sizing.replicas)
    rate_per_s = curve.rate_per_s(sizing.replicas)
    return Need(replicas=sizing.replicas, rate_per_s=rate_per_s, curve=curve) if rate_per_s > 0.0 else None


def share_need(candidate: Candidate, workload: Workload, objectives: Objectives, rate_per_s: float) -> Need | None:
    """Return what a steady rate needs on a candidate; None where no number of replicas does."""
    reach = FIRST_REACH
    while reach <= MOST_REPLICAS:
        curve = curve_of(candidate, workload, objectives, reach)
        if curve.rates_per_s[-1] <= 0.0:
            return None
        found = curve.needed(rate_per_s)
        if found is not None:
            return Need(replicas=found, rate_per_s=rate_per_s, curve=curve)
        reach *= 4
    return None


def _reaching(candidate: Candidate, workload: Workload, objectives: Objectives, replicas: int) -> Curve:
    reach = FIRST_REACH
    while reach < replicas:
        reach *= 4
    return curve_of(candidate, workload, objectives, reach)


def curve_of(candidate: Candidate, workload: Workload, objectives: Objectives, reach: int = FIRST_REACH) -> Curve:
    """Return the curve up to ``reach`` replicas: the same one for every pool with these three."""
    return _curve(Same(candidate), Same(workload), objectives, reach)


@lru_cache(maxsize=MEMO)
def _curve(same: Same[Candidate], load: Same[Workload], objectives: Objectives, reach: int) -> Curve:
    candidate, workload = same.value, load.value
    begun = () if reach <= FIRST_REACH else _curve(same, load, objectives, reach // 4).replicas
    counts = [count for count in _counts(reach) if count not in begun]
    sustained = sustained_per_s(candidate, workload)
    rates = np.zeros(len(counts)) if sustained <= 0.0 else _rates(candidate, workload, objectives, counts, sustained)
    if begun:
        before = _curve(same, load, objectives, reach // 4)
        counts, rates = [*begun, *counts], np.concatenate((before.rates_per_s, rates))
    else:
        counts, rates = [0, *counts], np.concatenate(([0.0], rates))
    # The closed form bends by parts in ten thousand where it changes branches; a curve that falls would size up twice.
    return Curve(replicas=tuple(counts), rates_per_s=tuple(float(rate) for rate in np.maximum.accumulate(rates)))


def _counts(reach: int) -> list[int]:
    found = list(range(1, EXACT + 1))
    while found[-1] < reach:
        found.append(min(math.ceil(found[-1] * GROWTH), reach))
    return found


def _rates(
    candidate: Candidate, workload: Workload, objectives: Objectives, counts: list[int], sustained_each_per_s: float
) -> Array:
    """Return the largest rate on the 1 % grid within the objectives for each number of replicas, 0 where none is."""
    replicas = np.array(counts, dtype=np.float64)[:, None]
    top = np.floor(np.log(replicas * sustained_each_per_s) / RATE_STEP)
    low = np.floor(np.log(replicas * sustained_each_per_s * FEWEST_LOAD) / RATE_STEP) - 1.0
    high = top + 1.0
    ladder = np.arange(1, PROBES + 1)[None, :] / (PROBES + 1)
    while float(np.max(high - low)) > 1.0:
        tried = np.clip(np.round(low + (high - low) * ladder), low + 1.0, np.maximum(high - 1.0, low + 1.0))
        enough = _attained(candidate, workload, objectives, np.exp(tried * RATE_STEP), replicas)
        met = enough >= objectives.percentile_ratio
        # The largest rate that does, and the smallest above it that does not.
        low = np.maximum(low, np.max(np.where(met, tried, -np.inf), axis=1, keepdims=True))
        high = np.minimum(high, np.min(np.where(~met & (tried > low), tried, np.inf), axis=1, keepdims=True))
    least = np.floor(np.log(replicas * sustained_each_per_s * FEWEST_LOAD) / RATE_STEP) - 1.0
    return np.where(low > least, np.exp(low * RATE_STEP), 0.0)[:, 0]


def _attained(
    candidate: Candidate, workload: Workload, objectives: Objectives, rates_per_s: Array, replicas: Array
) -> Array:
    station, moments = candidate.station, workload.moments
    limits = Limits(
        max_num_seqs=float(station.max_num_seqs),
        max_num_batched_tokens=float(station.max_num_batched_tokens),
        kv_capacity_tokens=station.kv_capacity_tokens,
        block_tokens=station.block_tokens,
    )
    counts = np.broadcast_to(replicas, rates_per_s.shape)
    state = steady(station.grid(workload), moments, limits, rates_per_s / counts, replicas=counts, dispersion=1.0)
    return np.asarray(np.min(probabilities(state, workload, objectives), axis=0))
