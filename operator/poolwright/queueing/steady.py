"""The steady state of replicas under random arrivals: mean inter-token latency, batch and its fluctuation.

The batch is a product-form station: with F = 1 the formulas are its exact processor-sharing chain. Everything
broadcasts over rates and limits, so a scan of limits or a search for a rate is one call. Equations (9.4) to (9.7) of
docs/model.md.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolwright.queueing.station import kv_limit, prefill_price_s, rates_at_limits
from poolwright.queueing.step_grid import StepGrid
from poolwright.queueing.workload import Moments

Array = NDArray[np.float64]

ROUNDS: Final = 25
"""Damped rounds of the fixed point: enough for 1e-6 up to 95 % of load."""
CONVERGED: Final = 1e-6
"""Relative change of the batch at which the fixed point is left [ratio]."""
DAMPING: Final = 0.5
"""Share of a new value that each round takes [ratio]."""
MILD: Final = 0.5
"""Share of time for prefill up to which the mean step follows from it at once [ratio]; above, step by step."""
SATURATED: Final = 0.999
"""Load that is treated as overload [ratio]: beyond it no steady state exists that a fleet would ever reach."""
LEAST_DISPERSION: Final = 0.25
"""Lowest dispersion of arrivals at one replica behind least-requests routing: what simulated large pools showed."""


class Routing(StrEnum):
    """How the pool's arrivals are spread over its replicas."""

    LEAST_REQUESTS = "LeastRequests"
    RANDOM = "Random"
    ROUND_ROBIN = "RoundRobin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """Steady state of one replica; arrays of one shape, all of them where ``is_stable``.

    Attributes
    ----------
    rate_per_s, capacity_per_s
        Arrivals at one replica, and what it sustains [1/s].
    sequences, chunk
        Effective cap on the batch (limit and KV cache), and tokens of a step.
    base_s, slope_s, price_s, context_slope_s
        Secants of the step law at the operating point: T = base + slope n + price P, and seconds per token of context.
    rho_prefill, rho
        Shares of time that prefill alone, and all work, take.
    fluctuation
        F: variance of the batch relative to a product-form station.
    beside
        Share of the mean prefill that those feel who decode.
    itl_s, batch, batch_variance
        Mean time between tokens [s], mean batch and its variance.
    pool_dispersion, replica_dispersion
        Index of dispersion of arrivals at the pool and at one replica.
    grid
        The law itself, for what is far from the operating point.
    """

    rate_per_s: Array
    capacity_per_s: Array
    sequences: Array
    chunk: Array
    replicas: Array
    base_s: Array
    slope_s: Array
    price_s: Array
    context_slope_s: Array
    rho_prefill: Array
    rho: Array
    fluctuation: Array
    pool_fluctuation: Array
    beside: Array
    itl_s: Array
    batch: Array
    batch_variance: Array
    pool_dispersion: Array
    replica_dispersion: Array
    is_stable: NDArray[np.bool_]
    grid: StepGrid

    def decode_s(self, batch: Array) -> Array:
        """Return the time of a step without prefill [s]."""
        return np.asarray(self.base_s + self.slope_s * batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a step and cache, scalars or arrays."""

    max_num_seqs: ArrayLike
    max_num_batched_tokens: ArrayLike
    kv_capacity_tokens: float
    block_tokens: int


def steady(
    grid: StepGrid,
    moments: Moments,
    limits: Limits,
    rate_per_s: ArrayLike,
    *,
    replicas: ArrayLike = 1,
    dispersion: float = 1.0,
    routing: Routing = Routing.LEAST_REQUESTS,
) -> Steady:
    """Return the steady state of one replica at a rate per replica.

    Parameters
    ----------
    grid, moments
        Step law and workload.
    limits
        Batch limits and cache.
    rate_per_s
        Arrivals at one replica [1/s], >= 0.
    replicas, dispersion, routing
        Size of the pool, index of dispersion of its arrivals, and how they are spread.
    """
    fits = kv_limit(moments, limits.kv_capacity_tokens, limits.block_tokens)
    rate, cap, chunk, pool = (
        np.array(each, dtype=np.float64)
        for each in np.broadcast_arrays(
            np.asarray(rate_per_s, dtype=np.float64),
            np.minimum(np.asarray(limits.max_num_seqs, dtype=np.float64), fits),
            np.asarray(limits.max_num_batched_tokens, dtype=np.float64),
            np.asarray(replicas, dtype=np.float64),
        )
    )
    usable = np.maximum(cap, 1.0)
    by_sequences, by_tokens = rates_at_limits(grid, moments, usable, chunk)
    sustained = np.where(cap >= 1.0, np.minimum(by_sequences, by_tokens), 0.0)
    share, per_replica = _dispersions(dispersion, pool, routing, moments.eta)
    batch = np.minimum(rate * moments.m * grid.decode_s(np.ones_like(rate)), usable)
    step = grid.decode_s(batch)
    is_least = routing is Routing.LEAST_REQUESTS
    for _ in range(ROUNDS):
        law = _secants(grid, moments, batch, rate, chunk, step)
        beside = _beside(batch, pool, routing)
        itl, spread, alone = _itl(law, moments, rate, share, pool if is_least else 1.0, beside)
        previous, before, step = batch, step, law.step_s
        batch = (1.0 - DAMPING) * batch + DAMPING * np.minimum(rate * moments.m * itl, usable)
        if np.all((np.abs(batch - previous) <= CONVERGED * batch) & (np.abs(step - before) <= CONVERGED * step)):
            break
    variance = batch * (1.0 - law.rho_prefill) / np.maximum(1.0 - law.rho, 1e-6) * spread
    return Steady(
        rate_per_s=rate,
        capacity_per_s=sustained,
        sequences=usable,
        chunk=chunk,
        replicas=pool,
        base_s=law.base_s,
        slope_s=law.slope_s,
        price_s=law.price_s,
        context_slope_s=law.context_slope_s,
        rho_prefill=law.rho_prefill,
        rho=law.rho,
        fluctuation=spread,
        pool_fluctuation=alone,
        beside=beside,
        itl_s=itl,
        batch=batch,
        batch_variance=np.maximum(variance, 1e-12),
        pool_dispersion=np.full_like(rate, dispersion),
        replica_dispersion=per_replica,
        grid=grid,
        is_stable=(rate < SATURATED * sustained) & (law.rho < SATURATED),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Law:
    base_s: Array
    slope_s: Array
    price_s: Array
    context_slope_s: Array
    rho_prefill: Array
    rho: Array
    step_s: Array


def _secants(grid: StepGrid, moments: Moments, batch: Array, rate: Array, chunk: Array, step: Array) -> _Law:
    """Return the affine law through the operating point, and the mean step there, from the mean step of the last round.

    A dear prefill makes steps longer, longer steps carry more prompts, and then a token is cheap: as long as the price
    says that prefill never ends, the step grows by what it carries and no further.
    """
    low, high = 0.7 * batch, 1.3 * batch + 0.5
    decode = grid.decode_s(batch)
    slope = np.maximum((grid.decode_s(high) - grid.decode_s(low)) / (high - low), 0.0)
    base = np.maximum(decode - slope * batch, 0.0)
    for _ in range(2):
        price = prefill_price_s(grid, batch, rate * moments.in1 * step, rate * step, chunk)
        offered = rate * price * moments.in1
        rho_prefill = np.clip(offered, 0.0, SATURATED)
        settled = decode / (1.0 - rho_prefill)
        step = np.where(offered < MILD, settled, np.minimum(0.5 * (step + decode + offered * step), settled))
    return _Law(
        base_s=base,
        slope_s=slope,
        price_s=price,
        context_slope_s=grid.context_slope_s(batch),
        rho_prefill=rho_prefill,
        rho=np.clip(rate * (price * moments.in1 + moments.m * slope), 0.0, SATURATED),
        step_s=step,
    )


def _beside(batch: Array, replicas: Array, routing: Routing) -> Array:
    """Return which share of the mean prefill those feel who decode [ratio].

    Least requests sends prompts to replicas with fewer sequences than the mean: E[n l(n)] / (N l) is 1 - (1 - var/N)/N
    by detailed balance, with the variance that is left of a single replica's.
    """
    if routing is not Routing.LEAST_REQUESTS:
        return np.ones_like(batch)
    left = np.where(replicas > 1.0, np.maximum(1.0 / replicas, LEAST_DISPERSION), 1.0)
    return np.asarray(1.0 - (1.0 - left) / np.maximum(batch, 1.0))


def _itl(
    law: _Law, moments: Moments, rate: Array, dispersion: Array, pooled: ArrayLike, beside: Array
) -> tuple[Array, Array, Array]:
    """Return the mean ITL [s] and the fluctuation of one replica's and of the pool's batch; equations (9.4), (9.5)."""
    free = 1.0 - law.rho_prefill
    excess = (dispersion + law.rho_prefill**2 * moments.ci2) / free**2
    alone = np.maximum(1.0 + (excess - 1.0) * moments.eta, 0.05)
    spread = alone / np.asarray(pooled, dtype=np.float64)
    context = rate * moments.m * law.context_slope_s**2 * moments.sc2 / free
    felt = law.rho - (1.0 - beside) * law.rho_prefill
    itl = (law.base_s + law.slope_s * spread + context) / np.maximum(1.0 - felt, 1e-6)
    # No step is shorter than one sequence's.
    return np.maximum(itl, law.base_s + law.slope_s), spread, alone


def _dispersions(dispersion: float, replicas: Array, routing: Routing, eta: float) -> tuple[Array, Array]:
    """Return the dispersion that the batch feels and the one that prefill at a single replica feels.

    Least requests evens arrivals out where answers end at random; equal answers end together, and as many come then.
    """
    if routing is Routing.RANDOM:
        thinned = 1.0 + (dispersion - 1.0) / replicas
        return thinned, thinned
    if routing is Routing.ROUND_ROBIN:
        return dispersion / replicas, dispersion / replicas
    least = np.maximum(1.0 / replicas, LEAST_DISPERSION)
    convoys = float(np.clip(2.0 * eta - 1.0, 0.0, 1.0))
    smoothed = np.where(replicas > 1.0, least + (1.0 - least) * convoys, dispersion)
    single = 1.0 + (dispersion - 1.0) / replicas if dispersion > 1.0 else smoothed
    return np.full_like(replicas, dispersion), np.asarray(np.where(replicas > 1.0, single, dispersion))
