"""From objects to the snapshot: which replicas count, how old they are, and how long a start takes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from poolwright.api.inference_pool import InferencePool
from poolwright.controller.clock import Clock
from poolwright.controller.cluster.pod_state import PodState, PoolRef, pod_state, time_of
from poolwright.controller.cluster.view import PoolView
from poolwright.controller.objects import labels
from poolwright.controller.observe import cold_start_s, observe
from poolwright.controller.signals.metrics_adapter import all_missing
from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.snapshot import (
    Inventory,
    Known,
    Missing,
    MissingReason,
    Snapshot,
    TierSignals,
    Variant,
    VariantState,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VARIANT = Variant(tier="interactive", accelerator="l4", weight_format="bf16", kv_format="bf16", tensor_parallel=2)
SILENT = all_missing(Missing(reason=MissingReason.NO_REPLICAS))
POOL = InferencePool.model_validate(
    {
        "metadata": {"name": "chat", "namespace": "team-a", "uid": "1"},
        "spec": {
            "model": {"name": "meta-llama/Llama-3.1-8B"},
            "tiers": [{"name": "interactive", "objectives": {"ttftMilliseconds": 500, "percentile": 90}}],
        },
    }
)


class StoppedClock(Clock):
    """Noon, for ever, in a world of a given speed."""

    def wall(self) -> datetime:
        return NOW


class Asked:
    """A source without signals that remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[PoolRef, str, tuple[str, ...], float]] = []

    async def tier_signals(
        self, pool: PoolRef, tier: str, pods: tuple[PodState, ...], percentile_ratio: float
    ) -> TierSignals:
        self.calls.append((pool, tier, tuple(pod.name for pod in pods), percentile_ratio))
        return SILENT


def stamp(ago_s: float) -> str:
    return (NOW - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def deployment(replicas: int = 3, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "chat-interactive-l4",
            "labels": {**labels.tier_selector("chat", "interactive"), labels.VARIANT: VARIANT.key},
            "annotations": labels.variant_annotations(
                labels.Described(variant=VARIANT, max_num_seqs=64, max_num_batched_tokens=4096)
            ),
            "creationTimestamp": stamp(90.0),
            **metadata,
        },
        "spec": {"replicas": replicas},
    }


def pod(name: str, *, node: str = "n", phase: str = "Running", ready: str = "True", **metadata: Any) -> dict[str, Any]:
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": stamp(10.0)}]
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "namespace": "team-a",
            "labels": {**labels.tier_selector("chat", "interactive"), labels.VARIANT: VARIANT.key},
            "creationTimestamp": stamp(70.0),
            **metadata,
        },
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": phase, "conditions": conditions if node else [unschedulable]},
    }


async def seen(view: PoolView, source: Asked | None = None, speed: float = 1.0) -> Snapshot:
    return await observe(POOL, view, source or Asked(), StoppedClock(speed), load_catalogue())


async def test_replicas_are_counted_by_what_they_do() -> None:
    pods = [
        pod("serves"),
        pod("loads", ready="False"),
        pod("waits", node="", phase="Pending"),
        pod("failed", phase="Failed"),
        pod("leaves", deletionTimestamp=stamp(1.0)),
    ]
    snapshot = await seen(PoolView(deployments=[deployment()], pods=pods, nodes=[]))
    expected = VariantState(
        variant=VARIANT,
        wanted=3,
        ready=1,
        starting=2,
        unschedulable=1,
        max_num_seqs=64,
        max_num_batched_tokens=4096,
        age_s=90.0,
    )
    assert (expected,) == snapshot.variants


async def test_the_source_is_asked_for_each_tier_at_its_percentile_about_pods_that_count() -> None:
    source = Asked()
    await seen(PoolView(deployments=[], pods=[pod("a"), pod("gone", deletionTimestamp=stamp(1.0))], nodes=[]), source)
    assert [(PoolRef(namespace="team-a", name="chat"), "interactive", ("a",), 0.9)] == source.calls


async def test_nodes_that_cannot_be_read_are_missing_and_not_none() -> None:
    unreadable = Missing(reason=MissingReason.UNREACHABLE, detail="nodes may not be listed")
    assert unreadable == (await seen(PoolView(deployments=[], pods=[], nodes=unreadable))).inventory


async def test_a_pod_that_waits_for_a_node_has_its_accelerators_spoken_for() -> None:
    node = {
        "metadata": {"name": "n", "labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
        "status": {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    waiting = pod("waits", node="", phase="Pending")
    snapshot = await seen(PoolView(deployments=[deployment()], pods=[waiting], nodes=[node]))
    # Eight less the two of the replica that waits.
    assert Inventory(total=(("l4", 8),), free=(("l4", 6),)) == snapshot.inventory


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param({"annotations": {}}, id="without annotations"),
        pytest.param({"annotations": {labels.TENSOR_PARALLEL: "two"}}, id="with one that is no number"),
        pytest.param({"deletionTimestamp": stamp(1.0)}, id="on its way out"),
    ],
)
async def test_a_deployment_that_says_nothing_usable_is_not_counted(edited: dict[str, Any]) -> None:
    snapshot = await seen(PoolView(deployments=[deployment(**edited)], pods=[pod("a")], nodes=[]))
    assert snapshot.variants == ()


async def test_ages_and_starts_are_world_seconds() -> None:
    snapshot = await seen(PoolView(deployments=[deployment()], pods=[pod("a")], nodes=[]), speed=10.0)
    # Created 90 s ago on the wall is 900 s ago in the world; a start took 70 - 10 = 60 s on the wall.
    assert snapshot.variants[0].age_s == pytest.approx(900.0)
    assert Known(value=600.0) == snapshot.cold_start_s


def test_the_cold_start_is_the_median_of_believable_starts() -> None:
    starts = {"a": 100.0, "b": 200.0, "c": 300.0, "slow": 20_000.0, "odd": -5.0}
    pods = [
        PodState(uid=name, name=name, created=NOW - timedelta(seconds=s), ready_since=NOW) for name, s in starts.items()
    ]
    assert Known(value=200.0) == cold_start_s(pods, StoppedClock())


def test_without_a_start_the_cold_start_is_missing() -> None:
    found = cold_start_s([pod_state(pod("loads", ready="False"))], StoppedClock())
    assert isinstance(found, Missing)
    assert found.reason is MissingReason.NOT_YET


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-03-01T12:00:00", 7])
def test_what_does_not_read_as_a_time_with_its_zone_is_none(text: object) -> None:
    assert time_of(text) is None
