"""The objects of three pools, one for each engine, as YAML beside this file; UPDATE_GOLDEN=1 writes them anew."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from poolwright.api.inference_pool import InferencePool
from poolwright.controller.objects.manifests import objects_of
from poolwright.controller.objects.workload import ManifestOptions, workload_of
from poolwright.controller.settings import DEFAULT_IMAGES
from poolwright.hardware.catalogue import load_catalogue
from poolwright.planner.outcome import Load, Plan, Predicted, TierPlan, VariantPlan
from poolwright.planner.reason import Binding, Reason
from poolwright.planner.snapshot import History, Variant

FOLDER = Path(__file__).parent
CATALOGUE = load_catalogue()
OBJECTIVES = {"ttftMilliseconds": 2000, "itlMilliseconds": 50}

OPTIONS = ManifestOptions(images=DEFAULT_IMAGES, operator_namespace="poolwright-system")

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


def variant_plan(variant: Variant, replicas: int, weight_bytes: float, max_queued_requests: int = 32) -> VariantPlan:
    return VariantPlan(
        variant=variant,
        replicas=replicas,
        max_num_seqs=64,
        max_num_batched_tokens=4096,
        max_queued_requests=max_queued_requests,
        predicted=PREDICTED,
        cost_usd_per_s=None,
        power_w=700.0,
        usd_per_million_tokens=None,
        weight_bytes=weight_bytes,
    )


def plan_of(**variants: list[VariantPlan]) -> Plan:
    return Plan(history=History(), tiers=tuple(tier_plan(tier, tuple(each)) for tier, each in variants.items()))


def tier_plan(tier: str, variants: tuple[VariantPlan, ...]) -> TierPlan:
    load = Load(
        tier=tier,
        rate_per_s=10.0,
        rates_per_s=(10.0,),
        weights=(1.0,),
        input_tokens_mean=1000.0,
        output_tokens_mean=200.0,
        cached_prefix_ratio=0.0,
        is_observed=True,
        may_lower=True,
    )
    return TierPlan(
        tier=tier,
        load=load,
        variants=variants,
        wanted_replicas=sum(each.replicas for each in variants),
        reason=Reason.DEMAND,
        detail="10 requests/s",
        binding=Binding.ITL,
        meets_objectives=True,
    )


def as_yaml(objects: Sequence[dict[str, Any]]) -> str:
    """The objects as a person would write them: no anchors, short collections on one line."""
    plain = json.loads(json.dumps(objects))  # the same probe in three places would become an anchor
    return yaml.safe_dump_all(plain, sort_keys=False, width=80, default_flow_style=None)


def pool(name: str, spec: dict[str, object]) -> InferencePool:
    metadata = {"name": name, "namespace": "team-a", "uid": "7e6f0c36-6a0e-4d0a-9d9c-000000000001"}
    return InferencePool.model_validate({"metadata": metadata, "spec": spec})


POOLWRIGHT = (
    pool(
        "chat",
        {
            "model": {"name": "meta-llama/Llama-3.1-8B", "source": "hf://meta-llama/Llama-3.1-8B@0123abc"},
            "tiers": [{"name": "interactive", "objectives": OBJECTIVES}],
        },
    ),
    plan_of(
        interactive=[
            variant_plan(Variant(tier="interactive", accelerator="l4", weight_format="bf16", kv_format="bf16"), 3, 16e9)
        ]
    ),
    OPTIONS,
)
"""The short resource: one tier, everything else by default."""

VLLM = (
    pool(
        "code",
        {
            "model": {"name": "meta-llama/Llama-3.1-70B"},
            "engine": {
                "kind": "VLLM",
                "image": "registry.example:5000/vllm-openai:v0.29.0",
                "arguments": ["--enable-prefix-caching"],
            },
            "tiers": [
                {"name": "interactive", "objectives": OBJECTIVES},
                {"name": "batch", "priority": 5, "objectives": {"deadlineSeconds": 3600}},
            ],
        },
    ),
    plan_of(
        interactive=[
            variant_plan(
                Variant(
                    tier="interactive", accelerator="h100-sxm", weight_format="fp8", kv_format="fp8", tensor_parallel=2
                ),
                0,
                70e9,
            )
        ],
        batch=[],
    ),
    ManifestOptions(
        images=DEFAULT_IMAGES,
        operator_namespace="poolwright-system",
        client_namespaces=("ingress", "team-a"),
    ),
)
"""Two tiers, one at zero and one without anything feasible; clients in another namespace; an argument of the user's."""

SGLANG = (
    pool(
        "offline",
        {
            "model": {"name": "Qwen/Qwen3-32B", "source": "pvc://weights/qwen3-32b"},
            "engine": {"kind": "SGLang"},
            "tiers": [{"name": "default", "objectives": {"endToEndMilliseconds": 60000}}],
            "pod": {
                "tolerations": [{"key": "team", "value": "a", "effect": "NoSchedule"}],
                "nodeSelector": {"topology.kubernetes.io/zone": "zone-b"},
                "runtimeClassName": "nvidia",
                "priorityClassName": "batch",
                "imagePullSecrets": [{"name": "registry"}],
                "cpu": "8",
                "memory": "96Gi",
                "modelCacheClaim": "compiled",
            },
        },
    ),
    plan_of(
        default=[
            variant_plan(
                Variant(tier="default", accelerator="h200-sxm", weight_format="bf16", kv_format="fp8"),
                2,
                64e9,
                max_queued_requests=0,
            )
        ]
    ),
    ManifestOptions(images=DEFAULT_IMAGES, operator_namespace="poolwright-system", has_pod_monitor=True),
)
"""Weights from a claim, every whitelisted pod field, and a PodMonitor."""


@pytest.mark.parametrize(
    ("file", "case"),
    [
        pytest.param("poolwright.yaml", POOLWRIGHT, id="Poolwright"),
        pytest.param("vllm.yaml", VLLM, id="vLLM"),
        pytest.param("sglang.yaml", SGLANG, id="SGLang"),
    ],
)
def test_a_pool_owns_what_its_file_shows(file: str, case: tuple[InferencePool, Plan, ManifestOptions]) -> None:
    pool, plan, options = case
    objects = objects_of(workload_of(pool, CATALOGUE, options), plan, CATALOGUE, options)
    if os.environ.get("UPDATE_GOLDEN"):
        (FOLDER / file).write_text(as_yaml(objects))
    expected = list(yaml.safe_load_all((FOLDER / file).read_text()))
    assert expected == list(objects)
