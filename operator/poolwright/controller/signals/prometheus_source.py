"""Signals from a Prometheus server: the same series, with the history it has kept, in one query per tier and kind.

Asks for raw samples of the live pods by name, never for a rate over labels that dead pods share, so stale series cannot
hold capacity up and two scrape jobs of one pod are not added up. The arithmetic is in ``metrics_adapter``.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final

from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests import RequestException
from urllib3.util.retry import Retry

from poolwright.controller.clock import Clock
from poolwright.controller.cluster.pod_state import PodState, PoolRef
from poolwright.controller.signals.exposition import Sample
from poolwright.controller.signals.metrics_adapter import DISPERSION_WINDOWS, all_missing, tier_signals
from poolwright.controller.signals.pod_track import MAX_RATE_PER_S, Track, Window
from poolwright.controller.signals.reading import reading_of
from poolwright.controller.signals.vocabulary import FLOW_NAMES, NAMES
from poolwright.planner.snapshot import Known, Missing, MissingReason, Signal, TierSignals
from poolwright.units import ms_from_s

TIMEOUT_S: Final = 10
"""Longest wait for one answer [wall s]: two thirds of a cycle, so that a slow server costs a pool one cycle only."""

PODS_PER_QUERY: Final = 50
"""Pods named in one query [count]: about 4 kB of URL, under the 8 kB that proxies allow."""

REFUSED: Final = ("HTTP Status Code 400", "HTTP Status Code 422")
"""How the client says that a query is malformed (400) or cannot be executed (422), Prometheus HTTP API."""

TARGET_LABELS: Final = ("job", "instance", "endpoint", "container", "service")
"""Labels that Prometheus puts on a series for the target it came from: two values for one pod are two scrapes of it."""


class PrometheusError(Exception):
    """The server did not answer, or not with what was asked for."""


class QueryRefusedError(PrometheusError):
    """The server answered that the query is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """World seconds of window and staleness."""

    window_s: float = 60.0
    stale_after_s: float = 60.0


def connect(url: str) -> PrometheusConnect:
    """Return a client that asks once: the next cycle is the retry."""
    return PrometheusConnect(url=url, retry=Retry(total=0))


class PrometheusSource:
    """Queries one server for all pools; the blocking client runs in threads."""

    def __init__(
        self, client: PrometheusConnect, clock: Clock, span: Span | None = None, token_file: Path | None = None
    ) -> None:
        self._client = client
        self._clock = clock
        self._span = span or Span()
        self._token_file = token_file

    async def tier_signals(
        self, pool: PoolRef, tier: str, pods: Sequence[PodState], percentile_ratio: float
    ) -> TierSignals:
        """Return what Prometheus has of the tier's ready pods; a failed query is missing, never zero."""
        ready = [pod for pod in pods if pod.is_ready and pod.tier == tier]
        if not ready:
            return tier_signals((), self._window(), percentile_ratio)
        try:
            series = await self._series(pool, ready)
        except PrometheusError as error:
            return all_missing(Missing(reason=MissingReason.UNREACHABLE, detail=str(error)))
        if not series:
            detail = f"no series of {len(ready)} ready pods of {pool.namespace}/{pool.name} under any known name"
            return all_missing(Missing(reason=MissingReason.UNKNOWN_METRIC, detail=detail))
        by_pod = _by_pod(series)
        tracks = [self._track(pod, by_pod.get(pod.name, {})) for pod in ready]
        return tier_signals(tracks, self._window(), percentile_ratio)

    async def demand_per_s(self, query: str) -> Signal:
        """Return the rate that a user's query gives [1/s of world time]: exactly one sample, or the reason why not."""
        try:
            series = await self._query(query)
        except QueryRefusedError as error:
            return Missing(reason=MissingReason.INVALID, detail=f"{query}: {error}")
        except PrometheusError as error:
            return Missing(reason=MissingReason.UNREACHABLE, detail=f"{query}: {error}")
        if len(series) != 1:
            reason = MissingReason.INVALID if series else MissingReason.UNKNOWN_METRIC
            return Missing(reason=reason, detail=f"{query}: gives {len(series)} series, must give one")
        try:
            moment, text = series[0]["value"]
            age_s, rate_per_s = self._age_s(float(moment)), float(text) / self._clock.speed
        except (KeyError, TypeError, ValueError):
            return Missing(reason=MissingReason.INVALID, detail=f"{query}: gives no instant value")
        if not 0.0 <= rate_per_s <= MAX_RATE_PER_S:
            detail = f"{query}: is {rate_per_s}, must be in [0, {MAX_RATE_PER_S:g}]"
            return Missing(reason=MissingReason.INVALID, detail=detail)
        return Known(value=rate_per_s, age_s=age_s)

    def _window(self) -> Window:
        return Window(now_s=self._clock.now_s(), length_s=self._span.window_s, stale_after_s=self._span.stale_after_s)

    async def _series(self, pool: PoolRef, pods: Sequence[PodState]) -> list[Mapping[str, Any]]:
        """Return the raw samples of pods: what arrivals need over several windows, everything else over one."""
        found: list[Mapping[str, Any]] = []
        for start in range(0, len(pods), PODS_PER_QUERY):
            some = pods[start : start + PODS_PER_QUERY]
            found += await self._samples(pool, some, FLOW_NAMES, DISPERSION_WINDOWS * self._span.window_s)
            found += await self._samples(pool, some, NAMES - FLOW_NAMES, self._span.window_s + self._span.stale_after_s)
        return found

    async def _samples(
        self, pool: PoolRef, pods: Sequence[PodState], names: Iterable[str], span_s: float
    ) -> list[Mapping[str, Any]]:
        """Return raw samples of some names and pods over a span of world time."""
        span_ms = max(round(ms_from_s(span_s / self._clock.speed)), 1)
        matchers = {
            "__name__": ("=~", "|".join(sorted(names))),
            "namespace": ("=", pool.namespace),
            "pod": ("=~", "|".join(sorted(pod.name for pod in pods))),
        }
        inside = ",".join(f"{label}{operator}{json.dumps(text)}" for label, (operator, text) in matchers.items())
        return await self._query(f"{{{inside}}}[{span_ms}ms]")

    async def _query(self, query: str) -> list[Mapping[str, Any]]:
        try:
            answer = await asyncio.to_thread(self._ask, query)
        except (RequestException, PrometheusApiClientException, ValueError, KeyError, OSError) as error:
            kind = QueryRefusedError if str(error).startswith(REFUSED) else PrometheusError
            raise kind(f"Prometheus at {self._client.url}: {type(error).__name__} {error}") from error
        if not isinstance(answer, list) or not all(isinstance(each, dict) for each in answer):
            raise PrometheusError(f"Prometheus at {self._client.url}: answered without a list of series")
        return answer

    def _ask(self, query: str) -> object:
        """Send one query, with the token as it is now: mounted tokens are replaced every hour."""
        if self._token_file:
            self._client.headers = {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
        return self._client.custom_query(query, timeout=TIMEOUT_S)

    def _track(self, pod: PodState, scrapes: Mapping[float, Sequence[Sample]]) -> Track:
        readings = tuple(
            reading_of(pod.name, scrapes[moment], self._clock.now_s() - self._age_s(moment))
            for moment in sorted(scrapes)
        )
        return Track(pod=pod.name, readings=readings, ready_since_s=self._world_s(pod.ready_since))

    def _age_s(self, moment: float) -> float:
        """Return how long ago a Unix time was [world s]."""
        return max((self._clock.wall().timestamp() - moment) * self._clock.speed, 0.0)

    def _world_s(self, moment: datetime | None) -> float | None:
        return None if moment is None else self._clock.now_s() - self._age_s(moment.timestamp())


def _by_pod(series: Iterable[Mapping[str, Any]]) -> dict[str, dict[float, list[Sample]]]:
    """Return samples by pod and scrape, of one target for each pod: the one read last, first by name among equals."""
    targets: dict[str, dict[tuple[str, ...], dict[float, list[Sample]]]] = defaultdict(dict)
    for each in series:
        labels = dict(each.get("metric") or {})
        pod, name = labels.pop("pod", ""), labels.pop("__name__", "")
        target = tuple(str(labels.pop(label, "")) for label in TARGET_LABELS)
        scrapes = targets[pod].setdefault(target, {})
        for moment, value in _values(each):
            scrapes.setdefault(moment, []).append(Sample(name=name, value=value, labels=labels))
    return {pod: max(sorted(found.items()), key=_newest)[1] for pod, found in targets.items()}


def _newest(target: tuple[tuple[str, ...], Mapping[float, Sequence[Sample]]]) -> float:
    return max(target[1], default=0.0)


def _values(series: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return the samples of a series that have a time; values are judged later."""
    found = []
    for pair in series.get("values") or ():
        try:
            moment, value = float(pair[0]), float(pair[1])
        except (TypeError, ValueError, IndexError):
            continue
        if isfinite(moment):
            found.append((moment, value))
    return found
