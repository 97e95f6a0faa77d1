"""A replica as a station: its step law, its limits, and the rate that it can sustain.

Capacity is the least of three: the sequences that fit (by limit or by KV cache), and the tokens of a step. Equations
(9.x) of docs/model.md. Everything broadcasts, so limits may be arrays.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolwright.queueing.step_grid import StepGrid, StepTime, step_grid
from poolwright.queueing.workload import Moments, Workload

Array = NDArray[np.float64]

KV_SAFETY: Final = 2.33
"""Standard deviations of context kept free for fluctuation: the 99 % quantile of a normal. A cap above makes throughput
collapse to 0.49-0.98 of the best by preemption; with it at least 0.96."""


class CapacityBound(StrEnum):
    """What bounds the sustainable rate."""

    SEQUENCES = "Sequences"
    KV_CACHE = "KVCache"
    TOKENS = "Tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One replica.

    Attributes
    ----------
    step_time
        The step law.
    max_num_seqs, max_num_batched_tokens
        Limits of a step.
    kv_capacity_tokens, block_tokens
        Size of the KV cache and of its blocks [tokens].
    """

    step_time: StepTime
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_capacity_tokens: float
    block_tokens: int = 16

    def grid(self, workload: Workload) -> StepGrid:
        """Return the law at the workload's mean context."""
        return step_grid(
            self.step_time,
            context_tokens=workload.moments.c,
            max_sequences=float(self.max_num_seqs),
            max_prefill_tokens=float(self.max_num_batched_tokens),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Sustainable rate of one replica [1/s] and what bounds it."""

    rate_per_s: float
    bound: CapacityBound


def kv_limit(moments: Moments, kv_capacity_tokens: float, block_tokens: int) -> float:
    """Return the largest batch whose KV cache fits with ``KV_SAFETY``: n (c + bs/2) + 2.33 sd sqrt(n) = KV.

    Returns
    -------
    Sequences, at least 0. Equation (9.11).
    """
    mean = moments.c + block_tokens / 2.0
    spread = KV_SAFETY * np.sqrt(moments.sc2)
    root = (-spread + np.sqrt(spread**2 + 4.0 * mean * kv_capacity_tokens)) / (2.0 * mean)
    return float(max(root, 0.0) ** 2)


def prefill_price_s(grid: StepGrid, sequences: Array, per_step: Array, arrivals: Array, chunk: Array) -> Array:
    """Return the secant price of a prefill token [s] where steps carry ``per_step`` of them on average.

    Prefill comes in lumps: only the share 1 - exp(-arrivals per step) of the steps carries any, and each of those
    carries more. With roofline steps decode bytes hide prefill FLOPs, so the price is a secant and not a constant.
    Equation (9.3).
    """
    most = np.maximum(chunk - sequences, 1.0)
    lump = np.minimum(np.maximum(per_step / np.maximum(-np.expm1(-arrivals), 1e-12), 1.0), most)
    return np.asarray((grid.seconds(sequences, lump) - grid.decode_s(sequences)) / lump)


def rates_at_limits(grid: StepGrid, moments: Moments, sequences: ArrayLike, tokens: ArrayLike) -> tuple[Array, Array]:
    """Return sustainable rates [1/s] as bounded by sequences and by tokens of a step, shape of the broadcast limits.

    Equations (9.1) and (9.2), with the price of a prefill token taken at the operating point.
    """
    n, chunk = np.broadcast_arrays(np.asarray(sequences, dtype=np.float64), np.asarray(tokens, dtype=np.float64))
    decode = grid.decode_s(n)
    slope = (decode - grid.decode_s(0.7 * n)) / np.maximum(0.3 * n, 1e-12)
    base = np.maximum(decode - slope * n, 0.0)
    price = prefill_price_s(grid, n, n * moments.in1 / moments.m, n / moments.m, chunk)
    passes = 1.0 + moments.in1 / chunk
    rate = n / (moments.m * decode + passes * base + n * price * moments.in1)
    busy = chunk * moments.m / (moments.in1 + moments.m)
    by_tokens = busy / (moments.m * grid.seconds(busy, chunk - busy))
    return rate, by_tokens


def capacity(station: Station, workload: Workload, grid: StepGrid | None = None) -> Capacity:
    """Return what one replica sustains and what bounds it."""
    moments = workload.moments
    fits = kv_limit(moments, station.kv_capacity_tokens, station.block_tokens)
    sequences = min(float(station.max_num_seqs), fits)
    if sequences < 1.0:
        return Capacity(rate_per_s=0.0, bound=CapacityBound.KV_CACHE)
    law = grid or station.grid(workload)
    by_sequences, by_tokens = rates_at_limits(law, moments, sequences, float(station.max_num_batched_tokens))
    if by_tokens < by_sequences:
        return Capacity(rate_per_s=float(by_tokens), bound=CapacityBound.TOKENS)
    bound = CapacityBound.KV_CACHE if fits < station.max_num_seqs else CapacityBound.SEQUENCES
    return Capacity(rate_per_s=float(by_sequences), bound=bound)
