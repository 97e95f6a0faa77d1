"""Pools that share a FleetPolicy are planned together: remembers what each last asked for and gives each its part.

Level-triggered: every pass of a pool brings its load, and the fleet is planned anew when anything of it has changed. A
pool grows only into what others have let go, and what runs of a pool that nobody could plan yet is left alone.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from poolwright.controller.cluster.pod_state import Manifest, PoolRef, counts
from poolwright.controller.objects import labels
from poolwright.planner.allotment import Allotment
from poolwright.planner.candidates import Same, option_key, workload_of
from poolwright.planner.fleet.plan import FleetChoice, FleetPlan, allotted, plan_fleet
from poolwright.planner.fleet.request import FleetLimits, FleetRequest, Supply
from poolwright.planner.outcome import Plan
from poolwright.planner.reason import Reason
from poolwright.planner.snapshot import Inventory, Missing, Variant, VariantState
from poolwright.planner.verify import rates_of

REST_RATIO: Final = 5.0
"""Rest between two plans of a fleet over the time that one took [ratio]: at most a sixth of one core."""

Held = Callable[[PoolRef], tuple[Sequence[Manifest], Sequence[Manifest]]]
"""Deployments and pods of a pool, as last seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Governed:
    """What a pass needs to know of its fleet.

    Attributes
    ----------
    name
        The policy's name.
    limits
        What its pools share.
    pools
        Every pool that it governs, this one included.
    """

    name: str
    limits: FleetLimits
    pools: tuple[PoolRef, ...]


@dataclass(slots=True, kw_only=True)
class _Fleet:
    """One fleet's last plan, what it was made from, and when the next may be."""

    lock: asyncio.Lock
    digest: object = None
    plan: FleetPlan | None = None
    bounds: Mapping[str, int]
    next_s: float = 0.0


class Fleets:
    """The memory of every fleet."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = monotonic_s
        self._requests: dict[PoolRef, FleetRequest] = {}
        self._fleets: dict[str, _Fleet] = {}

    def forget(self, pool: PoolRef) -> None:
        """Drop what a pool asked for: it is gone, or does not take part."""
        self._requests.pop(pool, None)

    async def allotment(
        self, pool: PoolRef, request: FleetRequest, governed: Governed, inventory: Inventory | Missing, held: Held
    ) -> tuple[Allotment, bool]:
        """Return what a fleet leaves to a pool that asks for something, and whether anybody's part has changed."""
        self._requests[pool] = request
        fleet = self._fleets.setdefault(governed.name, _Fleet(lock=asyncio.Lock(), bounds={}))
        running = {each: _running(held(each)[0]) for each in governed.pools}
        planned = [each for each in governed.pools if each in self._requests]
        unplanned = sum((running[each] for each in governed.pools if each not in self._requests), Counter[str]())
        bounds = _bounds(governed, request, inventory, [held(each) for each in governed.pools if each != pool])
        asked = [self._requests[each] for each in planned]
        digest = governed.limits, tuple(bounds.items()), tuple(unplanned.items()), tuple(map(_digest, asked))
        before = fleet.plan
        async with fleet.lock:
            if fleet.plan is None or (digest != fleet.digest and self._now_s() >= fleet.next_s):
                begun_s = self._now_s()
                limits = _within(governed.limits, bounds, unplanned)
                # In a thread: a large fleet takes seconds, and leases and probes must not wait.
                fleet.plan = await asyncio.to_thread(plan_fleet, asked, limits, may_mix=False)
                fleet.digest, fleet.bounds = digest, bounds
                fleet.next_s = self._now_s() + REST_RATIO * (self._now_s() - begun_s)
            made = fleet.plan
        others = [(_name(each), running[each]) for each in governed.pools if each != pool]
        has_changed = made is not before and (before is None or _parts(before) != _parts(made))
        return _share(made, request, running[pool], others, bounds, governed.limits), has_changed


def _parts(plan: FleetPlan) -> list[tuple[str, str, str]]:
    return sorted((each.pool, each.tier, each.column.name) for each in plan.choices)


def _name(pool: PoolRef) -> str:
    return f"{pool.namespace}/{pool.name}"


def _running(deployments: Iterable[Manifest]) -> Counter[str]:
    """Return the accelerators that Deployments ask for, by name."""
    total: Counter[str] = Counter()
    for each in deployments:
        described = labels.variant_of(each) if counts(each) else None
        if described is not None:
            replicas = max(int(each.get("spec", {}).get("replicas") or 0), 0)
            total[described.variant.accelerator] += replicas * described.variant.accelerators
    return total


def _bounds(
    governed: Governed,
    request: FleetRequest,
    inventory: Inventory | Missing,
    others: Sequence[tuple[Sequence[Manifest], Sequence[Manifest]]],
) -> dict[str, int]:
    """Return the most accelerators of each name for the fleet: its quota, and what nodes have for its pools."""
    names = {option.accelerator.name for option in request.options} | {
        each.accelerator for each in governed.limits.supplies
    }
    found: dict[str, int] = {}
    for name in sorted(names):
        quota = governed.limits.supply(name).quota
        bounded = [] if quota is None else [quota]
        if not isinstance(inventory, Missing) and name not in inventory.provisionable:
            bounded.append(_nodes_have(name, request.running, inventory, others))
        if bounded:
            found[name] = min(bounded)
    return found


def _nodes_have(
    name: str,
    own: Sequence[VariantState],
    inventory: Inventory,
    others: Sequence[tuple[Sequence[Manifest], Sequence[Manifest]]],
) -> int:
    """Return accelerators that are free or that the fleet's pods are on; what was asked for already stays asked for."""
    states = [each for each in own if each.variant.accelerator == name]
    mine = sum(max(each.ready + each.starting - each.unschedulable, 0) * each.variant.accelerators for each in states)
    asked = sum(each.wanted * each.variant.accelerators for each in states)
    placed = 0
    for deployments, pods in others:
        sizes = {
            labels.labels_of(each).get(labels.VARIANT, ""): described.variant.accelerators
            for each in deployments
            if (described := labels.variant_of(each)) and described.variant.accelerator == name
        }
        placed += sum(
            sizes.get(labels.labels_of(pod).get(labels.VARIANT, ""), 0)
            for pod in pods
            if counts(pod) and pod.get("spec", {}).get("nodeName")
        )
    return max(dict(inventory.free).get(name, 0) + mine, asked) + placed


def _within(limits: FleetLimits, bounds: Mapping[str, int], unplanned: Mapping[str, int]) -> FleetLimits:
    """Return limits with what nodes have, less what pools hold that nobody could plan yet."""
    named = {each.accelerator: each for each in limits.supplies}
    supplies = [
        replace(named.get(name, Supply(accelerator=name)), quota=max(bound - unplanned.get(name, 0), 0))
        for name, bound in bounds.items()
    ]
    rest = [each for each in limits.supplies if each.accelerator not in bounds]
    return replace(limits, supplies=(*supplies, *rest))


def _digest(request: FleetRequest) -> object:
    """Return what a fleet's plan depends on of a pool: loads in bins of 1 %, what runs, what is open."""
    policy = request.policy
    return (
        request.name,
        policy.tiers,
        policy.scaling,
        policy.budget,
        policy.max_accelerators,
        policy.prices_usd_per_s,
        request.utility,
        request.spot_ratio,
        tuple((rates_of(each), Same(workload_of(each)), each.may_lower) for each in request.loads),
        tuple((each.variant, each.wanted) for each in request.running),
        tuple((each.accelerator.name, option_key(each)) for each in request.options),
    )


def _share(
    made: FleetPlan,
    request: FleetRequest,
    own: Mapping[str, int],
    others: Sequence[tuple[str, Mapping[str, int]]],
    bounds: Mapping[str, int],
    limits: FleetLimits,
) -> Allotment:
    """Return a pool's part of a fleet's plan: never more than others have let go of, and what it has until it moves."""
    mine = dict(allotted(made, request.name))
    choices = [each for each in made.choices if each.pool == request.name]
    if not choices:
        # The last plan is from before it asked: it keeps what it has until the next.
        return Allotment(accelerators=tuple((name, own.get(name, 0)) for name in bounds))
    is_moving = any(_is_moving(each, request.running) for each in choices)
    given = {name: dict(allotted(made, name)) for name, _ in others}
    accelerators = []
    for name, bound in bounds.items():
        target = mine.get(name, 0)
        taken = sum(max(running.get(name, 0), given[other].get(name, 0)) for other, running in others)
        has = own.get(name, 0)
        grown = max(min(target, bound - taken), min(target, has))
        accelerators.append((name, max(grown, has) if is_moving else grown))
    return Allotment(
        accelerators=tuple(accelerators),
        chosen=tuple(sorted(mine)),
        usd_per_s=_part(
            limits.budget.usd_per_s, made.usd_per_s, [each.column.usd_per_s or 0.0 for each in choices], made
        ),
        watts=_part(limits.budget.watts, made.power_w, [each.column.power_w for each in choices], made),
        told=tuple((each.tier, each.why.detail) for each in choices if each.why.reason is Reason.FLEET),
    )


def _part(bound: float | None, used: float, own: Sequence[float], made: FleetPlan) -> float | None:
    """Return a pool's part of a budget: what its plan takes and an even part of what all plans leave."""
    if bound is None:
        return None
    pools = len({each.pool for each in made.choices})
    return sum(own) + max(bound - used, 0.0) / max(pools, 1)


def _is_moving(choice: FleetChoice, running: Sequence[VariantState]) -> bool:
    """Return whether a tier's new variant is not ready yet while another still serves."""
    ready = {each.variant: each.ready for each in running}
    waits = any(ready.get(part.variant, 0) < part.replicas for part in choice.column.parts)
    chosen = {part.variant for part in choice.column.parts}
    return waits and any(
        each.variant.tier == choice.tier and each.variant not in chosen and each.wanted > 0 for each in running
    )


def judged(plan: Plan | None) -> tuple[tuple[Variant, float, int], ...]:
    """Return what the last plan of a pool asked for of each tier's variant, and at which rate."""
    if plan is None:
        return ()
    return tuple(
        (tier.variants[0].variant, tier.load.rate_per_s, tier.wanted_replicas)
        for tier in plan.tiers
        if tier.variants and tier.wanted_replicas > 0 and len(tier.load.rates_per_s) == 1
    )
