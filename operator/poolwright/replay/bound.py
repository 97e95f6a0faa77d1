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

from poolwright.planner.judge import simulated
from poolwright.planner.verify import Judge
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.workload import Workload
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies.sizing import Sizing
from poolwright.replay.source import Source
from poolwright.simulator.layout import Floats, Integers

WINDOW_S: Final = 60.0
"""[s] As long as the minutes that attainment is counted by."""
SPAN_S: Final = 21_600.0
"""[s] Over which lengths are taken together: long ones are rare, and ServeGen states its own by six hours."""
SAMPLES: Final = 20_000
"""Requests whose lengths stand for those of a span [count]: two hundred beyond the 99th percentile."""
RATE_STEP: Final = 0.01
"""Width of the bins that rates are rounded up to [1, natural logarithm]: a few hundred programs for any trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A trace by window: rates [1/s], the span that each lies in, and lengths of requests by span."""

    window_s: float
    rates_per_s: Floats
    spans: Integers
    workloads: tuple[Workload, ...]


def demand_of(
    source: Source, *, until_s: float = math.inf, window_s: float = WINDOW_S, span_s: float = SPAN_S
) -> Demand:
    """Return a trace's demand until a time."""
    end_s = min(until_s, source.duration_s)
    count = max(math.ceil(end_s / window_s), 1)
    spans = max(math.ceil(end_s / span_s), 1)
    requests = np.zeros(count)
    lengths: list[list[Integers]] = [[] for _ in range(spans)]
    for block in source.blocks():
        within = int(np.searchsorted(block.arrivals_s, end_s))
        arrivals = block.arrivals_s[:within]
        requests += np.bincount(np.minimum((arrivals / window_s).astype(np.int64), count - 1), minlength=count)
        joint = np.stack([block.input_tokens[:within], block.output_tokens[:within]])
        owner = np.minimum((arrivals / span_s).astype(np.int64), spans - 1)
        for span in np.unique(owner):
            missing = SAMPLES - sum(each.shape[1] for each in lengths[span])
            if missing > 0:
                lengths[span].append(joint[:, owner == span][:, :missing])
        if within < len(block):
            break
    lengths_s = np.full(count, window_s)
    lengths_s[-1] = end_s - (count - 1) * window_s
    every = [np.concatenate(each, axis=1) if each else np.ones((2, 1), dtype=np.int64) for each in lengths]
    return Demand(
        window_s=window_s,
        rates_per_s=requests / lengths_s,
        spans=np.minimum((np.arange(count) * window_s / span_s).astype(np.int64), spans - 1),
        workloads=tuple(Workload.from_samples(each[0], each[1]) for each in every),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Replicas by window and variant, shape (windows, variants), and what they cost altogether."""

    window_s: float
    counts: Floats
    replica_s: Floats
    usd: float


def bound_of(
    demand: Demand,
    variants: Sequence[FleetVariant],
    objectives: Objectives,
    *,
    most: int = 200,
    judge: Judge = simulated,
) -> Bound:
    """Return the cheapest fleet of each window, of at most so many replicas of a kind.

    Raises
    ------
    ValueError
        Where quotas leave a window unserved.
    """

    @cache
    def curves(span: int) -> tuple[tuple[float, ...], ...]:
        found = []
        for each in variants:
            sizing, number = Sizing.of(each, objectives, judge), most if each.quota is None else each.quota
            workload = demand.workloads[span]
            found.append(tuple(sizing.sustained_per_s(workload, count) for count in range(number + 1)))
        return tuple(found)

    prices = tuple(each.price_usd_per_s for each in variants)

    @cache
    def chosen(step: int, span: int) -> tuple[int, ...]:
        return cheapest(curves(span), prices, math.exp(step * RATE_STEP))

    steps = np.ceil(np.log(np.maximum(demand.rates_per_s, 1e-3)) / RATE_STEP).astype(np.int64)
    found = [chosen(int(step), int(span)) for step, span in zip(steps, demand.spans, strict=True)]
    counts = np.array(found, dtype=np.float64)
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
