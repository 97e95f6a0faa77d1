"""What the fleet kernel works on besides ``layout``: replicas of several kinds that come and go, and counts."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from poolwright.simulator.layout import CELL, GAPS, JOB, NOBODY, Floats, Integers, Law, Rows

ROUND_ROBIN, RANDOM = 3, 4
"""Routers that look at nobody, beside those of ``layout``."""

LEAST_TTFT_S: Final = 1e-3
"""Lower end of the bins of times to first token, and of mean times per token [s]: no prompt is quicker."""
TTFT_STEP: Final = 0.03
"""Width of those bins [1, natural logarithm]: percentiles to 1.5 %."""
TTFTS: Final = 480
"""How many there are: up to half an hour, and the last one holds what is above."""
MINUTE_S: Final = 60.0
"""[s] Span of an aggregate that is kept."""
TIER_SHIFT: Final = 48
"""Bits of a rank below its tier [1]: so many requests can be told apart."""

SERVED, REFUSED = 1, 2
"""``JOB.told`` of who has a first token that was counted, and of who was shed or went down with a replica."""

COMING: Final = np.dtype(
    [
        ("arrival_s", "f8"),
        ("prompt", "i8"),
        ("output", "i8"),
        ("cached", "i8"),  # known prefix, in whole blocks
        ("tier", "i8"),
        ("draw", "i8"),  # random bits of the router
        ("part", "i8"),  # parts of its prompt that others may share, in a table beside: first, and one after the last
        ("parts_end", "i8"),
    ]
)
"""A request that has not come yet."""

KIND: Final = np.dtype(
    [
        ("max_num_seqs", "i8"),
        ("max_num_batched_tokens", "i8"),
        ("block_tokens", "i8"),
        ("blocks", "i8"),
        ("weight", "f8"),
        ("usd_per_s", "f8"),
        ("idle_w", "f8"),
        ("active_w", "f8"),  # TDP less idle
        ("compute_s", "f8"),  # of one token at peak
    ]
)
"""What replicas of one kind have in common."""

HOST: Final = np.dtype(
    [
        ("kind", "i8"),
        ("serial", "i8"),  # order of start: tells replicas apart, whichever row they have
        ("begun_s", "f8"),  # ordered, and paid from then on
        ("opens_s", "f8"),  # takes requests from then on
        ("closes_s", "f8"),  # takes none from then on
        ("gone_s", "f8"),  # no longer paid from then on
        ("silent", "i8"),  # does not answer the next scrape
        ("arrived", "i8"),  # since the last scrape, as all below
        ("finished", "i8"),
        ("finished_input", "i8"),
        ("finished_output", "i8"),
        ("busy_s", "f8"),  # totals at the last scrape, as all below
        ("prefilled", "i8"),
        ("generated", "i8"),
        ("preempted", "i8"),
        ("charged_busy_s", "f8"),  # totals at the last charge
        ("charged_tokens", "i8"),
    ]
)
"""A replica's life, and its counters as the scraper last saw them."""

DESK: Final = np.dtype(
    [
        ("router", "i8"),
        ("max_queued", "i8"),
        ("affinity", "i8"),  # whether a known prefix draws requests
        ("part_tokens", "i8"),  # tokens of a part of a prompt
        ("turn", "i8"),  # of round robin
        ("serial", "i8"),  # of the next request
        ("free", "i8"),  # first unused row of requests
        ("active", "i8"),  # rows in use
        ("waiting", "i8"),  # held while no replica is ready
        ("waiting_prefill", "i8"),
        ("waiting_tokens", "i8"),
        ("head", "i8"),
        ("tail", "i8"),
        ("arrived", "i8"),
        ("finished", "i8"),
        ("shed", "i8"),
        ("lost", "i8"),
        ("window_arrived", "i8"),  # since the last scrape, as all below
        ("window_shed", "i8"),
        ("ttft_s", "f8"),
        ("tpot_s", "f8"),
        ("gap_s", "f8"),
    ]
)
"""The gateway: who is held there, and totals of the whole fleet."""

MINUTE: Final = np.dtype(
    [
        ("arrived", "i8"),
        ("shed", "i8"),
        ("lost", "i8"),
        ("served", "i8"),  # got a first token
        ("ttft_late", "i8"),
        ("ttft_s", "f8"),
        ("finished", "i8"),
        ("itl_late", "i8"),  # whose mean time between tokens is above the objective
        ("itl_s", "f8"),
        ("itl_tokens", "i8"),
    ]
)
"""What became of those who came in one minute, of one tier."""

SEEN: Final = np.dtype(
    [
        ("reporting", "i8"),
        ("running", "i8"),
        ("waiting", "i8"),
        ("held_ratio", "f8"),  # of cache blocks, summed over replicas
        ("arrived", "i8"),
        ("finished", "i8"),
        ("finished_input", "i8"),
        ("finished_output", "i8"),
        ("prefilled", "i8"),
        ("generated", "i8"),
        ("preempted", "i8"),
        ("busy_s", "f8"),
    ]
)
"""What a scrape of the replicas of one kind shows."""

SPENT: Final = np.dtype(
    [
        ("replica_s", "f8"),
        ("ready_s", "f8"),
        ("usd", "f8"),
        ("joules", "f8"),
        ("generated", "i8"),
        ("looks", "i8"),
        ("running", "f8"),  # summed over looks
        ("waiting", "f8"),
        ("most_waiting", "i8"),
    ]
)
"""What one minute cost, and what was seen in it."""


class Goals(NamedTuple):
    """Objectives by tier [s], infinite where there is none."""

    ttft_s: Floats
    itl_s: Floats


class Tally(NamedTuple):
    """Where the kernel counts.

    ``minutes`` by (minute, tier); ``recent`` bins times to first token by (minute modulo length, tier, bin) until a
    minute is closed; ``ttft``, ``tpot`` and ``gaps`` since the last scrape; ``spent`` by minute; ``life_s`` of all
    replicas of a kind.
    """

    minutes: Rows
    recent: Integers
    ttft: Integers
    tpot: Integers
    gaps: Integers
    spent: Rows
    life_s: Floats


class Laws(NamedTuple):
    """Laws of several kinds, each field with one more axis in front."""

    sequences: Floats
    contexts: Floats
    prefills: Floats
    times_s: Floats
    decode: Rows


class World(NamedTuple):
    """Tables of a fleet: kinds of replicas with their laws, the gateway (one row), requests, rows in use, replicas.

    ``known`` holds parts of prompts by (replica, slot): 1 + part, 0 for none.
    """

    laws: Laws
    kinds: Rows
    desk: Rows
    jobs: Rows
    active: Integers
    hosts: Rows
    sites: Rows
    batches: Integers
    known: Integers


def laws_of(laws: Sequence[Law]) -> Laws:
    """Stack laws; shorter grids go on as their last cell does, which changes no time."""
    shape = tuple(max(law.times_s.shape[axis] for law in laws) for axis in range(3))
    most = max(len(law.decode) for law in laws)
    longer = [_extended(law, shape, most) for law in laws]
    return Laws(*(np.stack(column) for column in zip(*longer, strict=True)))


def _extended(law: Law, shape: tuple[int, ...], batches: int) -> Law:
    times = law.times_s
    for axis in range(3):
        more = np.arange(1, shape[axis] - times.shape[axis] + 1).reshape(
            [-1 if axis == each else 1 for each in range(3)]
        )
        last, before = times.take([-1], axis), times.take([-2], axis)
        times = np.concatenate([times, last + (last - before) * more], axis=axis)
    decode = np.zeros((batches, shape[1] - 1), dtype=CELL)
    contexts = _longer(law.contexts, shape[1])
    own = law.decode.shape[1]
    decode[: len(law.decode), :own] = law.decode
    decode["context"] = contexts[:-1]
    last_cell = law.decode[:, -1:]
    tail = decode[: len(law.decode), own:]
    tail["growth_s"] = last_cell["growth_s"]
    tail["time_s"] = last_cell["time_s"] + last_cell["growth_s"] * (tail["context"] - last_cell["context"])
    return Law(_longer(law.sequences, shape[0]), contexts, _longer(law.prefills, shape[2]), times, decode)


def _longer(grid: Floats, points: int) -> Floats:
    more = np.arange(1, points - len(grid) + 1)
    return np.concatenate([grid, grid[-1] + (grid[-1] - grid[-2]) * more])


def tally_of(kinds: int, tiers: int, minutes: int, recent: int) -> Tally:
    """Return empty counts."""
    return Tally(
        minutes=np.zeros((minutes, tiers), dtype=MINUTE),
        recent=np.zeros((recent, tiers, TTFTS), dtype=np.int64),
        ttft=np.zeros(TTFTS, dtype=np.int64),
        tpot=np.zeros(TTFTS, dtype=np.int64),
        gaps=np.zeros(GAPS, dtype=np.int64),
        spent=np.zeros(minutes, dtype=SPENT),
        life_s=np.zeros(kinds),
    )


def free_rows(first: int, count: int) -> Rows:
    """Return unused rows of requests, chained from ``first`` on to ``first + count - 1``, whose next is nobody."""
    jobs = np.zeros(count, dtype=JOB)
    jobs["after"] = np.arange(first + 1, first + count + 1)
    jobs["after"][-1] = NOBODY
    return jobs
