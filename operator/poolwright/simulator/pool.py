"""Simulate a pool of equal replicas under given requests: what the compiled kernel needs, checked; what it says, named.

Deterministic: equal arguments, equal bytes. The compiler is imported at the first simulation, not with this file.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from poolwright.simulator.layout import (
    FIELDS,
    JOB,
    LEAST_REQUESTS,
    LEAST_TOKENS,
    LEAST_WORK,
    NOBODY,
    SITE,
    Floats,
    Integers,
    Law,
    Rows,
    Rules,
)
from poolwright.simulator.outcome import Outcome, outcome_of

__all__ = ["Arrivals", "Outcome", "Pool", "Routing", "simulate"]

UNLIMITED: Final = np.iinfo(np.int64).max
"""Queue limit of a replica that never rejects."""


class Routing(StrEnum):
    """Which replica takes a request.

    Fewest requests in flight; fewest tokens left to compute and to generate; or the earliest end of the newcomer's
    prompt, from the step at hand and the prompts queued. Tokens count answers as if their lengths were known: a bound
    on what a router could do. Work needs only what a router knows, prompts and the step law.
    """

    LEAST_REQUESTS = "LeastRequests"
    LEAST_TOKENS = "LeastTokens"
    LEAST_WORK = "LeastWork"
    ROUND_ROBIN = "RoundRobin"
    RANDOM = "Random"


ROUTERS: Final = {Routing.LEAST_TOKENS: LEAST_TOKENS, Routing.LEAST_WORK: LEAST_WORK}
"""What a router compares that looks at more than the number of requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Equal replicas.

    Attributes
    ----------
    replicas
        How many.
    max_num_seqs, max_num_batched_tokens
        Requests in a batch, and tokens that one step computes.
    blocks, block_tokens
        Blocks of KV cache of a replica, and tokens in one.
    max_queued_requests
        A replica rejects what comes while so many wait; None: never.
    routing
        Which replica takes a request; ties go to the first.
    """

    replicas: int
    max_num_seqs: int
    max_num_batched_tokens: int
    blocks: int
    block_tokens: int
    max_queued_requests: int | None = None
    routing: Routing = Routing.LEAST_REQUESTS

    def __post_init__(self) -> None:
        """Refuse pools in which nothing could run."""
        for name in ("replicas", "max_num_seqs", "max_num_batched_tokens", "blocks", "block_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        if self.max_queued_requests is not None and self.max_queued_requests < 1:
            raise ValueError(f"max_queued_requests is {self.max_queued_requests}, must be at least 1 or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Requests in order of arrival.

    Attributes
    ----------
    time_s
        When each came [s], ascending, from 0 on.
    input_tokens, output_tokens
        Lengths of prompt and answer, each at least 1.
    priority
        Lower is served first, equal ones in order of arrival; None: all equal.
    cached_tokens
        Tokens at the beginning of the prompt whose keys and values every replica has: whole blocks are held, but
        not computed; None: none.
    replica
        Who takes it, from 0 on (a conversation stays with its prefix), or ``NOBODY`` where the router decides; None:
        always the router.
    """

    time_s: Floats
    input_tokens: Integers
    output_tokens: Integers
    priority: Integers | None = None
    cached_tokens: Integers | None = None
    replica: Integers | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be served in order."""
        columns = (self.time_s, self.input_tokens, self.output_tokens, self.priority, self.cached_tokens, self.replica)
        shapes = {np.shape(each) for each in columns if each is not None}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"arrivals need columns of one length, got shapes {sorted(shapes)}")
        if not len(self):
            return
        if not np.all(np.isfinite(self.time_s)) or self.time_s[0] < 0.0 or np.any(np.diff(self.time_s) < 0.0):
            raise ValueError("time_s must be finite, ascending and not negative")
        if np.min(self.input_tokens) < 1 or np.min(self.output_tokens) < 1:
            raise ValueError("input_tokens and output_tokens must be at least 1")
        if self.cached_tokens is not None and np.any(
            (self.cached_tokens < 0) | (self.cached_tokens > self.input_tokens)
        ):
            raise ValueError("cached_tokens must be from 0 to input_tokens")

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.time_s)


def simulate(
    arrivals: Arrivals,
    pool: Pool,
    law: Law,
    *,
    seed: int = 0,
    until_s: float = math.inf,
    counted_s: tuple[float, float] = (0.0, math.inf),
) -> Outcome:
    """Serve requests until all are done, or run every step that begins before ``until_s``.

    Parameters
    ----------
    arrivals
        Requests.
    pool
        Who serves them.
    law
        Step times of one replica, made by ``layout.law_of`` for at least the pool's batch.
    seed
        Of random routing; nothing else is random.
    until_s
        End of the simulation [s]; later arrivals do not come.
    counted_s
        Steps that begin in this span are counted in ``gaps`` [s].

    Raises
    ------
    ValueError
        When a request could never fit into a replica's cache or names one that is not there, or the law was made for a
        smaller batch.

    Notes
    -----
    Specified in docs/adr/0005; takes two to three moves for each request, each linear in the batch. A router sees an
    engine as it is after the step that it is in.
    """
    from poolwright.simulator import kernel  # noqa: PLC0415 - the compiler costs what ADR 0005 says: only who needs it

    _check(arrivals, pool, law)
    most_queued = UNLIMITED if pool.max_queued_requests is None else pool.max_queued_requests
    router = ROUTERS.get(pool.routing, LEAST_REQUESTS)
    rules = Rules(pool.max_num_seqs, pool.max_num_batched_tokens, pool.block_tokens, most_queued, *counted_s, router)
    jobs = _jobs(arrivals, pool.block_tokens)
    sites = np.zeros(pool.replicas, dtype=SITE)
    sites["free_blocks"] = pool.blocks
    sites["head"] = sites["tail"] = NOBODY
    batches = np.zeros((pool.replicas, FIELDS, min(pool.max_num_seqs, max(len(arrivals), 1))), dtype=np.int64)
    arrived = kernel.run(law, rules, jobs, sites, batches, _targets(pool, arrivals, seed), until_s)
    return outcome_of(jobs, sites, arrived)


def _check(arrivals: Arrivals, pool: Pool, law: Law) -> None:
    if len(law.decode) <= pool.max_num_seqs:
        raise ValueError(f"the law was made for {len(law.decode) - 1} sequences, max_num_seqs is {pool.max_num_seqs}")
    if arrivals.replica is not None and not np.all((arrivals.replica >= NOBODY) & (arrivals.replica < pool.replicas)):
        raise ValueError(f"replica of a request must be from 0 to {pool.replicas - 1}, or {NOBODY}")
    longest = int(np.max(arrivals.input_tokens + arrivals.output_tokens, initial=0))
    if longest > pool.blocks * pool.block_tokens:
        raise ValueError(f"a request needs {longest} tokens of cache, there are {pool.blocks * pool.block_tokens}")


def _jobs(arrivals: Arrivals, block_tokens: int) -> Rows:
    jobs = np.zeros(len(arrivals), dtype=JOB)
    jobs["arrival_s"] = arrivals.time_s
    jobs["prompt"] = arrivals.input_tokens
    jobs["output"] = arrivals.output_tokens
    jobs["replica"] = NOBODY
    if arrivals.cached_tokens is not None:
        # One token at least is computed, for the sake of the next one's probabilities.
        blocks = np.minimum(arrivals.cached_tokens, arrivals.input_tokens - 1) // block_tokens
        jobs["cached"] = blocks * block_tokens
    jobs["first_token_s"] = jobs["finish_s"] = np.nan
    jobs["rank"] = np.arange(len(arrivals))
    if arrivals.priority is not None:
        jobs["rank"][np.argsort(arrivals.priority, kind="stable")] = np.arange(len(arrivals))
    return jobs


def _targets(pool: Pool, arrivals: Arrivals, seed: int) -> Integers:
    """Return the replica of each request, ``NOBODY`` where that depends on what the replicas do."""
    routed = np.full(len(arrivals), NOBODY, dtype=np.int64)
    if pool.routing == Routing.ROUND_ROBIN:
        routed = np.arange(len(arrivals), dtype=np.int64) % pool.replicas
    if pool.routing == Routing.RANDOM:
        # Raw bits of a named generator never change between versions of NumPy; streams of its distributions may.
        drawn = np.random.PCG64(seed).random_raw(len(arrivals))
        routed = (drawn % np.uint64(pool.replicas)).astype(np.int64)
    if arrivals.replica is None:
        return routed
    return np.where(arrivals.replica == NOBODY, routed, arrivals.replica).astype(np.int64)
