"""One pass over one pool: parse, observe, plan, apply, report. Level-triggered: only what is the case now counts.

Errors that the user must mend become a condition; everything else is raised, and the caller tries again.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from poolwright.api.inference_pool import InferencePool
from poolwright.api.pool_spec import DemandSource
from poolwright.api.pool_status import InferencePoolStatus
from poolwright.api.reasons import ControllerReason
from poolwright.api.translate import SpecError, parsed, pool_policy
from poolwright.controller.apply import Applied, apply
from poolwright.controller.cluster.facts import Facts
from poolwright.controller.cluster.kube import INFERENCE_POOLS, ForbiddenError
from poolwright.controller.cluster.pod_state import Manifest, PoolRef
from poolwright.controller.cluster.view import PoolView
from poolwright.controller.fleet_pass import allotment_of
from poolwright.controller.objects.manifests import manifests
from poolwright.controller.objects.workload import ManifestError
from poolwright.controller.observe import observe
from poolwright.controller.report import report
from poolwright.controller.reporting.conditions import paused, refused
from poolwright.controller.reporting.status import status_of, status_with
from poolwright.controller.runtime import Memory, Runtime, Settled
from poolwright.hardware.catalogue import UnknownAcceleratorError
from poolwright.planner.judge import simulated
from poolwright.planner.outcome import Plan
from poolwright.planner.plan import plan
from poolwright.planner.policy import Mode, PoolPolicy
from poolwright.planner.snapshot import Known, Missing, MissingReason, Snapshot
from poolwright.planner.verify import closed_form

VERIFY_S: Final = 60.0
"""[wall s] Time after which objects that nobody seems to have changed are looked at all the same."""

log = logging.getLogger(__name__)


async def reconcile(key: PoolRef, run: Runtime) -> None:
    """Bring one pool closer to what its spec wants.

    Raises
    ------
    KubeError, NotLeaderError
        Something did not work this time.
    """
    document = run.mirror.pool(key)
    if document is None or document["metadata"].get("deletionTimestamp"):
        run.forget(key)
        return
    pool = _parsed(document)
    now = run.clock.wall()
    try:
        if isinstance(pool, SpecError):
            raise pool
        if pool.spec.mode is Mode.PAUSED:
            run.fleets.forget(key)
            status = status_with(pool, paused(), now)
        else:
            status = await _planned(key, pool, run)
    except (SpecError, ManifestError, UnknownAcceleratorError) as error:
        status, pool = _refused(pool, document, ControllerReason.INVALID_SPEC, error, run)
    except ForbiddenError as error:
        status, pool = _refused(pool, document, ControllerReason.FORBIDDEN, error, run)
    written = await report(run.kube, pool, status, run.settings.identity, now)
    if written is not None:
        # The next pass may come before the watch has shown this, and would tell it again.
        run.mirror.put(INFERENCE_POOLS, written)


async def _planned(key: PoolRef, pool: InferencePool, run: Runtime) -> InferencePoolStatus:
    """Observe, plan and, in mode Auto, apply; return the new status."""
    facts, namespace_labels = await asyncio.gather(run.facts.current(), run.facts.namespace_labels(key.namespace))
    memory = run.memories.setdefault(key, Memory())
    policy = _policy(pool, facts, namespace_labels, memory)
    view = run.mirror.view(key, facts.nodes)
    snapshot = await observe(pool, view, run.metrics, run.clock, facts.catalogue)
    snapshot = await _with_demand(pool, snapshot, run)
    share = await allotment_of(key, policy, snapshot, facts, namespace_labels, memory, run)
    # Simulating can take a second: meanwhile the lease is renewed and others are served.
    judge = simulated if run.settings.simulation_enabled else closed_form
    made = await asyncio.to_thread(
        plan, policy, snapshot, memory.history, facts.catalogue, run.clock.now_s(), allotment=share, judge=judge
    )
    applied = Applied()
    if policy.mode is Mode.AUTO:
        applied = await _applied(manifests(pool, made, facts.catalogue, run.options), view, memory, run)
    memory.history, memory.plan = made.history, made
    _tell(key, pool, made, snapshot, run)
    return status_of(pool, made, snapshot, applied.conflicts, run.clock.wall(), facts.broken)


async def _applied(wanted: Sequence[Manifest], view: PoolView, memory: Memory, run: Runtime) -> Applied:
    """Apply, unless the same was found in place a moment ago and no Deployment has changed since.

    Reading three kinds of every pool in every cycle would be most of the API server's load; whoever edits a Service by
    hand is corrected within ``VERIFY_S``.
    """
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    deployments = tuple(
        (each["metadata"]["name"], str(each["metadata"].get("generation"))) for each in view.deployments
    )
    now_s, last = time.monotonic(), memory.applied
    if last is not None and (last.digest, last.deployments) == (digest, deployments) and now_s - last.at_s < VERIFY_S:
        return Applied()
    applied = await apply(run.kube, wanted, view)
    is_settled = applied == Applied()
    memory.applied = Settled(digest=digest, deployments=deployments, at_s=now_s) if is_settled else None
    return applied


def _parsed(document: Manifest) -> InferencePool | SpecError:
    try:
        return parsed(InferencePool, document)
    except SpecError as error:
        if not error.field.startswith("status"):
            return error
    # A status that another version wrote is written anew.
    return parsed(InferencePool, {**document, "status": {}})


def _refused(
    pool: InferencePool | SpecError, document: Manifest, reason: ControllerReason, error: Exception, run: Runtime
) -> tuple[InferencePoolStatus, InferencePool]:
    """Return a status that says what to mend; an unreadable spec is replaced by one that only carries identity."""
    run.fleets.forget(PoolRef(namespace=document["metadata"]["namespace"], name=document["metadata"]["name"]))
    log.warning("pool refused", extra={"pool": document["metadata"]["name"], "reason": reason, "error": str(error)})
    shown = pool if isinstance(pool, InferencePool) else _identity(document)
    return status_with(shown, refused(reason, str(error)), run.clock.wall()), shown


def _identity(document: Manifest) -> InferencePool:
    """Return a pool with the document's identity and status, and any spec: only its status is going to be written."""
    stand_in = {
        "model": {"name": "unread"},
        "tiers": [{"name": "unread", "objectives": {"ttftMilliseconds": 1}}],
    }
    status = document.get("status") or {}
    try:
        return parsed(InferencePool, {**document, "spec": stand_in, "status": status})
    except SpecError:
        return parsed(InferencePool, {**document, "spec": stand_in, "status": {}})


def _policy(pool: InferencePool, facts: Facts, namespace_labels: object, memory: Memory) -> PoolPolicy:
    """Return the translated spec, the same object while nothing it depends on changes: planning remembers by it."""
    version = (pool.metadata.uid, pool.metadata.generation, facts.version, str(namespace_labels))
    if memory.policy is None or memory.policy_version != version:
        labels = namespace_labels if isinstance(namespace_labels, dict) else {}
        memory.policy = pool_policy(pool, facts.policy_for(labels), facts.catalogue)
        memory.policy_version = version
    return memory.policy


async def _with_demand(pool: InferencePool, snapshot: Snapshot, run: Runtime) -> Snapshot:
    """Return the snapshot with arrivals from the user's query where the spec names one, shared by the tiers."""
    demand = pool.spec.demand
    if demand.source is not DemandSource.PROMETHEUS or demand.query is None:
        return snapshot
    if run.prometheus is None:
        detail = "spec.demand.source is Prometheus, and the operator has no prometheus.url"
        signal: Known | Missing = Missing(reason=MissingReason.UNREACHABLE, detail=detail)
    else:
        signal = await run.prometheus.demand_per_s(demand.query)
    if isinstance(signal, Known):
        signal = Known(value=signal.value / len(snapshot.tiers), age_s=signal.age_s)
    tiers = tuple((name, replace(signals, arrivals_per_s=signal)) for name, signals in snapshot.tiers)
    return replace(snapshot, tiers=tiers)


def _tell(key: PoolRef, pool: InferencePool, made: Plan, snapshot: Snapshot, run: Runtime) -> None:
    """Show the plan in metrics, and log and count it where it differs from the last one."""
    run.telemetry.show(key, made, snapshot)
    before = {each.name: each.reason for each in pool.status.tiers}
    wanted = {each.name: each.replicas for each in pool.status.plan}
    now = {each.variant.key: each.replicas for each in made.variants}
    for tier in made.tiers:
        if before.get(tier.tier) != tier.reason or wanted != now:
            run.telemetry.decisions.labels(tier.reason).inc()
            log.info(
                "decision",
                extra={
                    "namespace": key.namespace,
                    "pool": key.name,
                    "tier": tier.tier,
                    "reason": tier.reason,
                    "detail": tier.detail,
                    "replicas": now,
                    "rate_per_s": round(tier.load.rate_per_s, 3),
                },
            )
