"""A fleet in time: replicas that come and go under a stream of requests, moved from one moment to the next.

``advance`` moves it, ``observe`` shows what a policy may see, ``want`` takes its answer. Requests in == finished + lost
+ shed + running + queued, always; nothing depends on which row of a table a replica has. Equal arguments give equal
bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from poolwright.perf.cost import BUSY_POWER_RATIO
from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_block import Block
from poolwright.replay.fleet_life import Life, Lives, Quota
from poolwright.replay.fleet_minutes import Minutes, Recorded
from poolwright.replay.fleet_observed import Observed
from poolwright.replay.fleet_scrape import Scraper
from poolwright.replay.fleet_tables import goals_of, knowing, lay_out, more_hosts, more_jobs, world_of
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.simulator.fleet_layout import COMING, MINUTE_S, TIER_SHIFT
from poolwright.simulator.pool import Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRules:
    """What holds for a whole fleet.

    Attributes
    ----------
    tiers
        Objectives by tier, the most important one first: its requests are served first.
    routing
        Which replica takes a request; among equally loaded ones the oldest.
    prefix_affinity
        Whether a request goes where most of its prompt's beginning is known, unless that replica is much fuller than
        the one that ``routing`` (which must compare replicas) would take.
    max_queued_requests
        A replica sheds what comes while so many wait; None: never.
    drain_most_s
        Longest time that a closed replica may take to finish what it has [s].
    period_s
        Time between two scrapes [s]; figures are as late as that.
    silent_ratio
        Share of replicas that do not answer a scrape, drawn anew each time [ratio].
    seed
        Of random routing, silence, failures and reclaims.
    """

    tiers: tuple[Objectives, ...] = (Objectives(ttft_s=1.0, itl_s=0.05),)
    routing: Routing = Routing.LEAST_REQUESTS
    prefix_affinity: bool = False
    max_queued_requests: int | None = None
    drain_most_s: float = float("inf")
    period_s: float = 15.0
    silent_ratio: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Requests of a fleet by what became of them; ``arrived`` is the sum of the others."""

    arrived: int
    finished: int
    running: int
    queued: int
    shed: int
    lost: int


class Fleet:
    """Replicas of some kinds, and the requests that come to them.

    Parameters
    ----------
    variants, rules
        Kinds of replicas, and what holds for all.
    source
        Requests in order.
    initial
        Replicas by variant that are ready at the beginning.
    quota
        Accelerators that are shared with other fleets; None: as many as are asked for.
    """

    def __init__(
        self,
        variants: Sequence[FleetVariant],
        rules: FleetRules,
        source: Iterable[Block],
        initial: Mapping[str, int],
        quota: Quota | None = None,
    ) -> None:
        from poolwright.simulator import fleet_count, fleet_kernel  # noqa: PLC0415 - the compiler costs, see ADR 0005

        if len({each.block_tokens for each in variants}) != 1:
            raise ValueError("all variants of a fleet need the same block_tokens")
        self._kernel, self._count = fleet_kernel, fleet_count
        self.rules = rules
        self.now_s = 0.0
        self.lives = Lives(
            variants=variants, seed=rules.seed, drain_most_s=rules.drain_most_s, quota=quota or Quota({})
        )
        self.world = world_of(variants, rules.routing, rules.max_queued_requests, is_drawn=rules.prefix_affinity)
        self.minutes = Minutes(len(variants), rules.tiers)
        self.is_over = False
        self._goals = goals_of(rules.tiers)
        self._blocks = iter(source)
        self._coming, self._cursor = np.zeros(0, dtype=COMING), 0
        self._parts = np.zeros(0, dtype=np.int64)
        self._draws = np.random.PCG64(rules.seed)
        self._scraper = Scraper(variants, rules.seed, rules.silent_ratio)
        self._free_rows = list(range(len(self.world.hosts)))[::-1]
        self.lives.want(initial)
        self._reconcile(is_cold=False)

    @property
    def totals(self) -> Totals:
        """What became of all requests so far."""
        desk, rows = self.world.desk[0], self._alive_rows
        sites = self.world.sites[rows]
        # Who is done by the end of a step that goes on after now still runs.
        done = int(desk["active"]) - int(sites["batch"].sum() + sites["waiting"].sum() + desk["waiting"])
        return Totals(
            arrived=int(desk["arrived"]),
            finished=int(desk["finished"]),
            running=int(sites["batch"].sum()) + done,
            queued=int(sites["waiting"].sum() + desk["waiting"]),
            shed=int(desk["shed"]),
            lost=int(desk["lost"]),
        )

    def want(self, wanted: Mapping[str, int]) -> None:
        """Ask for so many replicas by variant; those left out stay as they are."""
        if self.lives.want(wanted) or self.lives.quota.most:
            self._reconcile()

    def advance(self, until_s: float) -> None:
        """Serve until a time, with every start, failure and drain on the way at its moment."""
        while self.now_s < until_s:
            border_s = (int(self.now_s / MINUTE_S) + 1) * MINUTE_S
            self._span(min(until_s, border_s, self._next_s))
            if self.now_s == border_s:
                self.minutes.close(self.now_s)
            if self._next_s <= self.now_s:
                self._happen()
            elif self._has_closed and self._bury():
                self._reconcile()  # who has gone made room in a quota

    def observe(self) -> Observed:
        """Scrape, and return what a policy sees: the API's counts of now and the figures of the scrape before."""
        return self._scraper.observed(self.world, self.minutes.tally, self._alive_rows, self.lives, self.now_s)

    def recorded(self) -> Recorded:
        """Return what happened until now, by minute."""
        jobs = self.world.jobs[self.world.active[: int(self.world.desk[0]["active"])]]
        still = jobs[~(jobs["first_token_s"] <= self.now_s) & (jobs["told"] == 0)]
        tiers = still["rank"] >> TIER_SHIFT
        return self.minutes.recorded(self.now_s, list(zip(still["arrival_s"].tolist(), tiers.tolist(), strict=True)))

    def _span(self, until_s: float) -> None:
        """Serve up to a time until which no replica comes or goes."""
        self.minutes.reach(until_s)
        tally = self.minutes.tally
        self._route(until_s)
        self._kernel.settle(self.world, self._alive_rows, until_s)
        self._count.collect(self.world, tally, self._goals, until_s)
        self._count.charge(self.world, tally, self._alive_rows, BUSY_POWER_RATIO, self.now_s, until_s)
        self.now_s = until_s

    def _route(self, until_s: float) -> None:
        counted = self.minutes.tally.minutes
        while True:
            self._cursor = self._kernel.route(
                self.world, counted, self._open_rows, self._coming, self._parts, self._cursor, self.now_s, until_s
            )
            if self._cursor == len(self._coming):
                block = None if self.is_over else next(self._blocks, None)
                if block is None:
                    self.is_over = True
                    return
                if not len(block):
                    continue
                self._coming, self._cursor = block.rows(int(self.world.kinds[0]["block_tokens"]), self._draws), 0
                self._check(block)
                if block.parts is not None:
                    self._parts = block.parts
                    if not self.world.desk[0]["part_tokens"]:
                        self.world = knowing(self.world, block.part_tokens)
            elif self._coming[self._cursor]["arrival_s"] >= until_s:
                return
            else:
                self.world = more_jobs(self.world)

    def _check(self, block: Block) -> None:
        longest = int(np.max(block.input_tokens + block.output_tokens, initial=0))
        least = int(np.min(self.world.kinds["blocks"] * self.world.kinds["block_tokens"]))
        if longest > least:
            raise ValueError(f"a request needs {longest} tokens of cache, a replica has {least}")

    def _happen(self) -> None:
        """Let replicas open, be told of their end, and go down, where it is time."""
        for life in tuple(self.lives.alive):
            if life.notice_s <= self.now_s < life.closes_s:
                self.lives.failed += 1
                self._close(life)
            if life.ends_s <= self.now_s:
                self.lives.failed += self.now_s < life.closes_s
                self._count.evict(self.world, self.minutes.tally.minutes, life.row)
                self._close(life)
                self.world.hosts[life.row]["gone_s"] = self.now_s
            if life.opens_s == self.now_s:
                self.lives.cold_start_s = life.opens_s - life.begun_s
        self._bury()
        self._reconcile()

    def _reconcile(self, *, is_cold: bool = True) -> None:
        """Order what is missing and give up what is too much."""
        for life in self.lives.surplus(self.now_s):
            is_starting = life.is_starting(self.now_s)
            self._close(life)
            if is_starting or self.world.sites[life.row]["batch"] + self.world.sites[life.row]["waiting"] == 0:
                self.world.hosts[life.row]["gone_s"] = self.now_s
            self.lives.stopped += 1
        self._bury()
        for kind in filter(self.lives.may_order, self.lives.missing(self.now_s)):
            life = self.lives.order(kind, self.now_s, is_cold=is_cold)
            if not self._free_rows:
                self._free_rows = list(range(len(self.world.hosts), 2 * len(self.world.hosts)))[::-1]
                self.world = more_hosts(self.world)
            life.row = self._free_rows.pop()
            lay_out(self.world, life.row, life.kind, life.serial, life.begun_s, life.opens_s)
        self._look()

    def _close(self, life: Life) -> None:
        self.lives.close(life, self.now_s)
        self.world.hosts[life.row]["closes_s"] = life.closes_s

    def _bury(self) -> bool:
        """Take away who is gone; return whether anybody was."""
        gone = self.world.hosts["gone_s"] <= self.now_s
        leaving = [each for each in self.lives.alive if gone[each.row]]
        for life in leaving:
            self.lives.bury(life)
            self.world.hosts[life.row]["gone_s"] = np.inf
            self._free_rows.append(life.row)
        if leaving:
            self._look()
        return bool(leaving)

    def _look(self) -> None:
        """Note which rows are in use, which take requests, and when that changes next."""
        alive = self.lives.alive
        self._alive_rows = np.array([each.row for each in alive], dtype=np.int64)
        self._open_rows = np.array([each.row for each in alive if each.is_open(self.now_s)], dtype=np.int64)
        self._has_closed = any(each.closes_s <= self.now_s for each in alive)
        self._next_s = self.lives.next_s(self.now_s)
