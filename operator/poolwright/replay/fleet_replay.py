"""A trace through a fleet under a policy: decide every period, record every minute."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poolwright.replay.fleet import Fleet, FleetRules, Totals
from poolwright.replay.fleet_block import Block
from poolwright.replay.fleet_minutes import Recorded
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies import Policy

SECONDS_BETWEEN_REPORTS: Final = 3600.0
"""[s] Simulated time between two calls of ``progress``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay found.

    Attributes
    ----------
    recorded
        Requests, cost, energy and queues by minute.
    totals
        What became of the requests, in the end.
    started, stopped, failed
        Replicas that were ordered after the beginning, given up, and that went down by themselves.
    changes
        Decisions that changed what was wanted.
    """

    recorded: Recorded
    totals: Totals
    started: int
    stopped: int
    failed: int
    changes: int


def replay(
    variants: Sequence[FleetVariant],
    rules: FleetRules,
    source: Iterable[Block],
    policy: Policy,
    *,
    initial: Mapping[str, int],
    until_s: float = math.inf,
    progress: Callable[[float], None] | None = None,
) -> Replayed:
    """Replay requests until ``until_s``, or until the first decision after the last one came.

    Parameters
    ----------
    variants, rules, source
        The fleet and its traffic.
    policy
        Who decides, every ``rules.period_s``.
    initial
        Replicas by variant that are ready at the beginning.
    until_s
        End [s].
    progress
        Called with the simulated time now and then.
    """
    fleet = Fleet(variants, rules, source, initial)
    begun, changes, decisions, told_s = fleet.lives.started, 0, 0, 0.0
    while fleet.now_s < until_s and not fleet.is_over:
        decisions += 1
        fleet.advance(min(decisions * rules.period_s, until_s))
        wanted = list(fleet.lives.wanted)
        fleet.want(policy.decide(fleet.observe(), fleet.now_s))
        changes += wanted != fleet.lives.wanted
        if progress is not None and fleet.now_s >= told_s + SECONDS_BETWEEN_REPORTS:
            told_s = fleet.now_s
            progress(told_s)
    return Replayed(
        recorded=fleet.recorded(),
        totals=fleet.totals,
        started=fleet.lives.started - begun,
        stopped=fleet.lives.stopped,
        failed=fleet.lives.failed,
        changes=changes,
    )


def together(fleets: Sequence[Fleet], policies: Sequence[Policy], until_s: float) -> tuple[Recorded, ...]:
    """Replay several pools side by side, which share nothing but a quota; decisions in the given order.

    Between two decisions each pool moves by itself: what one gives back within a period, another gets at its next.
    """
    period_s = fleets[0].rules.period_s
    for decision in range(1, math.ceil(until_s / period_s) + 1):
        for fleet in fleets:
            fleet.advance(min(decision * period_s, until_s))
        for fleet, policy in zip(fleets, policies, strict=True):
            fleet.want(policy.decide(fleet.observe(), fleet.now_s))
    return tuple(fleet.recorded() for fleet in fleets)
