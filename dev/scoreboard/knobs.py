"""The one setting of each policy that decides most, and the values that are tried; an empty one is the default."""

from collections.abc import Mapping
from typing import Final

Settings = Mapping[str, float]

SURGE: Final = 3.0
"""Largest fleet that a policy may ask for, over the static peak [ratio]: everybody sets a maximum."""


def _pairs(*ups: float, share: float) -> tuple[Settings, ...]:
    return tuple({"up_ratio": up, "down_ratio": up * share} for up in ups)


KNOBS: Final[dict[str, tuple[Settings, ...]]] = {
    "planned": ({},),
    "hpa-busy": ({}, {"target": 0.95}),
    "hpa-running": ({}, *({"target": value} for value in (0.2, 0.25, 0.3, 0.35, 0.4))),
    "hpa-waiting": ({}, *({"target": value} for value in (0.25, 1.0))),
    "keda": ({}, *({"threshold": value} for value in (0.25, 1.0))),
    "kpa": ({}, *({"target_ratio": value} for value in (0.2, 0.25, 0.3, 0.4))),
    # Chunked steps saturate long before the cache is full: the share of it that counts has to be found.
    "token-saturation": ({}, *({"cache_ratio": value, "queue": 1e6} for value in (0.06, 0.08, 0.1, 0.12))),
    "slo-ratio": ({}, *_pairs(0.4, 0.65, 0.75, share=0.73)),
    "means-only": ({}, *({"factor": value} for value in (0.65, 0.75, 0.85, 1.15, 1.3))),
}
"""Settings by policy."""


def label(settings: Settings) -> str:
    """Return settings as text."""
    return ", ".join(f"{name}={value:.3g}" for name, value in settings.items()) or "default"
