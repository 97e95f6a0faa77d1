"""One replay of a case under a policy, as figures of its tuned part, the rest, and all; kept on disk."""

import json
import os
import time
from dataclasses import asdict, dataclass, fields
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
from poolwright.replay.policies.static import Static
from poolwright.replay.source import Source
from poolwright.replay.source_files import find_source
from poolwright.units import JOULES_PER_KWH, SECONDS_PER_HOUR
from scoreboard.cases import COLD_START_S, Case, variants_of
from scoreboard.knobs import SURGE, Settings, label

FOLDER: Final = Path(os.environ.get("POOLWRIGHT_SCOREBOARD", "build/scoreboard"))
"""Where rows are kept, so that a scoreboard can be continued."""
PARTS: Final = ("tuned", "rest", "whole")
STATIC, CLAIRVOYANT = "static", "clairvoyant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Figures of a part of a replay."""

    gpu_hours: float
    usd: float
    kwh: float
    violating_ratio: float
    attainment_ratio: float


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
    _, variants, _ = world_of(case)
    recorded, split = made.recorded, int(case.tuned_s / 60.0)
    row = Row(
        case=case.name,
        policy=policy,
        settings=dict(settings),
        tuned=_part(recorded, variants, slice(0, split)),
        rest=_part(recorded, variants, slice(split, None)),
        whole=_part(recorded, variants, slice(0, None)),
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
    known = [each.name for each in fields(Part)]
    parts = {name: Part(**{key: read[name][key] for key in known}) for name in PARTS}
    return Row(**{**read, **parts})


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
    return source, variants, bound_of(demand, variants, case.objectives)


def _part(recorded: Recorded, variants: tuple[FleetVariant, ...], minutes: slice) -> Part:
    """Return figures of some minutes; every kind of replica of a case has equally many accelerators."""
    (accelerators,) = {1 if each.config is None else each.config.accelerators for each in variants}
    spent, arrived = recorded.spent[minutes], recorded.minutes["arrived"][minutes].sum()
    return Part(
        gpu_hours=float(spent["replica_s"].sum() * accelerators / SECONDS_PER_HOUR),
        usd=float(spent["usd"].sum()),
        kwh=float(spent["joules"].sum() / JOULES_PER_KWH),
        violating_ratio=float(recorded.violates[minutes].any(axis=1).mean()),
        attainment_ratio=1.0 - float(recorded.late[minutes].sum() / max(arrived, 1)),
    )


def bounds_of(case: Case) -> dict[str, float]:
    """Return the cost of the bound by part [$], from disk where it is there."""
    path = FOLDER / f"{case.name}--bound.json"
    if not path.exists():
        _, variants, bound = world_of(case)
        usd = bound.counts @ np.array([each.price_usd_per_s for each in variants]) * bound.window_s
        split = int(case.tuned_s / bound.window_s)
        found = {"tuned": usd[:split].sum(), "rest": usd[split:].sum(), "whole": usd.sum()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({name: float(value) for name, value in found.items()}))
    read: dict[str, float] = json.loads(path.read_text())
    return read
