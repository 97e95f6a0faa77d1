"""A pool of equal replicas in time, compiled: the rules of ``engine.scheduler``, skipping ahead where nothing happens.

A stretch in which everybody in the batch decodes is one move, up to the next finish, lack of blocks or arrival: step
times are linear between the table's contexts, so ``stretch`` knows how long it takes and when an arrival joins.
Everything else is a step like the scheduler's. Equal to the step-by-step ``Replica`` to rounding.

Rows are passed rather than tables, as counting references to arrays took most of the time. A request's ``spare`` tokens
tell without a division when it needs another block. ``pool`` checks what comes in; nothing is checked here.
"""

import math

from poolwright.simulator.compiled import compiled, kept
from poolwright.simulator.layout import (
    GAP_STEP,
    GAPS,
    LEAST_GAP_S,
    LEAST_REQUESTS,
    NOBODY,
    Integers,
    Law,
    Row,
    Rows,
    Rules,
)
from poolwright.simulator.route import load
from poolwright.simulator.stretch import step_s, stretch


@compiled
def _count_waiting(site: Row, job: Row, requests: int) -> None:
    """Count a request in (1) or out (-1) of those who wait."""
    site.waiting += requests
    site.waiting_prefill += requests * (job.prompt + job.generated - job.computed)
    site.waiting_tokens += requests * (job.prompt + job.output - job.computed)


@compiled
def _wait(jobs: Rows, site: Row, request: int) -> None:
    """Queue a request by rank: newcomers mostly go to the end, preempted ones near the beginning."""
    rank, before, after = jobs[request].rank, NOBODY, site.head
    if site.waiting and jobs[site.tail].rank < rank:
        before, after = site.tail, NOBODY
    while after >= 0 and jobs[after].rank < rank:
        before, after = after, jobs[after].after
    jobs[request].after = after
    if before < 0:
        site.head = request
    else:
        jobs[before].after = request
    if after < 0:
        site.tail = request
    _count_waiting(site, jobs[request], 1)


@compiled
def _blocks(rules: Rules, tokens: int) -> int:
    return (tokens + rules.block_tokens - 1) // rules.block_tokens


@compiled
def _new_blocks(rules: Rules, jobs: Rows, batch: Integers, steps: int) -> int:
    """Return how many blocks a decoding batch takes in so many steps."""
    whole = steps // rules.block_tokens
    rest = steps - whole * rules.block_tokens
    blocks = whole * batch.size
    for request in batch:
        blocks += jobs[request].spare < rest
    return blocks


@compiled
def _plan(law: Law, rules: Rules, jobs: Rows, site: Row, batch: Integers) -> None:
    """Look as far ahead as nothing but decoding happens; plan nothing where the next step is of another kind."""
    site.planned = 0
    budget = rules.max_num_batched_tokens - batch.size
    if batch.size == 0 or budget < 0:
        return
    context, most = 0, jobs[batch[0]].output
    for request in batch:
        job = jobs[request]
        exist = job.prompt + job.generated
        if job.generated == 0 or exist - job.computed != 1:
            return
        context += exist
        most = min(most, job.output - job.generated)
    if site.waiting and batch.size < rules.max_num_seqs and budget:
        # Whoever finds no room in the first step finds none before somebody leaves.
        first = jobs[site.head]
        tokens = first.computed + min(first.prompt + first.generated - first.computed, budget)
        if _blocks(rules, tokens) <= site.free_blocks - _new_blocks(rules, jobs, batch, 1):
            return
    if batch.size * _blocks(rules, most) > site.free_blocks:
        few, many = 0, most + 1  # few steps fit, many do not
        while many - few > 1:
            middle = (few + many) // 2
            if _new_blocks(rules, jobs, batch, middle) <= site.free_blocks:
                few = middle
            else:
                many = middle
        most = few
    if most:
        site.planned = most
        site.context = context / batch.size
        _, site.planned_s, last_s = stretch(law.decode[batch.size], site.context, most, math.inf)
        site.last_begin_s = site.now_s + site.planned_s - last_s


@compiled
def _retire(rules: Rules, jobs: Rows, site: Row, batch: Integers) -> None:
    """Let those go that have their last token."""
    site.batch = 0
    for request in batch:
        if jobs[request].generated < jobs[request].output:
            batch[site.batch] = request
            site.batch += 1
        else:
            jobs[request].finish_s = site.now_s
            site.free_blocks += (jobs[request].computed + jobs[request].spare) // rules.block_tokens


@compiled
def _count(rules: Rules, site: Row, step_s: float, tokens: int) -> None:
    """Count tokens that came so long after the one before; those of a stretch by its mean step."""
    if rules.counted_from_s <= site.now_s < rules.counted_until_s:
        bins = math.log(max(step_s, LEAST_GAP_S) / LEAST_GAP_S) / GAP_STEP
        site.gaps[min(int(bins), GAPS - 1)] += tokens


@compiled
def _decode(rules: Rules, jobs: Rows, site: Row, batch: Integers, steps: int, time_s: float) -> None:
    """Take so many of the planned steps; a finish can only be in the last of them."""
    whole = steps // rules.block_tokens
    rest = steps - whole * rules.block_tokens
    blocks = whole * batch.size
    for request in batch:
        job = jobs[request]
        job.computed += steps
        job.generated += steps
        job.spare -= rest
        if job.spare < 0:
            job.spare += rules.block_tokens
            blocks += 1
    site.free_blocks -= blocks
    _count(rules, site, time_s / steps, steps * batch.size)
    site.now_s += time_s
    site.busy_s += time_s
    site.steps += steps
    site.generated += steps * batch.size
    if steps == site.planned:
        _retire(rules, jobs, site, batch)
    site.planned = 0


@compiled
def _preempt(rules: Rules, jobs: Rows, site: Row, running: Integers) -> int:
    """Take the blocks of the least important, newest request and return where in the batch it was."""
    at = 0
    for index in range(1, site.batch):
        if jobs[running[index]].rank > jobs[running[at]].rank:
            at = index
    victim = running[at]
    site.batch -= 1
    for index in range(at, site.batch):
        running[index] = running[index + 1]
    site.free_blocks += (jobs[victim].computed + jobs[victim].chunk + jobs[victim].spare) // rules.block_tokens
    site.preempted += 1
    jobs[victim].computed = jobs[victim].cached
    jobs[victim].chunk = jobs[victim].spare = 0
    _wait(jobs, site, victim)
    return at


@compiled
def _schedule(rules: Rules, jobs: Rows, site: Row, running: Integers) -> None:
    """Give every request its tokens of the next step and the blocks for them."""
    budget, before, index = rules.max_num_batched_tokens, site.preempted, 0
    while index < site.batch and budget > 0:
        job = jobs[running[index]]
        tokens = min(job.prompt + job.generated - job.computed, budget)
        missing = 0 if tokens <= job.spare else _blocks(rules, tokens - job.spare)
        stays = True
        while stays and missing > site.free_blocks:
            at = _preempt(rules, jobs, site, running)
            stays = at != index
            index -= at < index
        if stays:
            site.free_blocks -= missing
            job.chunk = tokens
            job.spare += missing * rules.block_tokens - tokens
            budget -= tokens
            index += 1
    while site.preempted == before and site.waiting and budget > 0 and site.batch < rules.max_num_seqs:
        job = jobs[site.head]
        tokens = min(job.prompt + job.generated - job.computed, budget)
        needed = _blocks(rules, job.computed + tokens)
        if needed > site.free_blocks:
            break
        running[site.batch] = site.head
        site.batch += 1
        site.head = job.after
        _count_waiting(site, job, -1)
        site.free_blocks -= needed
        job.chunk = tokens
        job.spare = needed * rules.block_tokens - job.computed - tokens
        budget -= tokens


@compiled
def _step(law: Law, rules: Rules, jobs: Rows, site: Row, running: Integers) -> None:
    """Take one step of any kind."""
    _schedule(rules, jobs, site, running)
    decoding = context = prefill = 0
    for request in running[: site.batch]:
        job = jobs[request]
        exist = job.prompt + job.generated
        if job.chunk and job.generated and exist - job.computed == 1:
            decoding += 1
            context += exist
        else:
            prefill += job.chunk
    time_s = step_s(law, decoding, context / max(decoding, 1), prefill)
    if decoding:
        _count(rules, site, time_s, decoding)
    site.now_s += time_s
    site.busy_s += time_s
    site.steps += 1
    site.prefilled += prefill
    for request in running[: site.batch]:
        job = jobs[request]
        job.computed += job.chunk
        job.chunk = 0
        if job.computed == job.prompt + job.generated:
            job.generated += 1
            site.generated += 1
            if job.generated == 1:
                job.first_token_s = site.now_s
    _retire(rules, jobs, site, running[: site.batch])


@compiled
def _advance(law: Law, rules: Rules, jobs: Rows, site: Row, running: Integers, until_s: float) -> None:
    """Take every step that begins before a time, but leave a stretch whole that goes on after it."""
    while site.now_s < until_s and site.batch + site.waiting > 0:
        if site.planned == 0:
            _plan(law, rules, jobs, site, running[: site.batch])
        if site.planned == 0:
            _step(law, rules, jobs, site, running)
        elif site.last_begin_s < until_s:
            _decode(rules, jobs, site, running[: site.batch], site.planned, site.planned_s)
        else:
            return


@compiled
def _cut(law: Law, rules: Rules, jobs: Rows, site: Row, batch: Integers, at_s: float) -> None:
    """Take those steps of the planned stretch that begin before a time; plan anew after it."""
    if site.planned and site.now_s < at_s:
        steps, time_s, _ = stretch(law.decode[batch.size], site.context, site.planned, at_s - site.now_s)
        _decode(rules, jobs, site, batch, steps, time_s)
    site.planned = 0


@kept
def run(law: Law, rules: Rules, jobs: Rows, sites: Rows, running: Integers, targets: Integers, until_s: float) -> int:
    """Route and serve requests in order of arrival, run every step that begins before the end, return how many came.

    ``targets`` is a replica for each request, or ``NOBODY`` where the least loaded one takes it. Whoever
    came and has no replica in the end was rejected.
    """
    arrived = 0
    while arrived < jobs.size and jobs[arrived].arrival_s < until_s:
        at_s, replica = jobs[arrived].arrival_s, targets[arrived]
        least = math.inf
        for each in range(max(replica, 0), sites.size if replica < 0 else replica + 1):
            site = sites[each]
            if site.now_s < at_s and (site.planned == 0 or site.last_begin_s < at_s):
                _advance(law, rules, jobs, site, running[each], at_s)
            if targets[arrived] < 0:
                if rules.router != LEAST_REQUESTS:
                    _cut(law, rules, jobs, site, running[each, : site.batch], at_s)
                seen = load(law, rules, jobs, site, running[each, : site.batch], arrived)
                if seen < least:
                    replica, least = each, seen
        site = sites[replica]
        if site.waiting < rules.max_queued:
            _cut(law, rules, jobs, site, running[replica, : site.batch], at_s)
            if site.batch + site.waiting == 0:
                site.now_s = max(site.now_s, at_s)
            jobs[arrived].replica = replica
            _wait(jobs, site, arrived)
        arrived += 1
    for each in range(sites.size):
        _advance(law, rules, jobs, sites[each], running[each], until_s)
        _cut(law, rules, jobs, sites[each], running[each, : sites[each].batch], until_s)
    return arrived
