"""Signals straight from the pods' metrics pages, for clusters without Prometheus: nothing to install.

Bounded in everything: size and time of an answer, pages read at once, readings kept. A pod that does not answer is a
fault of that pod alone. The arithmetic is in ``metrics_adapter``.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import aiohttp

from poolwright.controller.clock import Clock
from poolwright.controller.cluster.pod_state import PodState, PoolRef
from poolwright.controller.signals.exposition import ExpositionError, samples_of
from poolwright.controller.signals.metrics_adapter import DISPERSION_WINDOWS, tier_signals
from poolwright.controller.signals.pod_track import Track, Window
from poolwright.controller.signals.reading import Reading, reading_of
from poolwright.planner.snapshot import Missing, MissingReason, TierSignals

METRICS_PORT: Final = 8000
"""Port that every engine pod serves its API and ``/metrics`` on."""

MAX_PAGE_BYTES: Final = 4_194_304
"""Largest metrics page read [bytes]: 4 MiB; a vLLM page has about 0.1 MB."""

TIMEOUT_S: Final = 3.0
"""Longest wait for one page [wall s]: an engine under full load answers within one; more would eat the cycle."""

CONCURRENCY: Final = 64
"""Pages read at once over all pools [count]: bounds sockets."""

READINGS_PER_WINDOW: Final = 8
"""Finest spacing of readings that is kept [count per window]. Cycles woken by events would otherwise crowd out the
older readings that a rate needs, and ask the pods more often than their numbers move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How readings are taken: window and staleness in world seconds, and the pods' port."""

    window_s: float = 60.0
    stale_after_s: float = 60.0
    port: int = METRICS_PORT


class ScrapeSource:
    """Reads the ready pods of a tier and remembers their recent readings; one instance serves all pools."""

    def __init__(self, session: aiohttp.ClientSession, clock: Clock, sampling: Sampling | None = None) -> None:
        self._session = session
        self._clock = clock
        self._sampling = sampling or Sampling()
        self._gate = asyncio.Semaphore(CONCURRENCY)
        self._tracks: dict[tuple[PoolRef, str], dict[str, Track]] = {}

    async def tier_signals(
        self, pool: PoolRef, tier: str, pods: Sequence[PodState], percentile_ratio: float
    ) -> TierSignals:
        """Return what the tier's ready pods report, after reading each of them once."""
        ready = [pod for pod in pods if pod.is_ready and pod.tier == tier]
        known = self._tracks.get((pool, tier), {})
        tracks = await asyncio.gather(*(self._read(pod, known.get(pod.uid)) for pod in ready))
        # Only ready pods are kept: what a dead pod said last must not keep capacity up.
        self._tracks[pool, tier] = {pod.uid: track for pod, track in zip(ready, tracks, strict=True)}
        window = Window(
            now_s=self._clock.now_s(),
            length_s=self._sampling.window_s,
            stale_after_s=self._sampling.stale_after_s,
        )
        return tier_signals(tracks, window, percentile_ratio)

    def forget(self, pool: PoolRef) -> None:
        """Drop everything remembered of a pool that is gone."""
        for key in [key for key in self._tracks if key[0] == pool]:
            del self._tracks[key]

    async def _read(self, pod: PodState, track: Track | None) -> Track:
        track = track or Track(pod=pod.name)
        track = replace(track, ready_since_s=self._world_s(pod.ready_since))
        now_s = self._clock.now_s()
        spacing_s = self._sampling.window_s / READINGS_PER_WINDOW
        if track.readings and now_s - track.readings[-1].time_s < spacing_s:
            return track
        try:
            async with self._gate:
                page = await self._page(pod)
            samples = samples_of(page)
        except (aiohttp.ClientError, TimeoutError, OSError, ExpositionError, UnicodeDecodeError) as error:
            return replace(track, fault=_fault(pod, error))
        reading = reading_of(pod.name, samples, self._clock.now_s())
        return replace(track, readings=self._kept(track.readings, reading), fault=None)

    async def _page(self, pod: PodState) -> str:
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        url = f"http://{host}:{self._sampling.port}/metrics"
        # Redirects could point the operator at anything inside the cluster.
        async with self._session.get(url, timeout=timeout, allow_redirects=False) as response:
            if response.status != 200:  # noqa: PLR2004 - the one status that carries a page
                raise ExpositionError(f"HTTP {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_PAGE_BYTES:
                    raise ExpositionError(f"the page is larger than {MAX_PAGE_BYTES} bytes")
        return body.decode()

    def _kept(self, readings: tuple[Reading, ...], latest: Reading) -> tuple[Reading, ...]:
        """Return the readings worth keeping: those of the last few windows, and one before."""
        oldest_s = latest.time_s - DISPERSION_WINDOWS * self._sampling.window_s
        older = [reading for reading in readings if reading.time_s < oldest_s]
        return (*older[-1:], *(reading for reading in readings if reading.time_s >= oldest_s), latest)

    def _world_s(self, moment: datetime | None) -> float | None:
        """Return a wall time as world seconds of the clock."""
        if moment is None:
            return None
        return self._clock.now_s() - (self._clock.wall() - moment).total_seconds() * self._clock.speed


def _fault(pod: PodState, error: Exception) -> Missing:
    reason = (
        MissingReason.INVALID if isinstance(error, (ExpositionError, UnicodeDecodeError)) else MissingReason.UNREACHABLE
    )
    return Missing(
        reason=reason, detail=f"pod {pod.name} at {pod.address or 'no address'}: {type(error).__name__} {error}"
    )
