"""The scraper between a fleet and a policy: figures a period late, of the replicas that answer."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from poolwright.replay.fleet_life import Lives
from poolwright.replay.fleet_observed import Latencies, Observed, VariantSeen
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.simulator import gaps
from poolwright.simulator.fleet_layout import LEAST_TTFT_S, SEEN, TTFT_STEP, TTFTS, Tally, World
from poolwright.simulator.layout import GAP_STEP, GAPS, LEAST_GAP_S, Integers, Rows

GAP_BINS_S: Final = gaps.bins_s()
DRAWS: Final = 2.0**64
"""Values of one raw draw [count]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scrape:
    seen_s: float
    window_s: float
    kinds: Rows
    arrived: int
    shed: int
    held: int
    ttft: Latencies
    itl: Latencies
    tpot: Latencies


class Scraper:
    """Remembers the scrape before, which is what a policy sees."""

    def __init__(self, variants: Sequence[FleetVariant], seed: int, silent_ratio: float) -> None:
        from poolwright.simulator import fleet_count  # noqa: PLC0415 - the compiler costs what ADR 0005 says

        self._count = fleet_count
        self._variants = variants
        self._silent_ratio = silent_ratio
        self._noise = np.random.PCG64([seed, 1])
        self._last_s = 0.0
        self._scrapes = deque([_nothing(len(variants))], maxlen=2)

    def observed(self, world: World, tally: Tally, rows: Integers, lives: Lives, now_s: float) -> Observed:
        """Scrape the replicas in ``rows`` and return the scrape before, with the API's counts of now."""
        self._scrapes.append(self._scrape(world, tally, rows, now_s))
        seen = self._scrapes[0]
        configured_s = max(each.cold_start_s for each in self._variants)
        return Observed(
            seen_s=seen.seen_s,
            window_s=seen.window_s,
            variants=tuple(
                _variant(each, row, lives.count(kind, now_s), lives.wanted[kind], seen.window_s)
                for kind, (each, row) in enumerate(zip(self._variants, seen.kinds.tolist(), strict=True))
            ),
            arrived=seen.arrived,
            shed=seen.shed,
            held=seen.held,
            ttft=seen.ttft,
            itl=seen.itl,
            tpot=seen.tpot,
            cold_start_s=configured_s if lives.cold_start_s is None else lives.cold_start_s,
        )

    def _scrape(self, world: World, tally: Tally, rows: Integers, now_s: float) -> _Scrape:
        kinds = np.zeros(len(self._variants), dtype=SEEN)
        self._count.scrape(world, tally, kinds, rows)
        desk = world.desk[0]
        made = _Scrape(
            seen_s=now_s,
            window_s=max(now_s - self._last_s, 1e-9),
            kinds=kinds,
            arrived=int(desk["window_arrived"]),
            shed=int(desk["window_shed"]),
            held=int(desk["waiting"]),
            ttft=_times(tally.ttft, float(desk["ttft_s"])),
            itl=Latencies(
                counts=tally.gaps.copy(),
                least_s=LEAST_GAP_S,
                step=GAP_STEP,
                total_s=float(tally.gaps @ GAP_BINS_S),
            ),
            tpot=_times(tally.tpot, float(desk["tpot_s"])),
        )
        for name in ("window_arrived", "window_shed", "ttft_s", "tpot_s"):
            desk[name] = 0
        for table in (tally.ttft, tally.tpot, tally.gaps):
            table.fill(0)
        self._last_s = now_s
        if self._silent_ratio and len(rows):
            # Rows are in order of start: which replica is silent does not depend on where it lies.
            world.hosts["silent"][rows] = self._noise.random_raw(len(rows)) / DRAWS < self._silent_ratio
        return made


def _nothing(kinds: int) -> _Scrape:
    none = _times(np.zeros(TTFTS, dtype=np.int64), 0.0)
    itl = Latencies(counts=np.zeros(GAPS, dtype=np.int64), least_s=LEAST_GAP_S, step=GAP_STEP, total_s=0.0)
    return _Scrape(
        seen_s=-1.0,
        window_s=1.0,
        kinds=np.zeros(kinds, dtype=SEEN),
        arrived=0,
        shed=0,
        held=0,
        ttft=none,
        itl=itl,
        tpot=none,
    )


def _times(counts: Integers, total_s: float) -> Latencies:
    return Latencies(counts=counts.copy(), least_s=LEAST_TTFT_S, step=TTFT_STEP, total_s=total_s)


def _variant(
    variant: FleetVariant,
    row: tuple[float, ...],
    counts: tuple[int, int, int],
    wanted: int,
    window_s: float,
) -> VariantSeen:
    seen = dict(zip(SEEN.names or (), row, strict=True))
    reporting = int(seen["reporting"])
    return VariantSeen(
        key=variant.key,
        wanted=wanted,
        ready=counts[0],
        starting=counts[1],
        draining=counts[2],
        quota=variant.quota,
        price_usd_per_s=variant.price_usd_per_s,
        max_num_seqs=variant.max_num_seqs,
        kv_tokens=variant.kv_tokens,
        reporting=reporting,
        running=int(seen["running"]),
        waiting=int(seen["waiting"]),
        kv_used_ratio=float(seen["held_ratio"]) / max(reporting, 1),
        arrived=int(seen["arrived"]),
        finished=int(seen["finished"]),
        prefilled_tokens=int(seen["prefilled"]),
        generated_tokens=int(seen["generated"]),
        finished_input_tokens=int(seen["finished_input"]),
        finished_output_tokens=int(seen["finished_output"]),
        preempted=int(seen["preempted"]),
        busy_ratio=min(1.0, float(seen["busy_s"]) / (window_s * max(reporting, 1))),
    )
