"""A replay in a few figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from poolwright.replay.fleet_minutes import PERCENTILES
from poolwright.replay.fleet_replay import Replayed
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.units import JOULES_PER_KWH, SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a scoreboard shows of one replay.

    Attributes
    ----------
    requests, finished, shed, lost
        Counts.
    accelerator_hours, usd, kwh
        Of all replicas, starting and draining ones included.
    attainment_ratio
        Share of requests by tier whose first token came in time.
    violating_ratio
        Share of minutes in which any tier missed an objective.
    ttft_p95_s
        95th percentile of times to first token by tier [s], over the whole replay.
    itl_mean_s
        Mean time between tokens by tier [s].
    started, stopped, failed, changes
        Replicas ordered, given up and gone by themselves, and decisions that changed anything.
    """

    requests: int
    finished: int
    shed: int
    lost: int
    accelerator_hours: float
    usd: float
    kwh: float
    attainment_ratio: tuple[float, ...]
    violating_ratio: float
    ttft_p95_s: tuple[float, ...]
    itl_mean_s: tuple[float, ...]
    started: int
    stopped: int
    failed: int
    changes: int


def summary_of(made: Replayed, variants: Sequence[FleetVariant]) -> Summary:
    """Return the figures of a replay."""
    recorded = made.recorded
    accelerators = [1 if each.config is None else each.config.accelerators for each in variants]
    hours = sum(life_s * count for life_s, count in zip(recorded.life_s.tolist(), accelerators, strict=True))
    itl_s, tokens = (recorded.minutes[name].sum(axis=0) for name in ("itl_s", "itl_tokens"))
    return Summary(
        requests=made.totals.arrived,
        finished=made.totals.finished,
        shed=made.totals.shed,
        lost=made.totals.lost,
        accelerator_hours=hours / SECONDS_PER_HOUR,
        usd=recorded.usd,
        kwh=recorded.joules / JOULES_PER_KWH,
        attainment_ratio=recorded.attainment,
        violating_ratio=recorded.violating_ratio,
        ttft_p95_s=tuple(recorded.whole_ttft_s[:, PERCENTILES.index(0.95)].tolist()),
        itl_mean_s=tuple((itl_s / tokens.clip(1)).tolist()),
        started=made.started,
        stopped=made.stopped,
        failed=made.failed,
        changes=made.changes,
    )
