"""Who waits for a place in a replica's batch, compiled: a list in order of rank."""

from poolwright.simulator.compiled import compiled
from poolwright.simulator.layout import NOBODY, Row, Rows


@compiled
def wait(jobs: Rows, site: Row, request: int) -> None:
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
    _count(site, jobs[request], 1)


@compiled
def first(jobs: Rows, site: Row) -> int:
    """Take the first of those who wait out of the list and return who it is."""
    request: int = site.head
    site.head = jobs[request].after
    _count(site, jobs[request], -1)
    return request


@compiled
def _count(site: Row, job: Row, requests: int) -> None:
    """Count a request in (1) or out (-1)."""
    site.waiting += requests
    site.waiting_prefill += requests * (job.prompt + job.generated - job.cached)
    site.waiting_tokens += requests * (job.prompt + job.output - job.cached)
