"""The fleet's part of a pool's pass: gathers what the pool asks for and who shares with it, and asks ``fleet``."""

import asyncio
from collections.abc import Mapping

from poolwright.api.fleet_policy import FleetPolicy
from poolwright.api.translate import SpecError
from poolwright.api.translate_fleet import fleet_limits, spot_ratio, utility
from poolwright.controller.cluster.facts import Facts
from poolwright.controller.cluster.pod_state import PoolRef
from poolwright.controller.fleet import Governed, judged
from poolwright.controller.runtime import Memory, Runtime
from poolwright.planner.allotment import Allotment
from poolwright.planner.fleet.request import FleetRequest
from poolwright.planner.menu import menu_of, options_of
from poolwright.planner.plan import loads_of
from poolwright.planner.policy import Mode, PoolPolicy
from poolwright.planner.snapshot import Snapshot


async def allotment_of(
    key: PoolRef,
    policy: PoolPolicy,
    snapshot: Snapshot,
    facts: Facts,
    namespace_labels: Mapping[str, str],
    memory: Memory,
    run: Runtime,
) -> Allotment | None:
    """Return what the fleet leaves to a pool; None where its policy shares nothing or it only recommends."""
    fleet = facts.policy_for(namespace_labels)
    limits = None if fleet is None else fleet_limits(fleet)
    if fleet is None or limits is None or policy.mode is not Mode.AUTO:
        run.fleets.forget(key)
        return None
    request = FleetRequest(
        policy=policy,
        loads=loads_of(policy, snapshot, memory.history, run.clock.now_s()),
        options=tuple(options_of(policy, menu_of(policy, snapshot, facts.catalogue))),
        running=snapshot.variants,
        utility=utility(fleet, key.namespace, key.name),
        spot_ratio=spot_ratio(fleet),
        judged=judged(memory.plan),
    )
    governed = Governed(name=fleet.metadata.name, limits=limits, pools=await _governed(fleet, facts, run))
    found, has_changed = await run.fleets.allotment(key, request, governed, snapshot.inventory, run.mirror.owned)
    for other in governed.pools if has_changed else ():
        if other != key:
            run.queue.add(other)
    return found


async def _governed(fleet: FleetPolicy, facts: Facts, run: Runtime) -> tuple[PoolRef, ...]:
    """Return every pool that a policy governs, by name."""
    pools = sorted(run.mirror.pools(), key=lambda each: (each.namespace, each.name))
    namespaces = sorted({each.namespace for each in pools})
    labels = await asyncio.gather(*(run.facts.namespace_labels(each) for each in namespaces))
    own = {name for name, each in zip(namespaces, labels, strict=True) if _governs(fleet, facts, each)}
    return tuple(each for each in pools if each.namespace in own)


def _governs(fleet: FleetPolicy, facts: Facts, labels: Mapping[str, str]) -> bool:
    try:
        found = facts.policy_for(labels)
    except SpecError:
        return False
    return found is not None and found.metadata.name == fleet.metadata.name
