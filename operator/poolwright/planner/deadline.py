"""Load of a tier that only has a deadline: demand averaged over it, because its work may queue.

Equations (12.9) and (12.10) of docs/model.md. Sees no more of the past than planning remembers.
"""

from collections.abc import Sequence
from typing import Final

from poolwright.planner.outcome import Step
from poolwright.planner.reason import Reason

WAIT_RATIO: Final = 0.5
"""Share of the deadline that a queue may stand for [ratio]: the other half is left for serving, for replicas that start
meanwhile, and for requests that come in worse order than the mean."""


def deferred_load(
    windows: Sequence[tuple[float, float]], *, rate_per_s: float, waiting: float, deadline_s: float, now_s: float
) -> tuple[float, tuple[Step, ...]]:
    """Return the rate [1/s] that a deadline asks for, and the steps that led to it.

    Parameters
    ----------
    windows
        ``(time_s, rate_per_s)`` that were seen, oldest first.
    rate_per_s, waiting
        Requests arriving now [1/s], and those in queues.
    deadline_s, now_s
        Time within which a request must be answered [s], and the moment.

    Returns
    -------
    rate and steps
        With this capacity the whole queue is served within half of the deadline.
    """
    seen = [rate for time_s, rate in windows if now_s - deadline_s <= time_s <= now_s] or [rate_per_s]
    mean_per_s = sum(seen) / len(seen)
    span_s = min(deadline_s, now_s - windows[0][0]) if windows else 0.0
    allowed_s = WAIT_RATIO * deadline_s
    extra_per_s = max(waiting - mean_per_s * allowed_s, 0.0) / allowed_s
    smooth = Step(
        name="smoothed",
        value=mean_per_s,
        reason=Reason.DEMAND,
        detail=f"work may wait {deadline_s:.0f} s: {mean_per_s:.4g} requests/s on average",
        arithmetic=(f"mean of {len(seen)} windows of the last {span_s:.0f} s; now {rate_per_s:.4g} requests/s",),
    )
    if extra_per_s == 0.0:
        return mean_per_s, (smooth,)
    backlog = Step(
        name="backlog",
        value=extra_per_s,
        reason=Reason.BACKLOG,
        detail=f"{waiting:.0f} requests wait, more than half the deadline serves",
        arithmetic=(
            (
                f"({waiting:.0f} waiting - {mean_per_s:.4g}/s x {allowed_s:.4g} s) / {allowed_s:.4g} s = "
                f"{extra_per_s:.4g} requests/s"
            ),
        ),
    )
    return mean_per_s + extra_per_s, (smooth, backlog)
