"""What holds for the pods of every variant on every accelerator of the catalogue: golden files show only three."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwright.controller.cluster.pod_state import PoolRef
from poolwright.controller.objects import labels, placement
from poolwright.controller.objects.engine_command import DRAIN_S
from poolwright.controller.objects.manifests import deployment
from poolwright.controller.objects.object_names import bounded, deployment_name, tier_name
from poolwright.controller.objects.pod_spec import LOAD_BYTES_PER_S, START_FIXED_S
from poolwright.controller.objects.workload import Workload
from poolwright.hardware.catalogue import label_sets, load_catalogue
from poolwright.planner.outcome import Predicted, VariantPlan
from poolwright.planner.policy import EngineKind
from poolwright.planner.snapshot import Variant

CATALOGUE = load_catalogue()
ACCELERATORS = sorted(CATALOGUE.accelerators)
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

POOLS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?){0,3}", fullmatch=True)
TIERS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?", fullmatch=True)
PREDICTED = Predicted(
    ttft_s=0.2,
    itl_s=0.02,
    end_to_end_s=5.0,
    utilisation_ratio=0.6,
    kv_utilisation_ratio=0.3,
    mean_batch=12.0,
    capacity_per_s=8.0,
    attainment_ratio=0.97,
)


@st.composite
def plans(draw: st.DrawFn) -> VariantPlan:
    accelerator = CATALOGUE.accelerator(draw(st.sampled_from(ACCELERATORS)))
    fits = [size for size in (1, 2, 4, 8) if size <= accelerator.node_accelerators]
    variant = Variant(
        tier=draw(TIERS),
        accelerator=accelerator.name,
        weight_format="bf16",
        kv_format=draw(st.sampled_from(["bf16", "fp8"])),
        tensor_parallel=draw(st.sampled_from(fits)),
    )
    return VariantPlan(
        variant=variant,
        replicas=draw(st.integers(0, 1000)),
        max_num_seqs=draw(st.integers(1, 4096)),
        max_num_batched_tokens=draw(st.integers(1, 65536)),
        max_queued_requests=draw(st.integers(0, 4096)),
        predicted=PREDICTED,
        cost_usd_per_s=None,
        power_w=0.0,
        usd_per_million_tokens=None,
        weight_bytes=draw(st.floats(1e8, 2e12)),
    )


WORKLOADS = st.builds(
    Workload,
    pool=st.builds(PoolRef, namespace=st.just("team-a"), name=POOLS),
    uid=st.just("1"),
    model=st.just("org/model"),
    native_format=st.just("bf16"),
    engine=st.sampled_from(EngineKind),
    image=st.just("engine:v1"),
    claim=st.sampled_from(["", "weights"]),
)


def pod_of(made: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod and its one container."""
    spec = made["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


@given(WORKLOADS, plans())
def test_every_pod_is_restricted_and_holds_no_token(workload: Workload, plan: VariantPlan) -> None:
    spec, container = pod_of(deployment(workload, plan, CATALOGUE))
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert {"type": "RuntimeDefault"} == spec["securityContext"]["seccompProfile"]
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == container["securityContext"]
    assert {"emptyDir", "persistentVolumeClaim"} >= {key for each in spec["volumes"] for key in each} - {"name"}


@given(WORKLOADS, plans())
def test_every_replica_asks_for_its_accelerators_and_may_use_no_more_than_it_asks_for(
    workload: Workload, plan: VariantPlan
) -> None:
    accelerator = CATALOGUE.accelerator(plan.variant.accelerator)
    _, container = pod_of(deployment(workload, plan, CATALOGUE))
    resources = container["resources"]
    assert resources["requests"] == resources["limits"]
    expected = plan.variant.accelerators * accelerator.resource_units
    assert str(expected) == resources["limits"][accelerator.resource_name]


@given(WORKLOADS, plans())
def test_a_replica_may_start_as_long_as_its_weights_take_and_end_as_long_as_it_drains(
    workload: Workload, plan: VariantPlan
) -> None:
    spec, container = pod_of(deployment(workload, plan, CATALOGUE))
    probe = container["startupProbe"]
    budget_s = probe["periodSeconds"] * probe["failureThreshold"]
    needed_s = START_FIXED_S + plan.weight_bytes / LOAD_BYTES_PER_S
    assert needed_s <= budget_s < needed_s + probe["periodSeconds"] + 1e-6
    before_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > before_s + DRAIN_S


@given(WORKLOADS, plans())
def test_batch_limits_reach_the_engine(workload: Workload, plan: VariantPlan) -> None:
    _, container = pod_of(deployment(workload, plan, CATALOGUE))
    values = dict(argument.partition("=")[::2] for argument in container["args"])
    flags = {
        EngineKind.POOLWRIGHT: ("--max-num-seqs", "--max-num-batched-tokens"),
        EngineKind.VLLM: ("--max-num-seqs", "--max-num-batched-tokens"),
        EngineKind.SGLANG: ("--max-running-requests", "--chunked-prefill-size"),
    }[workload.engine]
    assert (str(plan.max_num_seqs), str(plan.max_num_batched_tokens)) == tuple(values[flag] for flag in flags)


@given(WORKLOADS, plans())
def test_a_deployment_tells_after_a_restart_which_variant_it_runs(workload: Workload, plan: VariantPlan) -> None:
    made = deployment(workload, plan, CATALOGUE)
    expected = labels.Described(
        variant=plan.variant,
        max_num_seqs=plan.max_num_seqs,
        max_num_batched_tokens=plan.max_num_batched_tokens,
        max_queued_requests=plan.max_queued_requests,
        weight_bytes=float(round(plan.weight_bytes)),
    )
    assert expected == labels.variant_of(made)
    selector = made["spec"]["selector"]["matchLabels"]
    assert selector == made["spec"]["template"]["metadata"]["labels"]
    assert selector[labels.VARIANT] == made["metadata"]["labels"][labels.VARIANT]


@given(WORKLOADS, plans())
def test_names_and_labels_are_valid_whatever_pool_and_tier_are_called(workload: Workload, plan: VariantPlan) -> None:
    made = deployment(workload, plan, CATALOGUE)
    assert DNS_LABEL.fullmatch(made["metadata"]["name"])
    assert len(made["metadata"]["name"]) <= 52
    assert SERVICE_NAME.fullmatch(tier_name(workload.pool.name, plan.variant.tier))
    assert [] == [value for value in made["metadata"]["labels"].values() if not LABEL_VALUE.fullmatch(value)]


@given(st.text(min_size=1, max_size=100), st.text(min_size=1, max_size=100), st.integers(12, 63))
def test_names_are_bounded_and_different_texts_keep_different_names(one: str, other: str, longest: int) -> None:
    assert DNS_LABEL.fullmatch(bounded(one, longest))
    assert len(bounded(one, longest)) <= longest
    assert (one == other) == (bounded(one, longest) == bounded(other, longest))


@given(POOLS, plans(), plans())
def test_two_variants_of_a_pool_never_share_a_deployment(pool: str, one: VariantPlan, other: VariantPlan) -> None:
    same_name = deployment_name(pool, one.variant.key) == deployment_name(pool, other.variant.key)
    assert same_name == (one.variant.key == other.variant.key)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_pods_go_to_every_node_of_their_accelerator_and_to_no_other(name: str) -> None:
    accelerator = CATALOGUE.accelerator(name)
    terms = placement.node_terms(accelerator)
    assert [] == [each for each in label_sets(accelerator) if not placement.admits(terms, dict(each))]
    strangers = {
        other: found
        for other in ACCELERATORS
        if other != name
        and other not in accelerator.shares_labels_with
        and name not in CATALOGUE.accelerator(other).shares_labels_with
        and (
            found := [each for each in label_sets(CATALOGUE.accelerator(other)) if placement.admits(terms, dict(each))]
        )
    }
    assert strangers == {}
