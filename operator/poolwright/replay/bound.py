"""What nobody can beat by much: for each window the cheapest fleet that serves it, with demand known beforehand.

An integer program by window: how many replicas of each kind, so that what they serve within the objectives (the same
judge as a plan's, at the trace's own lengths) covers the window's mean rate. Nothing is paid for starts or for fear.
Queues carry a little work from one window to the next, so a policy may come out some parts in a hundred below.
``Clairvoyant`` plays these numbers through the fleet, ordered a cold start ahead.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from poolwright.planner.outcome import Load
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies.sizing import Sizing
from poolwright.replay.source import Source
from poolwright.simulator.layout import Floats

WINDOW_S: Final = 60.0
"""[s] As long as the minutes that attainment is counted by."""
RATE_STEP: Final = 0.01
"""Width of the bins that rates are rounded up to [1, natural logarithm]: a few hundred programs for any trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A trace by window: rates [1/s], and mean lengths over a longer span around each [tokens]."""

    window_s: float
    rates_per_s: Floats
    input_tokens: Floats
    output_tokens: Floats


def demand_of(source: Source, *, until_s: float = math.inf, window_s: float = WINDOW_S, span: int = 60) -> Demand:
    """Return a trace's demand until a time; lengths are means over ``span`` windows: single ones have too few."""
    end_s = min(until_s, source.duration_s)
    count = max(math.ceil(end_s / window_s), 1)
    sums = np.zeros((3, count))
    for block in source.blocks():
        within = int(np.searchsorted(block.arrivals_s, end_s))
        places = np.minimum((block.arrivals_s[:within] / window_s).astype(np.int64), count - 1)
        for row, weights in enumerate((None, block.input_tokens[:within], block.output_tokens[:within])):
            sums[row] += np.bincount(places, weights=weights, minlength=count)
        if within < len(block):
            break
    groups = np.arange(count) // span
    requests, inputs, outputs = (np.bincount(groups, weights=row) for row in sums)
    requests = np.maximum(requests, 1.0)
    lengths_s = np.full(count, window_s)
    lengths_s[-1] = end_s - (count - 1) * window_s
    return Demand(
        window_s=window_s,
        rates_per_s=sums[0] / lengths_s,
        input_tokens=np.maximum(inputs / requests, 1.0)[groups],
        output_tokens=np.maximum(outputs / requests, 1.0)[groups],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Replicas by window and variant, shape (windows, variants), and what they cost altogether."""

    window_s: float
    counts: Floats
    replica_s: Floats
    usd: float


def bound_of(demand: Demand, variants: Sequence[FleetVariant], sizings: Sequence[Sizing], *, most: int = 200) -> Bound:
    """Return the cheapest fleet of each window.

    Raises
    ------
    ValueError
        Where quotas leave a window unserved.
    """

    @cache
    def curves(inputs: float, outputs: float) -> tuple[tuple[float, ...], ...]:
        load = _load(inputs, outputs)
        numbers = [most if each.quota is None else each.quota for each in variants]
        return tuple(
            tuple(sizing.served_per_s(load, count) for count in range(number + 1))
            for sizing, number in zip(sizings, numbers, strict=True)
        )

    prices = tuple(each.price_usd_per_s for each in variants)

    @cache
    def chosen(step: int, inputs: float, outputs: float) -> tuple[int, ...]:
        return cheapest(curves(inputs, outputs), prices, math.exp(step * RATE_STEP))

    steps = np.ceil(np.log(np.maximum(demand.rates_per_s, 1e-3)) / RATE_STEP).astype(np.int64)
    counts = np.array(
        [
            chosen(int(step), round(float(inputs), 0), round(float(outputs), 0))
            for step, inputs, outputs in zip(steps, demand.input_tokens, demand.output_tokens, strict=True)
        ],
        dtype=np.float64,
    )
    replica_s = counts.sum(axis=0) * demand.window_s
    return Bound(window_s=demand.window_s, counts=counts, replica_s=replica_s, usd=float(replica_s @ np.array(prices)))


def cheapest(curves: Sequence[Sequence[float]], prices: Sequence[float], rate_per_s: float) -> tuple[int, ...]:
    """Return replicas of each kind that together serve a rate for the least money.

    Parameters
    ----------
    curves
        Rates served by 0, 1, 2 ... replicas of each kind [1/s].
    prices
        Of one replica of each [$/s].
    rate_per_s
        To serve.

    Examples
    --------
    >>> cheapest([(0.0, 4.0, 8.0, 12.0), (0.0, 1.0, 2.0, 3.0)], (3.0, 1.0), 9.0)
    (2, 1)
    """
    if len(curves) == 1:
        (only,) = curves
        count = int(np.searchsorted(np.maximum.accumulate(only), rate_per_s * (1.0 - 1e-9)))
        if count == len(only):
            raise ValueError(f"{count - 1} replicas do not serve {rate_per_s:g}/s")
        return (count,)
    # One variable for each number of each kind, of which exactly one is 1.
    cost = np.concatenate([price * np.arange(len(curve)) for curve, price in zip(curves, prices, strict=True)])
    served = np.concatenate([np.asarray(curve) for curve in curves])
    owner = np.concatenate([np.full(len(curve), kind) for kind, curve in enumerate(curves)])
    each_once = np.array([owner == kind for kind in range(len(curves))], dtype=np.float64)
    solved = milp(
        cost,
        integrality=np.ones(len(cost), dtype=np.int64),
        bounds=Bounds(0.0, 1.0),
        constraints=[
            LinearConstraint(each_once, 1.0, 1.0),
            LinearConstraint(served[None, :], rate_per_s * (1.0 - 1e-9), np.inf),
        ],
    )
    if solved.x is None:
        raise ValueError(f"no fleet within the quotas serves {rate_per_s:g}/s: {solved.message}")
    taken = np.round(solved.x) > 0.0
    numbers = np.concatenate([np.arange(len(curve)) for curve in curves])
    return tuple(int(numbers[taken & (owner == kind)][0]) for kind in range(len(curves)))


@dataclass(slots=True)
class Clairvoyant:
    """Plays a bound: orders what any window needs from now until what is ordered now serves."""

    keys: tuple[str, ...]
    bound: Bound
    ahead_s: float

    def decide(self, observed: Observed, now_s: float) -> Mapping[str, int]:
        """Return the most of each kind that any window needs until then."""
        del observed
        first = min(int(now_s / self.bound.window_s), len(self.bound.counts) - 1)
        last = int((now_s + self.ahead_s) / self.bound.window_s)
        most = self.bound.counts[first : last + 1].max(axis=0)
        return {key: int(count) for key, count in zip(self.keys, most, strict=True)}


def _load(inputs: float, outputs: float) -> Load:
    """Return a load of these lengths at one request a second."""
    return Load(
        tier="",
        rate_per_s=1.0,
        rates_per_s=(1.0,),
        weights=(1.0,),
        input_tokens_mean=inputs,
        output_tokens_mean=outputs,
        cached_prefix_ratio=0.0,
        is_observed=True,
        may_lower=True,
    )
