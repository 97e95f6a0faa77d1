"""What one pod reported at one moment, in our words: each quantity is a number that can be true, or the fault it had.

Turns samples into a ``Reading`` through the vocabulary. Rates and percentiles need two readings (``metrics_adapter``).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Final

from poolwright.controller.signals.exposition import Sample
from poolwright.controller.signals.histogram import Histogram, is_well_formed
from poolwright.controller.signals.vocabulary import VOCABULARIES, MeanNames, Vocabulary
from poolwright.planner.snapshot import Missing, MissingReason

MAX_CUMULATIVE: Final = 2.0**53
"""Largest counter believed [count]: above it a float no longer counts by ones, so differences would be noise."""

MAX_QUEUED: Final = 1_000_000.0
"""Most requests believed in one engine [count]: each holds a connection, and a process has at most that many."""

MAX_LATENCY_S: Final = 86_400.0
"""Longest latency bound believed [s]: a day; vLLM's largest bucket is 7,680 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CumulativeMean:
    """A sum and a count that only grow: their increases' quotient is a mean."""

    total: float
    count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One pod at one moment; a quantity that it did not report, or reported absurdly, is ``Missing`` with its detail.

    Attributes
    ----------
    time_s
        World time of the reading [s].
    arrivals, finished
        Counters of requests.
    running, waiting
        Requests in a batch, and queued.
    kv_utilisation_ratio
        Share of KV blocks in use.
    input_tokens, output_tokens
        Per finished request.
    ttft, itl
        Histograms [s].
    """

    time_s: float
    arrivals: float | Missing
    finished: float | Missing
    running: float | Missing
    waiting: float | Missing
    kv_utilisation_ratio: float | Missing
    input_tokens: CumulativeMean | Missing
    output_tokens: CumulativeMean | Missing
    ttft: Histogram | Missing
    itl: Histogram | Missing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """Samples of one pod by name, and whose they are."""

    pod: str
    samples: dict[str, list[Sample]]
    partition: tuple[tuple[str, str], ...]

    def invalid(self, name: str, value: object) -> Missing:
        return Missing(reason=MissingReason.INVALID, detail=f"pod {self.pod}: {name} is {value}")

    def series(self, name: str) -> list[Sample] | Missing:
        """Return the series of a name that count towards the total, or why they cannot be trusted."""
        seen: dict[frozenset[tuple[str, str]], Sample] = {}
        for sample in self.samples.get(name, ()):
            key = frozenset(sample.labels.items())
            if key in seen and seen[key].value != sample.value:
                return self.invalid(name, f"reported twice, as {seen[key].value} and {sample.value}")
            seen[key] = sample
        return [
            sample
            for sample in seen.values()
            if all(sample.labels.get(label, total) == total for label, total in self.partition)
        ]


def reading_of(pod: str, samples: Iterable[Sample], time_s: float) -> Reading:
    """Return what a pod reported, judged value by value; never raises, and holds only finite numbers.

    Parameters
    ----------
    pod
        Name, for details.
    samples
        Whatever the pod's page held of known names.
    time_s
        World time of the scrape [s].
    """
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    words = _vocabulary(by_name)
    page = _Page(pod=pod, samples=by_name, partition=words.partition_labels)
    return Reading(
        time_s=time_s,
        arrivals=_number(page, words.arrivals, sum, MAX_CUMULATIVE),
        finished=_number(page, words.finished, sum, MAX_CUMULATIVE),
        running=_number(page, words.running, sum, MAX_QUEUED),
        waiting=_number(page, words.waiting, sum, MAX_QUEUED),
        kv_utilisation_ratio=_number(page, words.kv_utilisation, max, 1.0),
        input_tokens=_mean(page, words.input_tokens),
        output_tokens=_mean(page, words.output_tokens),
        ttft=_histogram(page, words.ttft),
        itl=_histogram(page, words.itl),
    )


def _vocabulary(by_name: dict[str, list[Sample]]) -> Vocabulary:
    return max(VOCABULARIES, key=lambda words: len(words.names & by_name.keys()))


def _unknown(page: _Page, names: Sequence[str]) -> Missing:
    return Missing(reason=MissingReason.UNKNOWN_METRIC, detail=f"pod {page.pod}: exports none of {', '.join(names)}")


def _number(
    page: _Page, names: Sequence[str], combine: Callable[[Sequence[float]], float], highest: float
) -> float | Missing:
    for name in names:
        series = page.series(name)
        if isinstance(series, Missing):
            return series
        for sample in series:
            if not 0.0 <= sample.value <= highest:
                return page.invalid(name, f"{sample.value}, must be in [0, {highest:g}]")
        if series:
            combined = combine([sample.value for sample in series])
            return (
                combined if combined <= highest else page.invalid(name, f"{combined}, at most {highest:g} is believed")
            )
    return _unknown(page, names)


def _mean(page: _Page, pairs: Sequence[MeanNames]) -> CumulativeMean | Missing:
    for pair in pairs:
        total = _number(page, (pair.total,), sum, MAX_CUMULATIVE)
        count = _number(page, (pair.count,), sum, MAX_CUMULATIVE)
        for fault in (total, count):
            if isinstance(fault, Missing) and fault.reason is MissingReason.INVALID:
                return fault
        if not isinstance(total, Missing) and not isinstance(count, Missing):
            return CumulativeMean(total=total, count=count)
    return _unknown(page, [pair.total for pair in pairs])


def _histogram(page: _Page, names: Sequence[str]) -> Histogram | Missing:
    for name in names:
        buckets = page.series(f"{name}_bucket")
        total = _number(page, (f"{name}_sum",), sum, MAX_CUMULATIVE)
        if isinstance(buckets, Missing):
            return buckets
        if not buckets:
            continue
        if isinstance(total, Missing):
            return total
        return _from_buckets(page, name, buckets, total)
    return _unknown(page, names)


def _from_buckets(page: _Page, name: str, buckets: list[Sample], total: float) -> Histogram | Missing:
    counts: dict[float, float] = {}
    for sample in buckets:
        bound = _bound(sample.labels.get("le", ""))
        if bound is None or not 0.0 <= sample.value <= MAX_CUMULATIVE:
            return page.invalid(f"{name}_bucket{{le={sample.labels.get('le')!r}}}", sample.value)
        counts[bound] = counts.get(bound, 0.0) + sample.value
    bounds = tuple(sorted(counts))
    histogram = Histogram(bounds=bounds, counts=tuple(counts[bound] for bound in bounds), total=total)
    if not is_well_formed(histogram):
        return page.invalid(name, "no cumulative histogram: bounds must rise to +Inf and counts must not fall")
    return histogram


def _bound(text: str) -> float | None:
    """Return a bucket's upper bound [s], or None for one that cannot be."""
    try:
        bound = float(text)
    except ValueError:
        return None
    return bound if bound == inf or (isfinite(bound) and 0.0 < bound <= MAX_LATENCY_S) else None
