"""How many replicas, and with which limits: searches on top of the closed form.

Limits first: the token budget of a step trades time between tokens against time to first token and is the strongest
knob; the sequence limit is the smallest within 2 % of the best rate, never above what the KV cache holds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poolwright.queueing.itl import ItlDistribution
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.slots import slot_wait
from poolwright.queueing.station import Station, capacity, kv_limit
from poolwright.queueing.steady import Limits, Steady, steady
from poolwright.queueing.step_grid import StepGrid, StepTime, step_grid
from poolwright.queueing.ttft import TtftDistribution
from poolwright.queueing.whole import whole_probability
from poolwright.queueing.workload import Arrivals, RateDistribution, Workload, rate_levels, request_weights

Array = NDArray[np.float64]

CHUNKS: Final = (256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192)
"""Token budgets that are scanned: 512-1536 is usually best under an objective for time between tokens."""
SEQUENCE_POINTS: Final = 12
"""Sequence limits that are scanned, geometric from ``LEAST_SEQUENCES`` to what fits."""
LEAST_SEQUENCES: Final = 4
MOST_SEQUENCES: Final = 1024
"""Largest sequence limit: the largest default that an engine ships."""
NEAR_BEST: Final = 0.98
"""Share of the best rate that a smaller limit must keep [ratio]."""
TRIED: Final = 8
"""Numbers of replicas that are looked at together: one call on eight costs little more than on one."""
LOADS: Final = np.array([0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.58, 0.66, 0.73, 0.8, 0.85, 0.9, 0.94, 0.97])
"""Shares of capacity at which feasibility is looked at; the largest feasible one is refined by its neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """Limits of a replica and the rate [1/s] that it serves within the objectives; 0 where none is feasible."""

    max_num_seqs: int
    max_num_batched_tokens: int
    kv_limit: int
    rate_per_s: float
    rate_curve: tuple[tuple[int, int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """Smallest feasible number of replicas; ``is_feasible`` False when even ``most`` do not do."""

    replicas: int
    is_feasible: bool


def batch_limits(
    step_time: StepTime,
    workload: Workload,
    objectives: Objectives,
    *,
    kv_capacity_tokens: float,
    block_tokens: int = 16,
    max_num_seqs: int = MOST_SEQUENCES,
) -> BatchLimits:
    """Return the limits with which one replica serves most, by a scan of both."""
    moments = workload.moments
    fits = int(min(kv_limit(moments, kv_capacity_tokens, block_tokens), max_num_seqs))
    if fits < 1:
        return BatchLimits(max_num_seqs=1, max_num_batched_tokens=CHUNKS[0], kv_limit=0, rate_per_s=0.0)
    law = step_grid(
        step_time, context_tokens=moments.c, max_sequences=float(fits), max_prefill_tokens=float(CHUNKS[-1])
    )
    sequences = np.unique(np.round(np.geomspace(min(LEAST_SEQUENCES, fits), fits, SEQUENCE_POINTS)))
    caps, chunks = (each.ravel() for each in np.meshgrid(sequences, np.array(CHUNKS, float), indexing="ij"))
    rates = feasible_rates(law, workload, objectives, caps, chunks, kv_capacity_tokens, block_tokens)
    good = np.flatnonzero(rates >= NEAR_BEST * rates.max())
    chosen = min(good, key=lambda index: (caps[index], -rates[index]))
    curve = tuple((int(b), int(c), float(rate)) for b, c, rate in zip(caps, chunks, rates, strict=True))
    return BatchLimits(
        max_num_seqs=int(caps[chosen]),
        max_num_batched_tokens=int(chunks[chosen]),
        kv_limit=fits,
        rate_per_s=float(rates[chosen]),
        rate_curve=curve,
    )


def feasible_rates(
    law: StepGrid,
    workload: Workload,
    objectives: Objectives,
    sequences: Array,
    chunks: Array,
    kv_capacity_tokens: float,
    block_tokens: int,
) -> Array:
    """Return the largest rate of one replica within the objectives for each pair of limits [1/s], shape (pairs,)."""
    moments = workload.moments
    limits = Limits(
        max_num_seqs=sequences,
        max_num_batched_tokens=chunks,
        kv_capacity_tokens=kv_capacity_tokens,
        block_tokens=block_tokens,
    )
    most = steady(law, moments, limits, np.zeros_like(sequences)).capacity_per_s
    wide = Limits(
        max_num_seqs=sequences[None, :],
        max_num_batched_tokens=chunks[None, :],
        kv_capacity_tokens=kv_capacity_tokens,
        block_tokens=block_tokens,
    )
    state = steady(law, moments, wide, LOADS[:, None] * most)
    margin = np.min(probabilities(state, workload, objectives), axis=0) - objectives.percentile_ratio
    feasible = margin >= 0.0
    best = np.where(feasible.any(axis=0), len(LOADS) - 1 - np.argmax(feasible[::-1], axis=0), -1)
    above = np.minimum(best + 1, len(LOADS) - 1)
    column = np.arange(len(most))
    low, high = margin[best, column], margin[above, column]
    part = np.where(above > best, low / np.maximum(low - high, 1e-9), 0.0)
    load = LOADS[best] + np.clip(part, 0.0, 1.0) * (LOADS[above] - LOADS[best])
    return np.where(best >= 0, load * most, 0.0)


def probabilities(state: Steady, workload: Workload, objectives: Objectives) -> list[Array]:
    """Return the probability at each stated objective, each of the state's shape."""
    moments = workload.moments
    found = []
    ttft = TtftDistribution(state, moments, slot_wait(state, moments, workload))
    if objectives.ttft_s is not None:
        found.append(ttft.probability(objectives.ttft_s))
    if objectives.itl_s is not None:
        found.append(ItlDistribution(state, moments).probability(objectives.itl_s))
    if objectives.end_to_end_s is not None:
        found.append(whole_probability(ttft, state, moments, objectives.end_to_end_s))
    return found


def attainments(
    station: Station,
    workload: Workload,
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    replicas: Sequence[int],
    *,
    grid: StepGrid | None = None,
) -> Array:
    """Return the least probability at any objective for each number of replicas, shape (numbers,).

    As ``predict(...).attainment(objectives)``, for many numbers at once.
    """
    levels, weights, dispersion = rate_levels(rates)
    counts = np.array(replicas, dtype=np.float64)[:, None]
    limits = Limits(
        max_num_seqs=float(station.max_num_seqs),
        max_num_batched_tokens=float(station.max_num_batched_tokens),
        kv_capacity_tokens=station.kv_capacity_tokens,
        block_tokens=station.block_tokens,
    )
    law = grid or station.grid(workload)
    moments = workload.moments
    state = steady(law, moments, limits, levels[None, :] / counts, replicas=counts, dispersion=dispersion)
    shares = request_weights(levels, weights)
    return np.asarray(np.min([each @ shares for each in probabilities(state, workload, objectives)], axis=0))


def smallest_replicas(
    station: Station,
    workload: Workload,
    rates: Arrivals | RateDistribution,
    objectives: Objectives,
    *,
    most: int = 4096,
    grid: StepGrid | None = None,
) -> Sizing:
    """Return the fewest replicas that meet the objectives: a search that tries ``TRIED`` numbers at a time."""
    law = grid or station.grid(workload)
    levels, weights, _ = rate_levels(rates)
    sustained = capacity(station, workload, law).rate_per_s
    if sustained <= 0.0:
        return Sizing(replicas=most, is_feasible=False)
    # Fewer than the mean load needs without any objective are never enough.
    low = min(max(math.ceil(float(np.average(levels, weights=weights)) / sustained), 1), most) - 1
    high, step = most + 1, 1
    while high - low > 1:
        last = high - 1
        tried = (
            [min(low + step * (1 << k), last) for k in range(TRIED)]
            if high > most
            else [low + max((high - low) * k // (TRIED + 1), 1) for k in range(1, TRIED + 1)]
        )
        tried = sorted({count for count in tried if low < count < high})
        enough = attainments(station, workload, rates, objectives, tried, grid=law) >= objectives.percentile_ratio
        first = int(np.argmax(enough)) if enough.any() else len(tried)
        low = tried[first - 1] if first > 0 else low
        high = tried[first] if first < len(tried) else high
        step = step << TRIED
        if high > most and low == most:
            return Sizing(replicas=most, is_feasible=False)
    return Sizing(replicas=high, is_feasible=True)
