"""Which observed numbers may be believed: everything hostile becomes ``Missing`` before it meets arithmetic.

Decides nothing about capacity; ``demand`` says what a missing signal means.
"""

import math
from typing import Final

from poolwright.planner.snapshot import Known, Missing, MissingReason, Signal

MAX_AGE_S: Final = 300.0
"""Oldest value that still describes the present [s]: sources mark staleness earlier by their own period; this is the
backstop against one that does not."""

MAX_RATE_PER_S: Final = 1_000_000.0
"""Most requests per second that are believed [1/s]: beyond any published fleet; larger is a broken counter."""

MAX_REQUESTS: Final = 100_000_000.0
"""Most requests running or waiting that are believed [1]: as above."""

MAX_TOKENS: Final = 10_000_000.0
"""Longest mean prompt or answer that is believed [tokens]: ten times the longest context any catalogued model has."""


def believed(signal: Signal, *, minimum: float, maximum: float) -> Known | Missing:
    """Return the signal if its value is finite, within bounds and fresh; otherwise ``Missing`` with the reason."""
    if isinstance(signal, Missing):
        return signal
    if not math.isfinite(signal.value) or not minimum <= signal.value <= maximum:
        detail = f"value {signal.value}, must be in [{minimum:g}, {maximum:g}]"
        return Missing(reason=MissingReason.INVALID, detail=detail)
    if not signal.age_s <= MAX_AGE_S:
        return Missing(reason=MissingReason.STALE, detail=f"seen {signal.age_s} s ago, at most {MAX_AGE_S:g} s")
    return signal


def number_or(signal: Signal, default: float, *, maximum: float) -> float:
    """Return a believed value of at least zero, or ``default`` where there is none."""
    known = believed(signal, minimum=0.0, maximum=maximum)
    return known.value if isinstance(known, Known) else default
