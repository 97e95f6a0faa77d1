"""Requests drawn from a workload, served by a pool, and what they saw: from a station to probabilities by simulation.

The counterpart of ``queueing.predict`` for the kernel: the same station, workload and objectives, requests instead of
formulas. Requests are drawn with unit rate and stretched afterwards, so that pools of different sizes and loads serve
the same ones (common random numbers).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from poolwright.queueing.objectives import Objectives
from poolwright.queueing.station import Station
from poolwright.queueing.workload import Workload
from poolwright.simulator import gaps as read
from poolwright.simulator.layout import Floats, Integers, Law, law_of
from poolwright.simulator.pool import Arrivals, Outcome, Pool, Routing, simulate
from poolwright.simulator.step_table import StepTable

WARM_UP_RATIO: Final = 0.1
"""Share of the requests that fill an empty pool and are not counted [ratio], at least ``WARM_UP_STAYS`` of their stays:
counting them would flatter."""
WARM_UP_STAYS: Final = 1.5
"""[1] Mean times in the pool after which it is as full as it gets."""
MOST_WARM_UP_RATIO: Final = 0.5
"""Share of requests that warming up may take at most [ratio]: an overloaded pool is never warm."""


GROWING: Final = 0.03
"""Share of arrivals by which the queue grows in overload [ratio]: at 3 % of overload; chance moves thousands less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Requests at unit rate: gaps before each [in mean gaps], and lengths [tokens]."""

    gaps: Floats
    input_tokens: Integers
    output_tokens: Integers

    def at(self, rate_per_s: float) -> Arrivals:
        """Return the requests at a rate [1/s]."""
        return Arrivals(
            time_s=np.cumsum(self.gaps) / rate_per_s,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A station as the kernel sees it; made by ``replica_of``."""

    law: Law
    max_num_seqs: int
    max_num_batched_tokens: int
    blocks: int
    block_tokens: int

    def pool(self, replicas: int, routing: Routing = Routing.LEAST_REQUESTS) -> Pool:
        """Return a pool of so many."""
        return Pool(
            replicas=replicas,
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            blocks=self.blocks,
            block_tokens=self.block_tokens,
            routing=routing,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the counted requests of one run saw.

    Attributes
    ----------
    ttft_s, end_to_end_s
        Of each counted request [s].
    gaps
        Times between tokens, in the bins of ``gaps``.
    batch
        Mean sequences in a replica's batch that decode.
    growth_ratio
        Requests that still wait for their first token at the end, less those at half time, over arrivals between.
    """

    ttft_s: Floats
    end_to_end_s: Floats
    gaps: Integers
    batch: float
    growth_ratio: float

    @property
    def is_overloaded(self) -> bool:
        """Whether the queue grew to the end: whoever comes later waits longer, whatever was seen so far."""
        return self.growth_ratio > GROWING

    def attainment(self, objectives: Objectives) -> dict[str, float]:
        """Return the share within each stated objective, by its name; 0 in overload, as if it lasted for ever."""
        if self.is_overloaded:
            return dict.fromkeys(objectives.stated, 0.0)
        found = {}
        if objectives.ttft_s is not None:
            found["ttft"] = float(np.mean(self.ttft_s <= objectives.ttft_s))
        if objectives.itl_s is not None:
            found["itl"] = read.share_within(self.gaps, objectives.itl_s)
        if objectives.end_to_end_s is not None:
            found["end_to_end"] = float(np.mean(self.end_to_end_s <= objectives.end_to_end_s))
        return found


def stream_of(workload: Workload, count: int, seed: int, *, gap_cv2: float = 1.0, even: bool = False) -> Stream:
    """Draw requests.

    Parameters
    ----------
    workload
        Joint lengths; cached prefixes are left out, as nobody computes them.
    count, seed
        How many, and of which series: equal seeds give equal requests.
    gap_cv2
        Squared coefficient of variation of gaps: 1 is Poisson, otherwise they are gamma distributed.
    even
        Draw every length and every gap as often as it is expected and only their order by chance: percentiles of few
        requests scatter less, and rates and mean lengths are met exactly.
    """
    chance = np.random.Generator(np.random.PCG64(seed))
    levels = _levels(chance, count, even=even)
    which = np.minimum(np.searchsorted(np.cumsum(workload.weights), levels), len(workload.weights) - 1)
    if gap_cv2 == 1.0:
        gaps = -np.log1p(-_levels(chance, count, even=even))
    else:
        gaps = chance.gamma(1.0 / gap_cv2, gap_cv2, count)
    return Stream(
        gaps=gaps,
        input_tokens=_whole(workload.input_tokens[which]),
        output_tokens=_whole(workload.output_tokens[which]),
    )


def _levels(chance: np.random.Generator, count: int, *, even: bool) -> Floats:
    uniform = chance.random(count)
    return (chance.permutation(count) + uniform) / count if even else uniform


def _whole(tokens: Floats) -> Integers:
    return np.maximum(np.rint(tokens), 1.0).astype(np.int64)


def replica_of(station: Station, workload: Workload, *, points: int = 24) -> Replica:
    """Return a station as the kernel sees it; worth keeping.

    A mean cached prefix is in every context and in every request's share of the cache, but in no prompt.
    """
    cached = workload.cached_tokens
    longest = int(np.max(workload.input_tokens + workload.output_tokens)) + 1
    table = StepTable.of(
        lambda n, c, p: station.step_time(np.asarray(n), np.asarray(c) + cached, np.asarray(p)),
        max_num_seqs=station.max_num_seqs,
        max_context_tokens=longest,
        max_num_batched_tokens=station.max_num_batched_tokens,
        points=points,
    )
    context = workload.moments.c
    own = station.kv_capacity_tokens * max(context - cached, 1.0) / max(context, 1.0)
    return Replica(
        law=law_of(table, station.max_num_seqs),
        max_num_seqs=station.max_num_seqs,
        max_num_batched_tokens=station.max_num_batched_tokens,
        blocks=max(int(own // station.block_tokens), 1),
        block_tokens=station.block_tokens,
    )


def seen_by(
    replica: Replica, requests: Arrivals, replicas: int, *, stay_s: float, routing: Routing = Routing.LEAST_REQUESTS
) -> Seen:
    """Serve requests and return what those saw that came to a warm pool.

    ``stay_s`` is about how long a request stays [s]: it takes a few of them to fill the pool.
    """
    span_s = float(requests.time_s[-1])
    warm_s = min(max(WARM_UP_RATIO * span_s, WARM_UP_STAYS * stay_s), MOST_WARM_UP_RATIO * span_s)
    pool = replica.pool(replicas, routing)
    outcome = simulate(requests, pool, replica.law, counted_s=(warm_s, span_s))
    return _seen(requests, outcome, warm_s, span_s, replicas)


def _seen(requests: Arrivals, outcome: Outcome, warm_s: float, span_s: float, replicas: int) -> Seen:
    counted = requests.time_s >= warm_s
    came_s = requests.time_s[counted]
    decoding_s = float(outcome.gaps @ read.bins_s())
    return Seen(
        ttft_s=outcome.first_token_s[counted] - came_s,
        end_to_end_s=outcome.finish_s[counted] - came_s,
        gaps=outcome.gaps,
        batch=decoding_s / ((span_s - warm_s) * replicas),
        growth_ratio=_growth(requests.time_s, outcome.first_token_s, (warm_s + span_s) / 2.0, span_s),
    )


def _growth(came_s: Floats, first_token_s: Floats, half_s: float, end_s: float) -> float:
    came, served = (int(np.count_nonzero((times > half_s) & (times <= end_s))) for times in (came_s, first_token_s))
    return float(came - served) / max(float(came), 1.0)
