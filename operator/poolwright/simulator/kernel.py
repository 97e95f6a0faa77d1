"""A pool of equal replicas in time, compiled: the rules of ``engine.scheduler``, skipping ahead where nothing happens.

A stretch in which everybody in the batch decodes is one move, up to the next finish, lack of blocks or arrival: step
times are linear between the table's contexts, so ``stretch`` knows how long it takes and when an arrival joins.
Everything else is a step like the scheduler's. Equal to the step-by-step ``Replica`` to rounding.

``pool`` checks what comes in; nothing is checked here.
"""

import math

from poolwright.simulator.batch import blocks_ahead, blocks_for, enter, grow, leave, retire, steps_that_fit
from poolwright.simulator.compiled import borrowed, compiled, kept
from poolwright.simulator.layout import (
    BEGUN,
    CHUNK,
    EXIST,
    GAP_STEP,
    GAPS,
    LEAST_GAP_S,
    LEAST_REQUESTS,
    LEFT,
    REQUEST,
    SPARE,
    TO_COMPUTE,
    Integers,
    Law,
    Row,
    Rows,
    Rules,
)
from poolwright.simulator.route import load
from poolwright.simulator.stretch import step_s, stretch
from poolwright.simulator.waiting import first, wait


@compiled
def _plan(law: Law, rules: Rules, jobs: Rows, site: Row, batch: Integers) -> None:
    """Look as far ahead as nothing but decoding happens; plan nothing where the next step is of another kind."""
    site.planned = 0
    budget = rules.max_num_batched_tokens - site.batch
    if site.batch == 0 or budget < 0:
        return
    decoding, context, most = 0, 0, batch[LEFT, 0]
    for place in range(site.batch):
        decoding += batch[BEGUN, place] == batch[TO_COMPUTE, place]
        context += batch[EXIST, place]
        most = min(most, batch[LEFT, place])
    if decoding < site.batch:
        return
    if site.waiting and site.batch < rules.max_num_seqs and budget:
        # Whoever finds no room in the first step finds none before somebody leaves.
        job = jobs[site.head]
        tokens = job.cached + min(job.prompt + job.generated - job.cached, budget)
        if blocks_for(rules, tokens) <= site.free_blocks - blocks_ahead(rules, site, batch, 1):
            return
    most = steps_that_fit(rules, site, batch, most)
    if most:
        site.planned = most
        site.context = context / site.batch
        _, site.planned_s, last_s = stretch(law.decode[site.batch], site.context, most, math.inf)
        site.last_begin_s = site.now_s + site.planned_s - last_s


@compiled
def _count(rules: Rules, site: Row, step_s: float, tokens: int) -> None:
    """Count tokens that came so long after the one before; those of a stretch by its mean step."""
    if rules.counted_from_s <= site.now_s < rules.counted_until_s:
        bins = math.log(max(step_s, LEAST_GAP_S) / LEAST_GAP_S) / GAP_STEP
        site.gaps[min(int(bins), GAPS - 1)] += tokens


@compiled
def _decode(rules: Rules, jobs: Rows, site: Row, batch: Integers, steps: int, time_s: float) -> None:
    """Take so many of the planned steps; a finish can only be in the last of them."""
    grow(rules, site, batch, steps)
    _count(rules, site, time_s / steps, steps * site.batch)
    site.now_s += time_s
    site.busy_s += time_s
    site.steps += steps
    site.generated += steps * site.batch
    if steps == site.planned:
        retire(rules, jobs, site, batch)
    site.planned = 0


@compiled
def _preempt(rules: Rules, jobs: Rows, site: Row, batch: Integers) -> int:
    """Take the blocks of the least important, newest request and return where in the batch it was."""
    at = 0
    for place in range(1, site.batch):
        if jobs[batch[REQUEST, place]].rank > jobs[batch[REQUEST, at]].rank:
            at = place
    victim = batch[REQUEST, at]
    jobs[victim].generated = jobs[victim].output - batch[LEFT, at]
    leave(rules, site, batch, at)
    site.preempted += 1
    wait(jobs, site, victim)
    return at


@compiled
def _schedule(rules: Rules, jobs: Rows, site: Row, batch: Integers) -> None:
    """Give every request its tokens of the next step and the blocks for them."""
    budget, before, place = rules.max_num_batched_tokens, site.preempted, 0
    while place < site.batch and budget > 0:
        tokens, spare = min(batch[TO_COMPUTE, place], budget), batch[SPARE, place]
        missing = 0 if tokens <= spare else blocks_for(rules, tokens - spare)
        stays = True
        while stays and missing > site.free_blocks:
            at = _preempt(rules, jobs, site, batch)
            stays = at != place
            place -= at < place
        if stays:
            site.free_blocks -= missing
            batch[CHUNK, place] = tokens
            batch[SPARE, place] = spare + missing * rules.block_tokens - tokens
            budget -= tokens
            place += 1
    while site.preempted == before and site.waiting and budget > 0 and site.batch < rules.max_num_seqs:
        job = jobs[site.head]
        tokens = min(job.prompt + job.generated - job.cached, budget)
        if blocks_for(rules, job.cached + tokens) > site.free_blocks:
            break
        enter(rules, jobs, site, batch, first(jobs, site), tokens)
        budget -= tokens


@compiled
def _step(law: Law, rules: Rules, jobs: Rows, site: Row, batch: Integers) -> None:
    """Take one step of any kind."""
    _schedule(rules, jobs, site, batch)
    decoding = context = computed = 0
    for place in range(site.batch):
        is_decoding = (batch[BEGUN, place] == batch[TO_COMPUTE, place]) & (batch[CHUNK, place] > 0)
        decoding += is_decoding
        context += batch[EXIST, place] if is_decoding else 0
        computed += batch[CHUNK, place]
    prefill = computed - decoding  # who decodes computes one token
    time_s = step_s(law, decoding, context / max(decoding, 1), prefill)
    if decoding:
        _count(rules, site, time_s, decoding)
    site.now_s += time_s
    site.busy_s += time_s
    site.steps += 1
    site.prefilled += prefill
    _sample(jobs, site, batch)
    retire(rules, jobs, site, batch)


@compiled
def _sample(jobs: Rows, site: Row, batch: Integers) -> None:
    """Give everybody a token of whom all is computed."""
    for place in range(site.batch):
        batch[TO_COMPUTE, place] -= batch[CHUNK, place]
        batch[CHUNK, place] = 0
        if batch[TO_COMPUTE, place] == 0:
            if batch[BEGUN, place] == 0:
                jobs[batch[REQUEST, place]].first_token_s = site.now_s
            batch[BEGUN, place] = batch[TO_COMPUTE, place] = 1
            batch[EXIST, place] += 1
            batch[LEFT, place] -= 1
            site.generated += 1


@compiled
def advance(law: Law, rules: Rules, jobs: Rows, site: Row, batch: Integers, until_s: float) -> None:
    """Take every step that begins before a time, but leave a stretch whole that goes on after it."""
    while site.now_s < until_s and site.batch + site.waiting > 0:
        if site.planned == 0:
            _plan(law, rules, jobs, site, batch)
        if site.planned == 0:
            _step(law, rules, jobs, site, batch)
        elif site.last_begin_s < until_s:
            _decode(rules, jobs, site, batch, site.planned, site.planned_s)
        else:
            return


@compiled
def cut(law: Law, rules: Rules, jobs: Rows, site: Row, batch: Integers, at_s: float) -> None:
    """Take those steps of the planned stretch that begin before a time; plan anew after it."""
    if site.planned and site.now_s < at_s:
        steps, time_s, _ = stretch(law.decode[site.batch], site.context, site.planned, at_s - site.now_s)
        _decode(rules, jobs, site, batch, steps, time_s)
    site.planned = 0


@kept
def run(law: Law, rules: Rules, jobs: Rows, sites: Rows, batches: Integers, targets: Integers, until_s: float) -> int:
    """Route and serve requests in order of arrival, run every step that begins before the end, return how many came.

    ``targets`` is a replica for each request, or ``NOBODY`` where the least loaded one takes it. Whoever came and has
    no replica in the end was rejected.
    """
    law = Law(
        borrowed(law.sequences),
        borrowed(law.contexts),
        borrowed(law.prefills),
        borrowed(law.times_s),
        borrowed(law.decode),
    )
    jobs, sites, batches = borrowed(jobs), borrowed(sites), borrowed(batches)
    arrived = 0
    while arrived < jobs.size and jobs[arrived].arrival_s < until_s:
        at_s, replica = jobs[arrived].arrival_s, targets[arrived]
        least = math.inf
        for each in range(max(replica, 0), sites.size if replica < 0 else replica + 1):
            site = sites[each]
            if site.now_s < at_s and (site.planned == 0 or site.last_begin_s < at_s):
                advance(law, rules, jobs, site, batches[each], at_s)
            seen = float(site.batch + site.waiting)
            if rules.router != LEAST_REQUESTS:
                cut(law, rules, jobs, site, batches[each], at_s)
                seen = load(law, rules, jobs, site, batches[each], arrived)
            if seen < least:
                replica, least = each, seen
        site = sites[replica]
        if site.waiting < rules.max_queued:
            cut(law, rules, jobs, site, batches[replica], at_s)
            if site.batch + site.waiting == 0:
                site.now_s = max(site.now_s, at_s)
            jobs[arrived].replica = replica
            wait(jobs, site, arrived)
        arrived += 1
    for each in range(sites.size):
        advance(law, rules, jobs, sites[each], batches[each], until_s)
        cut(law, rules, jobs, sites[each], batches[each], until_s)
    return arrived
