"""A fleet in time, compiled: replicas of several kinds, requests in a stream, from one moment to the next.

Moves of a replica are ``kernel``'s. Whoever comes gets a row of the table of requests and gives it back when done, so
that memory does not grow with the number of requests. Between two calls a replica may be added, closed or taken away.
``rows`` name the replicas in order of their start: nothing depends on which row of a table one has.
"""

import math
from typing import Final

import numpy as np

from poolwright.simulator.compiled import borrowed, compiled, kept
from poolwright.simulator.fleet_layout import (
    MINUTE_S,
    RANDOM,
    REFUSED,
    ROUND_ROBIN,
    TIER_SHIFT,
    Laws,
    World,
)
from poolwright.simulator.kernel import advance, cut
from poolwright.simulator.layout import (
    LEAST_REQUESTS,
    NOBODY,
    Integers,
    Law,
    Row,
    Rows,
    Rules,
)
from poolwright.simulator.route import load
from poolwright.simulator.waiting import first, wait

AFFINITY_RATIO: Final = 1.25
"""How much fuller than the least loaded replica one may be that draws requests by what it knows [1]: the bound of
consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018, use 1.25)."""
AFFINITY_REQUESTS: Final = 1.0
"""Requests that it may have more in any case [count]: below that loads are too small to compare."""


@compiled
def lent(world: World) -> World:
    """Return the same tables, borrowed from their owner."""
    laws = world.laws
    return World(
        Laws(
            borrowed(laws.sequences),
            borrowed(laws.contexts),
            borrowed(laws.prefills),
            borrowed(laws.times_s),
            borrowed(laws.decode),
        ),
        borrowed(world.kinds),
        borrowed(world.desk),
        borrowed(world.jobs),
        borrowed(world.active),
        borrowed(world.hosts),
        borrowed(world.sites),
        borrowed(world.batches),
        borrowed(world.known),
    )


@compiled
def _law(laws: Laws, kind: int) -> Law:
    return Law(laws.sequences[kind], laws.contexts[kind], laws.prefills[kind], laws.times_s[kind], laws.decode[kind])


@compiled
def _rules(kind: Row, desk: Row) -> Rules:
    return Rules(
        kind.max_num_seqs,
        kind.max_num_batched_tokens,
        kind.block_tokens,
        desk.max_queued,
        0.0,
        math.inf,
        desk.router,
    )


@compiled
def _enrol(world: World, desk: Row, new: Row, minute: Row) -> int:
    """Give a newcomer an unused row and return it."""
    row: int = desk.free
    job = world.jobs[row]
    desk.free = job.after
    world.active[desk.active] = row
    desk.active += 1
    job.arrival_s, job.prompt, job.output, job.cached = new.arrival_s, new.prompt, new.output, new.cached
    job.rank = (new.tier << TIER_SHIFT) + desk.serial
    job.generated = job.told = 0
    job.replica = NOBODY
    job.first_token_s = job.finish_s = math.nan
    desk.serial += 1
    desk.arrived += 1
    desk.window_arrived += 1
    minute.arrived += 1
    return row


@compiled
def _leading(known: Integers, parts: Integers, begin: int, end: int) -> int:
    """Return how many of the parts a replica knows before the first one that it does not."""
    place = begin
    while place < end and known[parts[place] % known.size] == parts[place] + 1:
        place += 1
    return place - begin


@compiled
def _drawn(world: World, rows: Integers, parts: Integers, begin: int, end: int, chosen: int, least: float) -> int:
    """Return the replica that knows most of a prompt, of those that are not much fuller than the least loaded one."""
    most = 0
    for place in range(rows.size):
        row = rows[place]
        site = world.sites[row]
        seen = float(site.batch + site.waiting) / world.kinds[world.hosts[row].kind].weight
        if seen <= AFFINITY_RATIO * least + AFFINITY_REQUESTS:
            known = _leading(world.known[row], parts, begin, end)
            if known > most:
                chosen, most = row, known
    return chosen


@compiled
def _learn(world: World, row: int, request: int, parts: Integers, begin: int, end: int) -> None:
    """Note what a replica knows of a prompt, and let it know all of it from now on: the newest part keeps a slot."""
    known, job = world.known[row], world.jobs[request]
    block = world.kinds[world.hosts[row].kind].block_tokens
    cached = _leading(known, parts, begin, end) * world.desk[0].part_tokens
    job.cached = min(cached, job.prompt - 1) // block * block
    for place in range(begin, end):
        known[parts[place] % known.size] = parts[place] + 1


@compiled
def _choose(world: World, desk: Row, rows: Integers, request: int, at_s: float, draw: int) -> tuple[int, float]:
    """Return the row of the replica that takes a request, and its load; it has come to that time."""
    begin, end = 0, rows.size
    if desk.router == ROUND_ROBIN:
        begin = desk.turn % rows.size
        end = begin + 1
        desk.turn += 1
    elif desk.router == RANDOM:
        begin = int(np.uint64(draw) % np.uint64(rows.size))  # the bits as they were drawn
        end = begin + 1
    chosen, least = NOBODY, math.inf
    for place in range(begin, end):
        row = rows[place]
        site, batch, kind = world.sites[row], world.batches[row], world.kinds[world.hosts[row].kind]
        law, rules = _law(world.laws, world.hosts[row].kind), _rules(kind, desk)
        if site.now_s < at_s and (site.planned == 0 or site.last_begin_s < at_s):
            advance(law, rules, world.jobs, site, batch, at_s)
        seen = float(site.batch + site.waiting)
        if desk.router != LEAST_REQUESTS and end > begin + 1:
            cut(law, rules, world.jobs, site, batch, at_s)
            seen = load(law, rules, world.jobs, site, batch, request)
        if seen / kind.weight < least:
            chosen, least = row, seen / kind.weight
    return chosen, least


@compiled
def _seat(world: World, desk: Row, row: int, request: int, at_s: float) -> None:
    """Queue a request at a replica."""
    host, site = world.hosts[row], world.sites[row]
    law, rules = _law(world.laws, host.kind), _rules(world.kinds[host.kind], desk)
    cut(law, rules, world.jobs, site, world.batches[row], at_s)
    if site.batch + site.waiting == 0:
        site.now_s = max(site.now_s, at_s)
    world.jobs[request].replica = row
    host.arrived += 1
    wait(world.jobs, site, request)


@kept
def route(
    owned: World,
    minutes: Rows,
    rows: Integers,
    coming: Rows,
    parts: Integers,
    cursor: int,
    from_s: float,
    until_s: float,
) -> int:
    """Send to the replicas in ``rows`` who is held, then who comes before a time; return who comes next.

    Returns early where no row for a request is left. Who was held counts as if no replica knew of its prompt.
    """
    world = lent(owned)
    desk = world.desk[0]
    while True:
        if desk.waiting and rows.size:
            request, at_s, draw, part, end = first(world.jobs, desk), from_s, 0, 0, 0
        elif cursor < coming.size and coming[cursor].arrival_s < until_s and desk.free != NOBODY:
            new = coming[cursor]
            request = _enrol(world, desk, new, minutes[int(new.arrival_s / MINUTE_S), new.tier])
            at_s, draw, part, end = new.arrival_s, new.draw, new.part, new.parts_end
            cursor += 1
        else:
            return cursor
        if rows.size == 0:
            wait(world.jobs, desk, request)
            continue
        row, least = _choose(world, desk, rows, request, at_s, draw)
        if desk.affinity and part < end:
            row = _drawn(world, rows, parts, part, end, row, least)
        if world.sites[row].waiting < desk.max_queued:
            if part < end:
                _learn(world, row, request, parts, part, end)
            _seat(world, desk, row, request, at_s)
        else:
            job = world.jobs[request]
            job.told = REFUSED
            desk.shed += 1
            desk.window_shed += 1
            minutes[int(job.arrival_s / MINUTE_S), job.rank >> TIER_SHIFT].shed += 1


@kept
def settle(owned: World, rows: Integers, until_s: float) -> None:
    """Run every step of the replicas in ``rows`` that begins before a time; closed ones that are empty are gone."""
    world = lent(owned)
    desk = world.desk[0]
    for place in range(rows.size):
        row = rows[place]
        host, site, batch = world.hosts[row], world.sites[row], world.batches[row]
        law, rules = _law(world.laws, host.kind), _rules(world.kinds[host.kind], desk)
        advance(law, rules, world.jobs, site, batch, until_s)
        cut(law, rules, world.jobs, site, batch, until_s)
        if host.closes_s <= until_s and site.batch + site.waiting == 0:
            host.gone_s = min(host.gone_s, max(site.now_s, host.closes_s))
