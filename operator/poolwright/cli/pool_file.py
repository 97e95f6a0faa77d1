"""Read a pool, and the policy and profiles beside it, from YAML files: what planning needs without a cluster."""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

import click
import yaml

from poolwright.api.accelerator_profile import AcceleratorProfile
from poolwright.api.fleet_policy import FleetPolicy
from poolwright.api.inference_pool import InferencePool
from poolwright.api.translate import SpecError, accelerator, parsed, pool_policy
from poolwright.hardware.catalogue import Catalogue, load_catalogue
from poolwright.planner.outcome import Plan
from poolwright.planner.plan import plan
from poolwright.planner.policy import PoolPolicy
from poolwright.planner.snapshot import History, Inventory, Snapshot
from poolwright.units import SECONDS_PER_MINUTE

BAD_INPUT: Final = 2
"""Exit code for input that the user must edit."""
DEFAULT_VENDOR: Final = "nvidia"
"""Without a menu and without a cluster, this vendor's accelerators are compared: the ones all engines run on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFile:
    """A pool with its translated policy and the catalogue that it is planned with."""

    pool: InferencePool
    policy: PoolPolicy
    catalogue: Catalogue


def read_pool(path: str) -> PoolFile:
    """Return the pool in a file (``-`` is standard input); ends the command with code 2 and the field's name."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
    except OSError as error:
        refuse(f"{path}: {error.strerror}")
    try:
        documents = [each for each in yaml.safe_load_all(text) if each]
    except yaml.YAMLError as error:
        refuse(f"{path} is not YAML: {error}")
    try:
        return _pool_file(path, documents)
    except SpecError as error:
        refuse(f"{path}: {error}")


def _pool_file(path: str, documents: Iterable[Any]) -> PoolFile:
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for each in documents:
        if not isinstance(each, Mapping):
            raise SpecError("document", each, "must be a mapping with apiVersion and kind")
        by_kind.setdefault(str(each.get("kind")), []).append(each)
    pools = by_kind.get("InferencePool", [])
    if len(pools) != 1:
        raise SpecError("kind InferencePool", len(pools), f"there must be exactly one in {path}")
    catalogue = load_catalogue()
    profiles = [accelerator(parsed(AcceleratorProfile, each)) for each in by_kind.get("AcceleratorProfile", [])]
    if profiles:
        catalogue = catalogue.with_accelerators(profiles)
    fleets = by_kind.get("FleetPolicy", [])
    pool = parsed(InferencePool, pools[0])
    fleet = parsed(FleetPolicy, fleets[0]) if fleets else None
    return PoolFile(pool=pool, policy=pool_policy(pool, fleet, catalogue), catalogue=catalogue)


def planned(file: PoolFile, rate_per_s: float | None, inventory: str | None) -> Plan:
    """Return the plan of a file's pool for a stated rate, on a stated or assumed inventory."""
    policy, snapshot = stated(file, rate_per_s, inventory)
    return plan(policy, snapshot, History(), file.catalogue, 0.0)


def stated(file: PoolFile, rate_per_s: float | None, inventory: str | None) -> tuple[PoolPolicy, Snapshot]:
    """Return the policy with its demand stated, and the world that options and files describe."""
    if rate_per_s is not None and not math.isfinite(rate_per_s):
        refuse(f"--rate is {rate_per_s}, must be a number of requests per second")
    counts = _inventory(inventory, file)
    return _stated(file, rate_per_s), Snapshot(inventory=counts)


def _stated(file: PoolFile, rate_per_s: float | None) -> PoolPolicy:
    """Return the policy with the demand stated: the given rate, else the spec's, else that of its status."""
    policy = file.policy
    if rate_per_s is None and all(tier.static_rate_per_s is not None for tier in policy.tiers):
        return policy
    planned_for = {each.name: each.planned_requests_per_minute / SECONDS_PER_MINUTE for each in file.pool.status.tiers}
    if rate_per_s is None and not planned_for:
        refuse("--rate is missing, and neither spec.demand.requestsPerMinute nor a status says what the load is")
    share = None if rate_per_s is None else rate_per_s / len(policy.tiers)
    tiers = tuple(
        replace(tier, static_rate_per_s=planned_for.get(tier.name, 0.0) if share is None else share)
        for tier in policy.tiers
    )
    return replace(policy, tiers=tiers)


def _inventory(text: str | None, file: PoolFile) -> Inventory:
    """Return accelerators by name from ``h100-sxm=8,l40s=16``; without text as many as wanted of the menu."""
    if text is None:
        named = [each.name for each in file.policy.accelerators]
        usual = [each.name for each in file.catalogue.accelerators.values() if each.vendor == DEFAULT_VENDOR]
        return Inventory(provisionable=tuple(named or usual))
    counts: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if not number.isdecimal():
            refuse(f"--inventory is {part!r}, must be NAME=COUNT, such as h100-sxm=8")
        try:
            counts[file.catalogue.accelerator(name.strip()).name] = int(number)
        except ValueError as error:
            refuse(f"--inventory: {error}")
    return Inventory(total=tuple(counts.items()), free=tuple(counts.items()))


def refuse(message: str) -> NoReturn:
    """End the command because of its input."""
    click.echo(f"error: {message}", err=True)
    sys.exit(BAD_INPUT)
