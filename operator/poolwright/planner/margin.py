"""What latencies that were seen say about the margin that demand is planned with; ``forecast.margin`` has the rule.

A tier whose latencies nobody reports keeps its margin: an objective that cannot be seen is neither met nor missed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from poolwright.forecast.margin import LOOK_S, START, corrected
from poolwright.planner.policy import TierPolicy
from poolwright.planner.signal import believed
from poolwright.planner.snapshot import History, Known, Snapshot, TierSignals

MAX_LATENCY_S: Final = 86_400.0
"""Longest latency that is believed [s]: a day."""


def margin_of(history: History, tier: str) -> float:
    """Return the margin of a tier [1]; 1 until its latencies were seen."""
    return next((margin for name, margin, _ in history.margins if name == tier), 1.0)


def looked(history: History, tiers: Sequence[TierPolicy], snapshot: Snapshot, now_s: float) -> History:
    """Return the history with margins corrected by what is seen, at most once in ``LOOK_S``."""
    before = {name: (margin, time_s) for name, margin, time_s in history.margins}
    after = {}
    for tier in tiers:
        margin, time_s = before.get(tier.name, (START, -LOOK_S))
        missed = is_missed(tier, snapshot.signals(tier.name))
        if missed is not None and (tier.name not in before or now_s - time_s >= LOOK_S):
            after[tier.name] = (corrected(margin, is_missed=missed), now_s)
        elif tier.name in before:
            after[tier.name] = (margin, min(time_s, now_s))
    return replace(history, margins=tuple((name, *after[name]) for name in sorted(after)))


def is_missed(tier: TierPolicy, signals: TierSignals) -> bool | None:
    """Return whether a latency is above its objective; None where none with an objective is known."""
    pairs = ((signals.ttft_s, tier.objectives.ttft_s), (signals.itl_s, tier.objectives.itl_s))
    found = [
        known.value > goal_s
        for signal, goal_s in pairs
        if goal_s is not None and isinstance(known := believed(signal, minimum=0.0, maximum=MAX_LATENCY_S), Known)
    ]
    return any(found) if found else None
