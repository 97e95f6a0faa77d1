"""Who is in a replica's batch, and which blocks they hold, compiled."""

from poolwright.simulator.compiled import compiled
from poolwright.simulator.layout import (
    BEGUN,
    CHUNK,
    EXIST,
    FIELDS,
    LEFT,
    REQUEST,
    SPARE,
    TO_COMPUTE,
    Integers,
    Row,
    Rows,
    Rules,
)


@compiled
def blocks_for(rules: Rules, tokens: int) -> int:
    """Return how many blocks hold so many tokens."""
    return (tokens + rules.block_tokens - 1) // rules.block_tokens


@compiled
def blocks_ahead(rules: Rules, site: Row, batch: Integers, steps: int) -> int:
    """Return how many blocks a batch takes in so many steps in which everybody decodes."""
    whole = steps // rules.block_tokens
    rest = steps - whole * rules.block_tokens
    blocks: int = whole * site.batch
    for place in range(site.batch):
        blocks += batch[SPARE, place] < rest
    return blocks


@compiled
def steps_that_fit(rules: Rules, site: Row, batch: Integers, most: int) -> int:
    """Return how many of ``most`` steps find blocks in which everybody in a batch decodes."""
    if blocks_ahead(rules, site, batch, most) <= site.free_blocks:
        return most
    # In as many steps as a block has tokens everybody takes one: so many fit, and not so many more.
    few: int = site.free_blocks // site.batch * rules.block_tokens
    many = few + rules.block_tokens
    while many - few > 1:
        middle = (few + many) // 2
        if blocks_ahead(rules, site, batch, middle) <= site.free_blocks:
            few = middle
        else:
            many = middle
    return few


@compiled
def grow(rules: Rules, site: Row, batch: Integers, steps: int) -> None:
    """Give everybody in a decoding batch so many tokens, and the blocks for them."""
    whole = steps // rules.block_tokens
    rest = steps - whole * rules.block_tokens
    blocks = whole * site.batch
    for place in range(site.batch):
        batch[EXIST, place] += steps
        batch[LEFT, place] -= steps
        spare = batch[SPARE, place] - rest
        blocks += spare < 0
        batch[SPARE, place] = spare + rules.block_tokens if spare < 0 else spare
    site.free_blocks -= blocks


@compiled
def enter(rules: Rules, jobs: Rows, site: Row, batch: Integers, request: int, tokens: int) -> None:
    """Take a request in and give it the blocks for its known prefix and so many tokens."""
    job, place = jobs[request], site.batch
    blocks = blocks_for(rules, job.cached + tokens)
    batch[REQUEST, place] = request
    batch[EXIST, place] = job.prompt + job.generated
    batch[TO_COMPUTE, place] = job.prompt + job.generated - job.cached
    batch[LEFT, place] = job.output - job.generated
    batch[BEGUN, place] = job.generated > 0
    batch[CHUNK, place] = tokens
    batch[SPARE, place] = blocks * rules.block_tokens - job.cached - tokens
    site.free_blocks -= blocks
    site.batch += 1


@compiled
def leave(rules: Rules, site: Row, batch: Integers, place: int) -> None:
    """Take a request out of its place with all its blocks; those behind it move up."""
    computed = batch[EXIST, place] - batch[TO_COMPUTE, place]
    site.free_blocks += (computed + batch[CHUNK, place] + batch[SPARE, place]) // rules.block_tokens
    site.batch -= 1
    for field in range(FIELDS):
        for each in range(place, site.batch):
            batch[field, each] = batch[field, each + 1]


@compiled
def retire(rules: Rules, jobs: Rows, site: Row, batch: Integers) -> None:
    """Let those go that have their last token."""
    place = 0
    while place < site.batch:
        if batch[LEFT, place]:
            place += 1
        else:
            jobs[batch[REQUEST, place]].finish_s = site.now_s
            leave(rules, site, batch, place)
