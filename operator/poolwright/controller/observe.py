"""From objects and metrics to the ``Snapshot`` that planning sees: gathers, judges nothing.

Variants are rebuilt from Deployments and pods alone, so a restarted operator knows what it knew. Metrics come through a
``MetricsSource``; what is missing stays missing, with its reason.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from poolwright.api.inference_pool import InferencePool
from poolwright.api.translate_tier import objectives
from poolwright.controller.clock import Clock
from poolwright.controller.cluster.inventory import inventory_of
from poolwright.controller.cluster.pod_state import Manifest, PodState, PoolRef, counts, pod_state, time_of
from poolwright.controller.cluster.view import PoolView
from poolwright.controller.objects import labels
from poolwright.controller.objects.workload import pod_wishes
from poolwright.controller.signals.metrics_adapter import MetricsSource
from poolwright.hardware.catalogue import Catalogue
from poolwright.planner.snapshot import (
    Inventory,
    Known,
    Missing,
    MissingReason,
    Signal,
    Snapshot,
    VariantState,
)

RECENT_STARTS: Final = 10
"""Starts that the cold start is the median of [count]: outvotes one slow node, follows a change."""

MAX_START_S: Final = 14_400.0
"""Longest start believed [s]: four hours; longer is a pod that waited for hardware or lost readiness for a while."""


async def observe(
    pool: InferencePool, view: PoolView, metrics: MetricsSource, clock: Clock, catalogue: Catalogue
) -> Snapshot:
    """Return the world of one pool now.

    Parameters
    ----------
    pool
        The resource: its tiers, their percentiles, where demand is read, what its pods tolerate.
    view
        Its objects.
    metrics
        Where signals come from.
    clock
        Converts wall times to world seconds.
    catalogue
        Names accelerators from node labels.
    """
    reference = PoolRef(namespace=pool.metadata.namespace, name=pool.metadata.name)
    pods = tuple(pod_state(pod) for pod in view.pods if counts(pod))
    found = await asyncio.gather(
        *(
            metrics.tier_signals(reference, tier.name, pods, objectives(tier.objectives).percentile_ratio)
            for tier in pool.spec.tiers
        )
    )
    return Snapshot(
        tiers=tuple((tier.name, signals) for tier, signals in zip(pool.spec.tiers, found, strict=True)),
        variants=variant_states(view.deployments, pods, clock),
        inventory=_inventory(view, pods, catalogue, pod_wishes(pool.spec.pod).tolerations),
        cold_start_s=cold_start_s(pods, clock),
    )


def variant_states(deployments: Iterable[Manifest], pods: Sequence[PodState], clock: Clock) -> tuple[VariantState, ...]:
    """Return what runs of each variant, in the order of their names.

    Pods on their way (pending or loading) are counted as starting; those on their way out are not counted at all.
    """
    by_label: dict[str, list[PodState]] = {}
    for pod in pods:
        by_label.setdefault(pod.variant, []).append(pod)
    states = (_variant_state(each, by_label, clock) for each in deployments if counts(each))
    return tuple(sorted((state for state in states if state), key=lambda state: state.variant.key))


def _variant_state(
    deployment: Manifest, by_label: Mapping[str, Sequence[PodState]], clock: Clock
) -> VariantState | None:
    described = labels.variant_of(deployment)
    if described is None:
        return None
    pods = by_label.get(labels.labels_of(deployment).get(labels.VARIANT, ""), ())
    created = time_of(deployment["metadata"].get("creationTimestamp"))
    return VariantState(
        variant=described.variant,
        wanted=max(int(deployment.get("spec", {}).get("replicas") or 0), 0),
        ready=sum(pod.is_ready for pod in pods),
        starting=sum(not pod.is_ready for pod in pods),
        unschedulable=sum(pod.is_unschedulable for pod in pods),
        max_num_seqs=described.max_num_seqs,
        max_num_batched_tokens=described.max_num_batched_tokens,
        max_queued_requests=described.max_queued_requests,
        weight_bytes=described.weight_bytes,
        age_s=max((clock.wall() - created).total_seconds() * clock.speed, 0.0) if created else 0.0,
    )


def cold_start_s(pods: Iterable[PodState], clock: Clock) -> Signal:
    """Return the median time from creation to readiness of the pods that became ready last [world s]."""
    starts = sorted(
        (pod.ready_since, (pod.ready_since - pod.created).total_seconds() * clock.speed)
        for pod in pods
        if pod.ready_since and pod.created
    )
    believed = [(moment, start_s) for moment, start_s in starts[-RECENT_STARTS:] if 0.0 <= start_s <= MAX_START_S]
    if not believed:
        return Missing(reason=MissingReason.NOT_YET, detail="no pod has become ready yet")
    # A duration that was measured does not go stale with the pods that it was measured on.
    return Known(value=median(start_s for _, start_s in believed))


def _inventory(
    view: PoolView, pods: Iterable[PodState], catalogue: Catalogue, extra: Sequence[Mapping[str, object]]
) -> Inventory | Missing:
    if isinstance(view.nodes, Missing):
        return view.nodes
    accelerators = {
        labels.labels_of(each).get(labels.VARIANT, ""): described.variant
        for each in view.deployments
        if (described := labels.variant_of(each))
    }
    pending: Counter[str] = Counter()
    for pod in pods:
        if not pod.node and pod.variant in accelerators:
            variant = accelerators[pod.variant]
            pending[variant.accelerator] += variant.accelerators
    return inventory_of(view.nodes, (*view.pods, *view.neighbours), catalogue, pending, extra)
