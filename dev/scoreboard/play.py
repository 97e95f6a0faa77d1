"""One replay of a case under a policy, as figures of its tuned part, the rest, and all; kept on disk."""

import json
import os
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from poolwright.replay.bound import Bound, Clairvoyant, bound_of, demand_of
from poolwright.replay.fleet import FleetRules
from poolwright.replay.fleet_minutes import Recorded
from poolwright.replay.fleet_replay import Replayed, replay
from poolwright.replay.fleet_variant import FleetVariant
from poolwright.replay.policies import Policy, policy_of
from poolwright.replay.policies.sizing import Sizing
from poolwright.replay.policies.static import Static
from poolwright.replay.source import Source
from poolwright.replay.source_files import find_source
from poolwright.units import JOULES_PER_KWH, SECONDS_PER_HOUR
from scoreboard.cases import COLD_START_S, Case, variants_of
from scoreboard.knobs import SURGE, Settings, label

FOLDER: Final = Path(os.environ.get("POOLWRIGHT_SCOREBOARD", "build/scoreboard"))
"""Where rows are kept, so that a scoreboard can be continued."""
STATIC, CLAIRVOYANT = "static", "clairvoyant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Figures of a part of a replay."""

    gpu_hours: float
    usd: float
    kwh: float
    violating_ratio: float
    attainment_ratio: float
    bound_gpu_hours: float
    bound_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One replay: who with what, figures of the part that is tuned on, the rest and all, changes and seconds."""

    case: str
    policy: str
    settings: dict[str, float]
    tuned: Part
    rest: Part
    whole: Part
    started: int
    changes: int
    requests: int
    seconds: float

    @property
    def label(self) -> str:
        """Return the settings as text."""
        return label(self.settings)


def row_of(case: Case, policy: str, settings: Settings) -> Row:
    """Return a replay's figures, from disk where they are there."""
    path = FOLDER / f"{case.name}--{policy}--{label(settings).replace(', ', '_')}.json"
    if path.exists():
        return loaded(path)
    began_s = time.perf_counter()
    made = played(case, policy, settings)
    source, variants, bound = world_of(case)
    del source
    recorded, split = made.recorded, int(case.tuned_s / 60.0)
    row = Row(
        case=case.name,
        policy=policy,
        settings=dict(settings),
        tuned=_part(recorded, variants, bound, slice(0, split)),
        rest=_part(recorded, variants, bound, slice(split, None)),
        whole=_part(recorded, variants, bound, slice(0, None)),
        started=made.started,
        changes=made.changes,
        requests=made.totals.arrived,
        seconds=round(time.perf_counter() - began_s, 1),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(row), indent=1))
    return row


def loaded(path: Path) -> Row:
    """Return a row from disk."""
    read: dict[str, Any] = json.loads(path.read_text())
    return Row(**{**read, **{name: Part(**read[name]) for name in ("tuned", "rest", "whole")}})


def played(case: Case, policy: str, settings: Settings) -> Replayed:
    """Replay a case; every policy begins with what the first minute needs."""
    source, variants, bound = world_of(case)
    initial = {each.key: int(count) for each, count in zip(variants, bound.counts[0], strict=True)}
    if policy == STATIC:
        initial = {each.key: int(count) for each, count in zip(variants, _peak(bound), strict=True)}
    return replay(
        variants,
        FleetRules(tiers=(case.objectives,)),
        source.blocks(),
        _policy(case, policy, settings),
        initial=initial,
        until_s=case.until_s,
    )


def _policy(case: Case, name: str, settings: Settings) -> Policy:
    _, variants, bound = world_of(case)
    keys = tuple(each.key for each in variants)
    if name == STATIC:
        return Static({key: int(count) for key, count in zip(keys, _peak(bound), strict=True)})
    if name == CLAIRVOYANT:
        return Clairvoyant(keys, bound, COLD_START_S + FleetRules().period_s)
    most = round(SURGE * bound.counts.sum(axis=1).max())
    return policy_of(name, variants, case.objectives, {"max_replicas": most, **settings})


def _peak(bound: Bound) -> Any:
    return bound.counts[int(np.argmax(bound.counts.sum(axis=1)))]


@lru_cache(maxsize=2)
def world_of(case: Case) -> tuple[Source, tuple[FleetVariant, ...], Bound]:
    """Return a case's requests, kinds of replicas and bound."""
    traces = os.environ.get("POOLWRIGHT_TRACES")
    source = find_source(case.trace, Path(traces) if traces else None, factor=case.factor)
    variants = variants_of(case, source.longest_tokens)
    demand = demand_of(source, until_s=case.until_s)
    return source, variants, bound_of(demand, variants, [Sizing.of(each, case.objectives) for each in variants])


def _part(recorded: Recorded, variants: tuple[FleetVariant, ...], bound: Bound, minutes: slice) -> Part:
    """Return figures of some minutes; GPU-hours by the mean accelerators of a replica where kinds differ."""
    accelerators = np.array([each.config.accelerators if each.config else 1 for each in variants])
    prices = np.array([each.price_usd_per_s for each in variants])
    counts = bound.counts[minutes]
    spent, arrived = recorded.spent[minutes], recorded.minutes["arrived"][minutes].sum()
    return Part(
        gpu_hours=float(spent["replica_s"].sum() * accelerators.mean() / SECONDS_PER_HOUR),
        usd=float(spent["usd"].sum()),
        kwh=float(spent["joules"].sum() / JOULES_PER_KWH),
        violating_ratio=float(recorded.violates[minutes].any(axis=1).mean()),
        attainment_ratio=1.0 - float(recorded.late[minutes].sum() / max(arrived, 1)),
        bound_gpu_hours=float((counts @ accelerators).sum() * bound.window_s / SECONDS_PER_HOUR),
        bound_usd=float((counts @ prices).sum() * bound.window_s),
    )
