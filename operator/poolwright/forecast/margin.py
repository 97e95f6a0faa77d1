"""A margin on demand that is corrected slowly by how often objectives were missed.

A forecast's quantile and a model's percentile say what should happen; the margin closes the loop. It rises with every
look at which an objective was missed and falls a little with every other, so that in the long run the allowed share of
looks miss. Docs/model.md equation (10.16).
"""

from typing import Final

ALLOWED_RATIO: Final = 0.01
"""Share of looks at which an objective may be missed [ratio]: fourteen minutes a day."""

LOOK_S: Final = 60.0
"""Time between two looks [s]: the window that latencies are measured over, so that none counts twice."""

GAIN: Final = 0.01
"""Rise of the margin with a look that missed [1]: three in a row, as one replica's cold start takes, add 3 %. Higher
forgets within a day what a ramp taught, lower needs weeks."""

START: Final = 1.03
"""Margin where nothing was seen yet [1]: at a load that meets a percentile exactly, every second minute falls short of
it by chance; 3 % less load brings the share of late requests to about half."""

LEAST: Final = 0.95
"""Least margin [1]: a model errs by some percent to the safe side, never by much."""

MOST: Final = 1.25
"""Largest margin [1]: what a quarter more replicas do not prevent comes faster than replicas do."""


def corrected(margin: float, *, is_missed: bool) -> float:
    """Return the margin after one more look.

    Notes
    -----
    Whatever comes, over n looks the share that missed is at most ``ALLOWED_RATIO + (MOST - LEAST) / (GAIN n)`` unless
    the margin was at ``MOST``: what a miss adds, a hundred other looks take away.

    Examples
    --------
    >>> round(corrected(1.03, is_missed=True), 4)
    1.0399
    >>> round(corrected(1.03, is_missed=False), 4)
    1.0299
    """
    moved = margin + GAIN * ((1.0 if is_missed else 0.0) - ALLOWED_RATIO)
    return min(max(moved, LEAST), MOST)
