"""A pool of equal replicas in time, compiled: the rules of ``engine.scheduler``, skipping ahead where nothing happens.

A stretch in which everybody in the batch decodes is one move, up to the next finish, lack of blocks or arrival: step
times are linear between the table's contexts, so a sum of steps is quadratic and the step at which an arrival joins
its root. Everything else is a step like the scheduler's. Equal to the step-by-step ``Replica`` to rounding.

Every compiled function is in this file: what was kept is thrown away when the file of its entry changes, not when
another's does. Rows are passed rather than tables, as counting references to arrays took most of the time. ``pool``
checks what comes in; nothing is checked here.
"""

import math

from poolwright.simulator.compiled import compiled, kept
from poolwright.simulator.layout import NOBODY, Floats, Integers, Law, Row, Rows, Rules


@compiled
def _cell(grid: Floats, value: float) -> int:
    """Return the cell of a value; beyond the grid the last cell goes on."""
    low, high = 0, grid.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if grid[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@compiled
def _step_s(law: Law, decoding: int, context: float, prefill: int) -> float:
    """Return the time of one step [s]."""
    i, j, k = _cell(law.sequences, decoding), _cell(law.contexts, context), _cell(law.prefills, prefill)
    u = (decoding - law.sequences[i]) / (law.sequences[i + 1] - law.sequences[i])
    v = (context - law.contexts[j]) / (law.contexts[j + 1] - law.contexts[j])
    w = (prefill - law.prefills[k]) / (law.prefills[k + 1] - law.prefills[k])
    time_s = 0.0
    for a, few in ((i, 1.0 - u), (i + 1, u)):
        for b, near in ((j, 1.0 - v), (j + 1, v)):
            time_s += few * near * ((1.0 - w) * law.times_s[a, b, k] + w * law.times_s[a, b, k + 1])
    return time_s


@compiled
def _steps_s(first_s: float, growth_s: float, steps: int) -> float:
    """Return the time of steps of which each is ``growth_s`` longer than the one before [s]."""
    return steps * first_s + 0.5 * growth_s * steps * (steps - 1)


@compiled
def _steps_begun(first_s: float, growth_s: float, room_s: float, most: int) -> int:
    """Return how many of ``most`` steps begin before ``room_s`` is over, at least 1."""
    # growth/2 m^2 + (first - growth/2) m = room, the root written so that nothing cancels; rounding is put right after.
    linear = first_s - 0.5 * growth_s
    root = linear + math.sqrt(max(linear * linear + 2.0 * growth_s * room_s, 0.0))
    steps = most
    if root > 0.0:
        steps = int(max(1.0, min(float(most), math.ceil(2.0 * room_s / root))))
    while steps > 1 and _steps_s(first_s, growth_s, steps - 1) >= room_s:
        steps -= 1
    while steps < most and _steps_s(first_s, growth_s, steps) < room_s:
        steps += 1
    return steps


@compiled
def _stretch(cells: Rows, context: float, most: int, room_s: float) -> tuple[int, float, float]:
    """Return how many of ``most`` decode steps begin within ``room_s``, how long all and the last take [s]."""
    steps, elapsed_s, last_s, cell = 0, 0.0, 0.0, 0
    while steps < most and elapsed_s < room_s:
        while cell + 1 < cells.size and cells[cell + 1].context <= context:
            cell += 1
        growth_s = cells[cell].growth_s
        first_s = cells[cell].time_s + growth_s * (context - cells[cell].context)
        here = most - steps
        if cell + 1 < cells.size:
            here = min(here, max(1, math.ceil(cells[cell + 1].context - context)))
        if elapsed_s + _steps_s(first_s, growth_s, here) >= room_s:
            here = _steps_begun(first_s, growth_s, room_s - elapsed_s, here)
        steps += here
        context += here
        elapsed_s += _steps_s(first_s, growth_s, here)
        last_s = first_s + growth_s * (here - 1)
    return steps, elapsed_s, last_s


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
    site.waiting += 1


@compiled
def _blocks(rules: Rules, tokens: int) -> int:
    return (tokens + rules.block_tokens - 1) // rules.block_tokens


@compiled
def _new_blocks(rules: Rules, jobs: Rows, batch: Integers, steps: int) -> int:
    """Return how many blocks a decoding batch takes in so many steps."""
    blocks = 0
    for request in batch:
        computed = jobs[request].computed
        blocks += _blocks(rules, computed + steps) - _blocks(rules, computed)
    return blocks


@compiled
def _plan(law: Law, rules: Rules, jobs: Rows, site: Row, batch: Integers) -> None:
    """Look as far ahead as nothing but decoding happens; plan nothing where the next step is of another kind."""
    site.planned = 0
    budget = rules.max_num_batched_tokens - batch.size
    if batch.size == 0 or budget < 0:
        return
    tokens, most = 0, jobs[batch[0]].output
    for request in batch:
        job = jobs[request]
        exist = job.prompt + job.generated
        if job.generated == 0 or exist - job.computed != 1:
            return
        tokens += exist
        most = min(most, job.output - job.generated)
    if site.waiting and batch.size < rules.max_num_seqs and budget:
        # Whoever finds no room in the first step finds none before somebody leaves.
        first = min(jobs[site.head].prompt + jobs[site.head].generated, budget)
        if _blocks(rules, first) <= site.free_blocks - _new_blocks(rules, jobs, batch, 1):
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
        site.context = tokens / batch.size
        _, site.planned_s, last_s = _stretch(law.decode[batch.size], site.context, most, math.inf)
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
            site.free_blocks += _blocks(rules, jobs[request].computed)


@compiled
def _decode(rules: Rules, jobs: Rows, site: Row, batch: Integers, steps: int, time_s: float) -> None:
    """Take so many of the planned steps; a finish can only be in the last of them."""
    site.free_blocks -= _new_blocks(rules, jobs, batch, steps)
    for request in batch:
        jobs[request].computed += steps
        jobs[request].generated += steps
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
    site.free_blocks += _blocks(rules, jobs[victim].computed + jobs[victim].chunk)
    site.preempted += 1
    jobs[victim].computed = 0
    jobs[victim].chunk = 0
    _wait(jobs, site, victim)
    return at


@compiled
def _schedule(rules: Rules, jobs: Rows, site: Row, running: Integers) -> None:
    """Give every request its tokens of the next step and the blocks for them."""
    budget, before, index = rules.max_num_batched_tokens, site.preempted, 0
    while index < site.batch and budget > 0:
        job = jobs[running[index]]
        tokens = min(job.prompt + job.generated - job.computed, budget)
        missing = _blocks(rules, job.computed + tokens) - _blocks(rules, job.computed)
        stays = True
        while stays and missing > site.free_blocks:
            at = _preempt(rules, jobs, site, running)
            stays = at != index
            index -= at < index
        if stays:
            site.free_blocks -= missing
            job.chunk = tokens
            budget -= tokens
            index += 1
    while site.preempted == before and site.waiting and budget > 0 and site.batch < rules.max_num_seqs:
        job = jobs[site.head]
        tokens = min(job.prompt + job.generated, budget)
        if _blocks(rules, tokens) > site.free_blocks:
            break
        running[site.batch] = site.head
        site.batch += 1
        site.head = job.after
        site.waiting -= 1
        site.free_blocks -= _blocks(rules, tokens)
        job.chunk = tokens
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
    time_s = _step_s(law, decoding, context / max(decoding, 1), prefill)
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
        steps, time_s, _ = _stretch(law.decode[batch.size], site.context, site.planned, at_s - site.now_s)
        _decode(rules, jobs, site, batch, steps, time_s)
    site.planned = 0


@kept
def run(law: Law, rules: Rules, jobs: Rows, sites: Rows, running: Integers, targets: Integers, until_s: float) -> int:
    """Route and serve requests in order of arrival, run every step that begins before the end, return how many came.

    ``targets`` is a replica for each request, or ``NOBODY`` where the one with the fewest in flight takes it. Whoever
    came and has no replica in the end was rejected.
    """
    arrived = 0
    while arrived < jobs.size and jobs[arrived].arrival_s < until_s:
        at_s, replica = jobs[arrived].arrival_s, targets[arrived]
        fewest = jobs.size
        for each in range(max(replica, 0), sites.size if replica < 0 else replica + 1):
            site = sites[each]
            if site.now_s < at_s and (site.planned == 0 or site.last_begin_s < at_s):
                _advance(law, rules, jobs, site, running[each], at_s)
            if site.batch + site.waiting < fewest:
                replica, fewest = each, site.batch + site.waiting
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
