"""What became of simulated requests."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poolwright.simulator.layout import NOBODY, Floats, Integers, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of each request, and what the replicas did.

    Attributes
    ----------
    arrived
        Requests that came before the end, the first so many.
    first_token_s, finish_s
        Times of first and last token [s], NaN where there is none (yet), shape (requests,).
    mean_itl_s
        Mean time between its tokens of a finished request [s], NaN where there is none.
    is_rejected
        Whether its replica's queue was full.
    replica
        Who took it; ``NOBODY`` where nobody did.
    busy_s
        Time in which a replica computed [s], shape (replicas,), as all below.
    steps, prefilled_tokens, generated_tokens, preemptions
        Counts; a prompt that is computed again counts again.
    running, queued, free_blocks
        In the end: requests in the batch, requests that wait, and blocks that nobody holds.
    gaps
        Tokens by the time since the one before, of all replicas, in the bins of ``gaps``; those of a stretch of decode
        steps count with its mean step.
    """

    arrived: int
    first_token_s: Floats
    finish_s: Floats
    mean_itl_s: Floats
    is_rejected: NDArray[np.bool_]
    replica: Integers
    busy_s: Floats
    steps: Integers
    prefilled_tokens: Integers
    generated_tokens: Integers
    preemptions: Integers
    running: Integers
    queued: Integers
    free_blocks: Integers
    gaps: Integers

    @property
    def finished(self) -> int:
        """Requests that have their last token."""
        return int(np.count_nonzero(np.isfinite(self.finish_s)))

    @property
    def rejected(self) -> int:
        """Requests that met a full queue."""
        return int(np.count_nonzero(self.is_rejected))


def outcome_of(jobs: Rows, sites: Rows, arrived: int) -> Outcome:
    """Name what the kernel left in its tables."""
    later_tokens = np.where(jobs["output"] > 1, jobs["output"] - 1.0, np.nan)
    came = np.arange(len(jobs)) < arrived
    return Outcome(
        arrived=arrived,
        first_token_s=jobs["first_token_s"],
        finish_s=jobs["finish_s"],
        mean_itl_s=(jobs["finish_s"] - jobs["first_token_s"]) / later_tokens,
        is_rejected=came & (jobs["replica"] == NOBODY),
        replica=jobs["replica"],
        busy_s=sites["busy_s"],
        steps=sites["steps"],
        prefilled_tokens=sites["prefilled"],
        generated_tokens=sites["generated"],
        preemptions=sites["preempted"],
        running=sites["batch"],
        queued=sites["waiting"],
        free_blocks=sites["free_blocks"],
        gaps=sites["gaps"].sum(axis=0),
    )
