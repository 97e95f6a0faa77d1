"""A pod's metrics page as samples: hostile text, so it is bounded, filtered, and parses whole or not at all.

Knows the text format and which names matter; does not know what they mean (``reading``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from poolwright.controller.signals.vocabulary import NAMES

MAX_SAMPLES: Final = 20_000
"""Samples of known names read from one page [count]. vLLM exports about 60 per model and rank; a page above this is an
attack or a mistake, and parsing it would stall every other pool."""

LABELS_START: Final = "{"


class ExpositionError(ValueError):
    """The page is not a whole, well-formed exposition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of one series as a pod reports it."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def samples_of(text: str) -> tuple[Sample, ...]:
    """Return the samples of known names in an exposition page.

    Parameters
    ----------
    text
        The page in Prometheus' text format. Its last line must end, as the format demands: a page cut off in the
        middle of a number would otherwise read as a smaller number.

    Raises
    ------
    ExpositionError
        The page is cut off, malformed in a line of a known name, or too long.
    """
    if text and not text.endswith("\n"):
        raise ExpositionError("the page is cut off: its last line does not end")
    lines = list(_relevant(text))
    if len(lines) > MAX_SAMPLES:
        raise ExpositionError(f"the page has {len(lines)} samples of known names, more than {MAX_SAMPLES}")
    return tuple(_parsed(lines))


def _relevant(text: str) -> Iterator[str]:
    """Yield the lines of known names, comments dropped: parsing the other thousand lines is what would cost time."""
    for line in text.split("\n"):
        name = line.lstrip().split(LABELS_START, 1)[0].split(None, 1)
        if name and name[0] in NAMES:
            yield line


def _parsed(lines: list[str]) -> Iterator[Sample]:
    try:
        families = list(text_string_to_metric_families("\n".join(lines) + "\n"))
    except (ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
        # The parser raises whatever its string handling meets first; none of it says more than "malformed".
        raise ExpositionError(f"the page does not parse: {type(error).__name__} {error}") from error
    for family in families:
        for sample in family.samples:
            if sample.name not in NAMES:
                raise ExpositionError(f"the page does not parse: {sample.name!r} is no name")
            yield Sample(name=sample.name, value=float(sample.value), labels=sample.labels)
