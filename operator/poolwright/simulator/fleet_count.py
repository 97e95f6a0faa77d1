"""What is counted of a fleet between two moves, compiled: who was served, what it cost, what a scrape shows."""

import math

from poolwright.simulator.compiled import compiled, kept
from poolwright.simulator.fleet_kernel import lent
from poolwright.simulator.fleet_layout import (
    LEAST_TTFT_S,
    MINUTE_S,
    REFUSED,
    SERVED,
    TIER_SHIFT,
    TTFT_STEP,
    TTFTS,
    Goals,
    Tally,
    World,
)
from poolwright.simulator.layout import GAPS, NOBODY, REQUEST, Integers, Row, Rows
from poolwright.simulator.waiting import first, wait


@compiled
def _bin(time_s: float) -> int:
    return min(int(math.log(max(time_s, LEAST_TTFT_S) / LEAST_TTFT_S) / TTFT_STEP), TTFTS - 1)


@compiled
def _begun(tally: Tally, desk: Row, job: Row, silent: int, goal_s: float, now_s: float) -> None:
    """Count a first token."""
    job.told = SERVED
    number, tier = int(job.arrival_s / MINUTE_S), job.rank >> TIER_SHIFT
    ttft_s = job.first_token_s - job.arrival_s
    place = _bin(ttft_s)
    minute = tally.minutes[number, tier]
    minute.served += 1
    minute.ttft_s += ttft_s
    minute.ttft_late += ttft_s > goal_s
    if number > int(now_s / MINUTE_S) - tally.recent.shape[0]:
        tally.recent[number % tally.recent.shape[0], tier, place] += 1
    if not silent:
        tally.ttft[place] += 1
        desk.ttft_s += ttft_s


@compiled
def _ended(tally: Tally, desk: Row, job: Row, host: Row, goal_s: float) -> None:
    """Count a last token."""
    minute = tally.minutes[int(job.arrival_s / MINUTE_S), job.rank >> TIER_SHIFT]
    desk.finished += 1
    minute.finished += 1
    host.finished += 1
    host.finished_input += job.prompt
    host.finished_output += job.output
    if job.output > 1:
        whole_s = job.finish_s - job.first_token_s
        mean_s = whole_s / (job.output - 1)
        minute.itl_late += mean_s > goal_s
        minute.itl_s += whole_s
        minute.itl_tokens += job.output - 1
        if not host.silent:
            tally.tpot[_bin(mean_s)] += 1
            desk.tpot_s += mean_s


@kept
def collect(owned: World, tally: Tally, goals: Goals, now_s: float) -> None:
    """Count who got a first or a last token by now, and take back the rows of who is done."""
    world = lent(owned)
    desk, place = world.desk[0], 0
    while place < desk.active:
        row = world.active[place]
        job = world.jobs[row]
        host, tier = world.hosts[max(job.replica, 0)], job.rank >> TIER_SHIFT
        if job.told == 0 and job.first_token_s <= now_s:
            _begun(tally, desk, job, host.silent, goals.ttft_s[tier], now_s)
        is_done = job.told == SERVED and job.finish_s <= now_s
        if is_done:
            _ended(tally, desk, job, host, goals.itl_s[tier])
        if is_done or job.told == REFUSED:
            desk.active -= 1
            world.active[place] = world.active[desk.active]
            job.after = desk.free
            desk.free = row
        else:
            place += 1


@kept
def charge(owned: World, tally: Tally, rows: Integers, busy_power_ratio: float, from_s: float, until_s: float) -> None:
    """Add up what the replicas in ``rows`` cost over a span inside one minute, and look at their queues."""
    world = lent(owned)
    spent = tally.spent[int(from_s / MINUTE_S)]
    running = waiting = 0
    for place in range(rows.size):
        host, site = world.hosts[rows[place]], world.sites[rows[place]]
        kind = world.kinds[host.kind]
        paid_s = max(min(until_s, host.gone_s) - from_s, 0.0)
        tokens = site.prefilled + site.generated - host.charged_tokens
        busy_s = site.busy_s - host.charged_busy_s
        compute = min(1.0, 2.0 * kind.compute_s * tokens / busy_s) if busy_s > 0.0 else 0.0
        active_s = busy_s * (busy_power_ratio + (1.0 - busy_power_ratio) * compute)
        host.charged_tokens, host.charged_busy_s = site.prefilled + site.generated, site.busy_s
        tally.life_s[host.kind] += paid_s
        spent.replica_s += paid_s
        spent.ready_s += paid_s if host.opens_s <= from_s else 0.0
        spent.usd += kind.usd_per_s * paid_s
        spent.joules += kind.idle_w * paid_s + kind.active_w * active_s
        running += site.batch
        waiting += site.waiting
    waiting += world.desk[0].waiting
    spent.looks += 1
    spent.running += running
    spent.waiting += waiting
    spent.most_waiting = max(spent.most_waiting, waiting)


@kept
def scrape(owned: World, tally: Tally, seen: Rows, rows: Integers) -> None:
    """Write what the replicas in ``rows`` show by kind, of those that answer, and begin a new window."""
    world = lent(owned)
    for place in range(rows.size):
        host, site = world.hosts[rows[place]], world.sites[rows[place]]
        if host.silent == 0:
            row = seen[host.kind]
            row.reporting += 1
            row.running += site.batch
            row.waiting += site.waiting
            row.held_ratio += 1.0 - site.free_blocks / world.kinds[host.kind].blocks
            row.arrived += host.arrived
            row.finished += host.finished
            row.finished_input += host.finished_input
            row.finished_output += host.finished_output
            row.prefilled += site.prefilled - host.prefilled
            row.generated += site.generated - host.generated
            row.preempted += site.preempted - host.preempted
            row.busy_s += site.busy_s - host.busy_s
            for each in range(GAPS):
                tally.gaps[each] += site.gaps[each]
        for each in range(GAPS):
            site.gaps[each] = 0
        host.arrived = host.finished = host.finished_input = host.finished_output = 0
        host.busy_s, host.prefilled = site.busy_s, site.prefilled
        host.generated, host.preempted = site.generated, site.preempted


@compiled
def _displace(world: World, minutes: Rows, request: int) -> None:
    """Send back to the gateway who has no token yet; who has one is lost."""
    desk, job = world.desk[0], world.jobs[request]
    if math.isnan(job.first_token_s):
        job.generated = job.cached = 0
        job.replica = NOBODY
        wait(world.jobs, desk, request)
    else:
        job.told = REFUSED
        desk.lost += 1
        minutes[int(job.arrival_s / MINUTE_S), job.rank >> TIER_SHIFT].lost += 1


@kept
def evict(owned: World, minutes: Rows, row: int) -> None:
    """Empty a replica that goes down."""
    world = lent(owned)
    site, batch = world.sites[row], world.batches[row]
    while site.waiting:
        _displace(world, minutes, first(world.jobs, site))
    for place in range(site.batch):
        _displace(world, minutes, batch[REQUEST, place])
    site.batch = site.planned = 0
