"""What a pool owns, as a real API server, scheduler and garbage collector take it; kwok plays the nodes."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from kubernetes import client

from localcluster.processes import wait_until
from poolwright.api.inference_pool import InferencePool
from poolwright.controller.apply import Applied, apply
from poolwright.controller.cluster.kube import DEPLOYMENTS, ConflictError, Kube
from poolwright.controller.cluster.pod_state import PoolRef
from poolwright.controller.cluster.view import PoolView, gather
from poolwright.controller.objects.manifests import manifests
from poolwright.controller.objects.workload import ManifestOptions
from poolwright.controller.settings import DEFAULT_IMAGES
from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.outcome import Load, Plan, Predicted, TierPlan, VariantPlan
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import History, Variant

pytestmark = pytest.mark.cluster

CATALOGUE = load_catalogue()
OPTIONS = ManifestOptions(images=DEFAULT_IMAGES, operator_namespace="poolwright-system")
PATIENCE_S = 40.0

MakePool = Callable[[str, Mapping[str, object]], InferencePool]
Writes = list[tuple[str, str, int]]

L4 = Variant(tier="interactive", accelerator="l4", weight_format="bf16", kv_format="bf16")
A100 = replace(L4, accelerator="a100-sxm-80gb")
H100 = replace(L4, accelerator="h100-sxm", weight_format="fp8", kv_format="fp8", tensor_parallel=2)
H200 = replace(L4, accelerator="h200-sxm", kv_format="fp8")


def plan_of(replicas: dict[Variant, int], max_num_seqs: int = 64) -> Plan:
    predicted = Predicted(
        ttft_s=0.2,
        itl_s=0.02,
        end_to_end_s=5.0,
        utilisation_ratio=0.6,
        kv_utilisation_ratio=0.3,
        mean_batch=12.0,
        capacity_per_s=8.0,
        attainment_ratio=0.97,
    )
    variants = tuple(
        VariantPlan(
            variant=variant,
            replicas=count,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=4096,
            max_queued_requests=32,
            predicted=predicted,
            cost_usd_per_s=None,
            power_w=100.0,
            usd_per_million_tokens=None,
            weight_bytes=16e9,
        )
        for variant, count in replicas.items()
    )
    load = Load(
        tier="interactive",
        rate_per_s=10.0,
        rates_per_s=(10.0,),
        weights=(1.0,),
        input_tokens_mean=1000.0,
        output_tokens_mean=200.0,
        cached_prefix_ratio=0.0,
        is_observed=True,
        may_lower=True,
    )
    tier = TierPlan(
        tier="interactive",
        load=load,
        variants=variants,
        wanted_replicas=sum(replicas.values()),
        reason=Reason.DEMAND,
        detail="",
        binding=Binding.ITL,
        meets_objectives=True,
    )
    return Plan(tiers=(tier,), history=History())


async def write(kube: Kube, pool: InferencePool, plan: Plan, options: ManifestOptions = OPTIONS) -> Applied:
    """One cycle's end: look, and make the cluster hold what the plan says."""
    return await apply(kube, manifests(pool, plan, CATALOGUE, options), await view_of(kube, pool))


async def view_of(kube: Kube, pool: InferencePool) -> PoolView:
    return await gather(kube, PoolRef(namespace=pool.metadata.namespace, name=pool.metadata.name))


def ready_nodes(api: client.ApiClient, namespace: str, count: int) -> list[client.V1Node]:
    """The nodes of the namespace's pods, once that many are ready."""
    core = client.CoreV1Api(api)

    def ready() -> list[client.V1Pod]:
        pods = core.list_namespaced_pod(namespace).items
        return [
            pod for pod in pods if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
        ]

    wait_until(f"{count} ready pods", lambda: len(ready()) == count, PATIENCE_S)
    return [core.read_node(pod.spec.node_name) for pod in ready()]


@pytest.mark.parametrize(
    ("engine", "variant", "product"),
    [
        pytest.param({"kind": "Poolwright"}, L4, "NVIDIA-L4", id="Poolwright on L4"),
        pytest.param({"kind": "VLLM"}, H100, "NVIDIA-H100-80GB-HBM3", id="vLLM on pairs of H100"),
        pytest.param({"kind": "SGLang"}, H200, "NVIDIA-H200", id="SGLang on H200"),
    ],
)
async def test_pods_are_admitted_as_restricted_and_become_ready_on_their_accelerator(
    api: client.ApiClient, kube: Kube, make_pool: MakePool, engine: dict[str, str], variant: Variant, product: str
) -> None:
    pool = make_pool("chat", {"engine": engine})
    applied = await write(kube, pool, plan_of({variant: 3}))
    assert applied.conflicts == ()
    assert len(applied.changed) == 4  # NetworkPolicy, Service, PodDisruptionBudget, Deployment
    nodes = ready_nodes(api, pool.metadata.namespace, 3)
    assert {product} == {node.metadata.labels["nvidia.com/gpu.product"] for node in nodes}


async def test_what_is_as_wanted_is_not_written_again(
    api: client.ApiClient, kube: Kube, writes: Writes, make_pool: MakePool
) -> None:
    # Quantities that the API server writes in its own way: 1500m stays, 0.5 becomes 500m, 2048Mi becomes 2Gi.
    wishes = {
        "cpu": "0.5",
        "memory": "2048Mi",
        "tolerations": [{"key": "team", "value": "a", "effect": "NoSchedule"}, {"operator": "Exists", "key": "spot"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "imagePullSecrets": [{"name": "registry"}],
    }
    pool = make_pool("chat", {"pod": wishes, "engine": {"kind": "VLLM"}})
    plan = plan_of({L4: 2, H100: 0})
    await write(kube, pool, plan)
    ready_nodes(api, pool.metadata.namespace, 2)
    writes.clear()
    assert await write(kube, pool, plan) == Applied()
    assert writes == []


async def test_a_changed_batch_limit_is_written_to_the_deployment_alone(
    kube: Kube, writes: Writes, make_pool: MakePool
) -> None:
    pool = make_pool("chat", {})
    await write(kube, pool, plan_of({L4: 1}))
    writes.clear()
    applied = await write(kube, pool, plan_of({L4: 1}, max_num_seqs=128))
    assert applied == Applied(changed=("Deployment/chat-interactive-l4-bf16",))
    assert writes == [("PATCH", "deployments", 200)]


async def test_a_scaler_that_owns_the_replicas_is_reported_and_not_overruled(
    api: client.ApiClient, kube: Kube, make_pool: MakePool
) -> None:
    pool = make_pool("chat", {})
    await write(kube, pool, plan_of({L4: 1}))
    apps, name = client.AppsV1Api(api), "chat-interactive-l4-bf16"
    apps.patch_namespaced_deployment_scale(
        name, pool.metadata.namespace, {"spec": {"replicas": 4}}, field_manager="other-scaler"
    )
    applied = await write(kube, pool, plan_of({L4: 2}))
    assert applied.changed == ()
    assert len(applied.conflicts) == 1
    assert applied.conflicts[0].startswith(f"Deployment/{name}: ")
    assert "other-scaler" in applied.conflicts[0]
    assert "spec.replicas" in applied.conflicts[0]
    live = apps.read_namespaced_deployment(name, pool.metadata.namespace)
    assert live.spec.replicas == 4


async def test_what_others_add_to_a_deployment_is_theirs_and_costs_no_write(
    api: client.ApiClient, kube: Kube, writes: Writes, make_pool: MakePool
) -> None:
    pool = make_pool("chat", {})
    plan = plan_of({L4: 1})
    await write(kube, pool, plan)
    container = {"name": "engine", "env": [{"name": "EXTRA", "value": "1"}]}
    client.AppsV1Api(api).patch_namespaced_deployment(
        "chat-interactive-l4-bf16",
        pool.metadata.namespace,
        {"metadata": {"labels": {"cost": "42"}}, "spec": {"template": {"spec": {"containers": [container]}}}},
        field_manager="injector",
    )
    writes.clear()
    assert await write(kube, pool, plan) == Applied()
    assert writes == []


async def test_a_variant_that_left_the_plan_loses_its_deployment_and_the_other_stays(
    kube: Kube, make_pool: MakePool
) -> None:
    pool = make_pool("chat", {})
    await write(kube, pool, plan_of({L4: 1, A100: 1}))
    applied = await write(kube, pool, plan_of({A100: 1}))
    assert applied == Applied(deleted=("Deployment/chat-interactive-l4-bf16",))
    left = await kube.list(DEPLOYMENTS, pool.metadata.namespace)
    assert ["chat-interactive-a100-sxm-80gb-bf16"] == [each["metadata"]["name"] for each in left]


async def test_a_deployment_that_was_made_anew_since_the_look_is_not_deleted(kube: Kube, make_pool: MakePool) -> None:
    pool = make_pool("chat", {})
    await write(kube, pool, plan_of({L4: 1, A100: 1}))
    view = await view_of(kube, pool)
    for deployment in view.deployments:
        deployment["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(ConflictError, match="UID"):
        await apply(kube, manifests(pool, plan_of({A100: 1}), CATALOGUE, OPTIONS), view)
    assert len(await kube.list(DEPLOYMENTS, pool.metadata.namespace)) == 2


async def test_a_name_that_somebody_else_took_is_reported_and_left_alone(
    api: client.ApiClient, kube: Kube, make_pool: MakePool
) -> None:
    pool = make_pool("chat", {})
    theirs = {"metadata": {"name": "chat-interactive"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}}
    core = client.CoreV1Api(api)
    core.create_namespaced_service(pool.metadata.namespace, theirs)
    applied = await write(kube, pool, plan_of({L4: 1}))
    assert len(applied.changed) == 3
    assert [True] == [each.startswith("Service/chat-interactive: exists") for each in applied.conflicts]
    assert core.read_namespaced_service("chat-interactive", pool.metadata.namespace).spec.selector == {"app": "web"}


async def test_a_pod_monitor_without_its_definition_is_reported_and_stops_nothing(
    kube: Kube, make_pool: MakePool
) -> None:
    pool = make_pool("chat", {})
    applied = await write(kube, pool, plan_of({L4: 1}), replace(OPTIONS, has_pod_monitor=True))
    assert len(applied.changed) == 4
    assert [True] == [each.startswith("PodMonitor/chat: ") for each in applied.conflicts]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("8b", id="beginning with a digit"),
        pytest.param("llama.3.1", id="with dots"),
        pytest.param("c" * 253, id="of 253 characters"),
    ],
)
async def test_any_name_that_a_pool_may_have_gives_names_that_its_objects_may_have(
    kube: Kube, writes: Writes, make_pool: MakePool, name: str
) -> None:
    pool = make_pool(name, {})
    applied = await write(kube, pool, plan_of({H100: 0}))
    assert applied.conflicts == ()
    assert len(applied.changed) == 4
    writes.clear()
    assert await write(kube, pool, plan_of({H100: 0})) == Applied()
