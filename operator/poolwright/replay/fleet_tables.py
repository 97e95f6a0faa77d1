"""The tables that a fleet's kernel works on, made and enlarged."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from poolwright.queueing.objectives import Objectives
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.simulator.fleet_layout import (
    DESK,
    HOST,
    KIND,
    RANDOM,
    ROUND_ROBIN,
    Goals,
    Tally,
    World,
    free_rows,
    laws_of,
    tally_of,
)
from poolwright.simulator.layout import FIELDS, NOBODY, SITE, Rows
from poolwright.simulator.pool import ROUTERS, UNLIMITED, Routing

JOBS: Final = 4096
"""Rows for requests that a fleet begins with [count]: a second of heavy traffic."""
HOSTS: Final = 16
"""Rows for replicas that a fleet begins with [count]."""
MINUTES: Final = 1440
"""Minutes that are laid out at the beginning [count]: a day."""
OPEN_MINUTES: Final = 32
"""Minutes whose percentiles are still open [count]: a first token that comes later counts, but in no percentile."""


def world_of(
    variants: Sequence[FleetVariant], routing: Routing, max_queued_requests: int | None, *, is_drawn: bool
) -> World:
    """Return the tables of a fleet without replicas."""
    kinds = np.zeros(len(variants), dtype=KIND)
    for row, variant in zip(kinds, variants, strict=True):
        for name in ("max_num_seqs", "max_num_batched_tokens", "block_tokens", "blocks", "weight", "idle_w"):
            row[name] = getattr(variant, name)
        row["usd_per_s"] = variant.price_usd_per_s
        row["active_w"] = variant.tdp_w - variant.idle_w
        row["compute_s"] = variant.compute_s_per_token
    desk = np.zeros(1, dtype=DESK)
    desk["router"] = {Routing.ROUND_ROBIN: ROUND_ROBIN, Routing.RANDOM: RANDOM, **ROUTERS}.get(routing, 0)
    desk["max_queued"] = UNLIMITED if max_queued_requests is None else max_queued_requests
    desk["affinity"] = is_drawn
    desk["head"] = desk["tail"] = NOBODY
    return World(
        laws=laws_of([variant.law for variant in variants]),
        kinds=kinds,
        desk=desk,
        jobs=free_rows(0, JOBS),
        active=np.zeros(JOBS, dtype=np.int64),
        hosts=_hosts(HOSTS),
        sites=np.zeros(HOSTS, dtype=SITE),
        batches=np.zeros((HOSTS, FIELDS, max(each.max_num_seqs for each in variants)), dtype=np.int64),
        known=np.zeros((HOSTS, 1), dtype=np.int64),
    )


def more_jobs(world: World) -> World:
    """Return tables with twice the rows for requests, when all are in use."""
    count = len(world.jobs)
    world.desk["free"] = count
    return world._replace(
        jobs=np.concatenate([world.jobs, free_rows(count, count)]),
        active=np.concatenate([world.active, np.zeros(count, dtype=np.int64)]),
    )


def more_hosts(world: World) -> World:
    """Return tables with twice the rows for replicas."""
    count = len(world.hosts)
    return world._replace(
        hosts=np.concatenate([world.hosts, _hosts(count)]),
        sites=np.concatenate([world.sites, np.zeros(count, dtype=SITE)]),
        batches=np.concatenate([world.batches, np.zeros_like(world.batches)]),
        known=np.concatenate([world.known, np.zeros_like(world.known)]),
    )


def knowing(world: World, part_tokens: int) -> World:
    """Return tables in which replicas remember as many parts of prompts as the smallest cache holds."""
    slots = int(np.min(world.kinds["blocks"] * world.kinds["block_tokens"])) // part_tokens
    world.desk["part_tokens"] = part_tokens
    return world._replace(known=np.zeros((len(world.hosts), max(slots, 1)), dtype=np.int64))


def more_minutes(tally: Tally, minutes: int) -> Tally:
    """Return counts with room for so many minutes."""
    missing = max(minutes, 2 * len(tally.minutes)) - len(tally.minutes)
    return tally._replace(
        minutes=np.concatenate([tally.minutes, np.zeros((missing, tally.minutes.shape[1]), tally.minutes.dtype)]),
        spent=np.concatenate([tally.spent, np.zeros(missing, tally.spent.dtype)]),
    )


def counts_of(kinds: int, tiers: int) -> Tally:
    """Return empty counts."""
    return tally_of(kinds, tiers, MINUTES, OPEN_MINUTES)


def goals_of(tiers: Sequence[Objectives]) -> Goals:
    """Return the objectives of tiers in order of importance."""
    return Goals(
        ttft_s=np.array([np.inf if each.ttft_s is None else each.ttft_s for each in tiers]),
        itl_s=np.array([np.inf if each.itl_s is None else each.itl_s for each in tiers]),
    )


def lay_out(world: World, row: int, kind: int, serial: int, begun_s: float, opens_s: float) -> None:
    """Lay a row out for a new replica."""
    host, site = world.hosts[row], world.sites[row]
    world.hosts[row] = np.zeros((), dtype=HOST)
    world.sites[row] = np.zeros((), dtype=SITE)
    world.known[row] = 0
    host["kind"], host["serial"], host["begun_s"], host["opens_s"] = kind, serial, begun_s, opens_s
    host["closes_s"] = host["gone_s"] = np.inf
    site["free_blocks"] = world.kinds[kind]["blocks"]
    site["head"] = site["tail"] = NOBODY


def _hosts(count: int) -> Rows:
    made = np.zeros(count, dtype=HOST)
    made["gone_s"] = np.inf
    return made
