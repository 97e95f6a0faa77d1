"""What the API server accepts, and what it refuses with which words: each refusal names the field."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from localcluster.cluster import Cluster
from poolwright.api.inference_pool import InferencePool

pytestmark = pytest.mark.cluster

Json = dict[str, Any]

GROUP = {"group": "poolwright.io", "version": "v1alpha1"}
POOLS = {**GROUP, "plural": "inferencepools"}

UNPROCESSABLE = 422
BAD_REQUEST = 400

TIER = {"name": "interactive", "objectives": {"itlMilliseconds": 40}}
OBJECTIVE_NAMES = "ttftMilliseconds, itlMilliseconds, endToEndMilliseconds, deadlineSeconds"

REFUSED: dict[str, tuple[Json, tuple[str, ...]]] = {
    "no model": ({"model": None}, ("spec.model", "Required value")),
    "an empty model name": ({"model": {"name": ""}}, ("spec.model.name", "at least 1 chars long")),
    "weights from an unknown place": (
        {"model": {"name": "m", "source": "s3://bucket/m"}},
        ("spec.model.source", "s3://bucket/m", "hf://"),
    ),
    "an unknown mode": ({"mode": "Manual"}, ("spec.mode", '"Manual"', '"Auto", "Recommend", "Paused"')),
    "an unknown engine": ({"engine": {"kind": "TRTLLM"}}, ("spec.engine.kind", '"TRTLLM"', '"VLLM"')),
    "an unknown number format": (
        {"engine": {"weightFormats": ["bf16", "fp7"]}},
        ("spec.engine.weightFormats[1]", '"fp7"', '"fp8"'),
    ),
    "an engine argument that is no option": (
        {"engine": {"arguments": ["; rm -rf /"]}},
        ("spec.engine.arguments[0]", "; rm -rf /"),
    ),
    "no tiers": ({"tiers": []}, ("spec.tiers", "at least 1 items")),
    "tiers that were forgotten": ({"tiers": None}, ("spec.tiers", "Required value")),
    "two tiers of one name": ({"tiers": [TIER, TIER]}, ("spec.tiers[1]", "Duplicate value", "interactive")),
    "a tier without a name": (
        {"tiers": [{"objectives": {"itlMilliseconds": 40}}]},
        ("spec.tiers[0].name", "Required value"),
    ),
    "a tier whose name is no label": (
        {"tiers": [{**TIER, "name": "Inter_Active"}]},
        ("spec.tiers[0].name", "Inter_Active"),
    ),
    "nine tiers": (
        {"tiers": [{**TIER, "name": f"t{index}"} for index in range(9)]},
        ("spec.tiers", "at most 8 items"),
    ),
    "a tier that promises nothing": (
        {"tiers": [{"name": "interactive", "objectives": {}}]},
        ("spec.tiers[0].objectives", f"objectives needs at least one of {OBJECTIVE_NAMES}"),
    ),
    "an answer in no time": (
        {"tiers": [{"name": "interactive", "objectives": {"ttftMilliseconds": 0}}]},
        ("spec.tiers[0].objectives.ttftMilliseconds", "greater than or equal to 1"),
    ),
    "half a millisecond": (
        {"tiers": [{"name": "interactive", "objectives": {"itlMilliseconds": 0.5}}]},
        ("spec.tiers[0].objectives.itlMilliseconds", "integer"),
    ),
    "two words for the whole request": (
        {"tiers": [{"name": "batch", "objectives": {"endToEndMilliseconds": 9000, "deadlineSeconds": 9}}]},
        ("spec.tiers[0].objectives", "endToEndMilliseconds and deadlineSeconds: state only one of them"),
    ),
    "percentile 120": (
        {"tiers": [{"name": "a", "objectives": {"itlMilliseconds": 40, "percentile": 120}}]},
        ("spec.tiers[0].objectives.percentile", "percentile must be from 50 to 99.9"),
    ),
    "percentile '100'": (
        {"tiers": [{"name": "a", "objectives": {"itlMilliseconds": 40, "percentile": "100"}}]},
        ("spec.tiers[0].objectives.percentile", "percentile must be from 50 to 99.9"),
    ),
    "percentile 99.9 as a number": (
        {"tiers": [{"name": "a", "objectives": {"itlMilliseconds": 40, "percentile": 99.9}}]},
        ("spec.tiers[0].objectives.percentile", "integer,string"),
    ),
    "a whole prompt from the cache": (
        {"tiers": [{**TIER, "workload": {"cachedPrefixPercent": 100}}]},
        ("spec.tiers[0].workload.cachedPrefixPercent", "less than or equal to 99"),
    ),
    "classes of tasks that are not all requests": (
        {"taskClasses": [{"name": "chat", "requestPercent": 60}, {"name": "code", "requestPercent": 30}]},
        ("spec", "taskClasses: requestPercent must add up to 100"),
    ),
    "a session of no turns": (
        {"tiers": [{**TIER, "workload": {"sessions": {"turns": 0}}}]},
        ("spec.tiers[0].workload.sessions.turns", "greater than or equal to 1"),
    ),
    "one accelerator twice": (
        {"accelerators": [{"name": "h100-sxm"}, {"name": "h100-sxm"}]},
        ("spec.accelerators[1]", "Duplicate value", "h100-sxm"),
    ),
    "a product's name in place of the catalogue's": (
        {"accelerators": [{"name": "NVIDIA-H100"}]},
        ("spec.accelerators[0].name", "NVIDIA-H100"),
    ),
    "a static demand without its rate": (
        {"demand": {"source": "Static"}},
        ("spec.demand", "demand.source Static needs requestsPerMinute"),
    ),
    "a query that is not there": (
        {"demand": {"source": "Prometheus"}},
        ("spec.demand", "demand.source Prometheus needs query"),
    ),
    "a negative rate": (
        {"demand": {"source": "Static", "requestsPerMinute": -1}},
        ("spec.demand.requestsPerMinute", "greater than or equal to 0"),
    ),
    "fewest above most": (
        {"scaling": {"minReplicas": 5, "maxReplicas": 4}},
        ("spec.scaling", "scaling.minReplicas must not be above scaling.maxReplicas"),
    ),
    "fewest above the default of most": (
        {"scaling": {"minReplicas": 65}},
        ("spec.scaling", "scaling.minReplicas must not be above scaling.maxReplicas"),
    ),
    "a pin above most": (
        {"scaling": {"maxReplicas": 4, "replicas": 5}},
        ("spec.scaling", "scaling.replicas must be from scaling.minReplicas to scaling.maxReplicas"),
    ),
    "most of nothing": ({"scaling": {"maxReplicas": 0}}, ("spec.scaling.maxReplicas", "greater than or equal to 1")),
    "to zero in no time": (
        {"scaling": {"minReplicas": 0, "scaleToZeroAfterSeconds": 5}},
        ("spec.scaling.scaleToZeroAfterSeconds", "greater than or equal to 60"),
    ),
    "money with a currency": ({"budget": {"usdPerHour": "$40"}}, ("spec.budget.usdPerHour", "$40")),
    "money that is negative": ({"budget": {"usdPerHour": "-1"}}, ("spec.budget.usdPerHour", "-1")),
    "no watts": ({"budget": {"watts": 0}}, ("spec.budget.watts", "greater than or equal to 1")),
    "memory without its unit": ({"pod": {"memory": "64"}}, ("spec.pod.memory", '"64"', "(Mi|Gi|Ti)")),
    "memory in a unit of its own": ({"pod": {"memory": "64GB"}}, ("spec.pod.memory", '"64GB"')),
    "processors in a unit of their own": ({"pod": {"cpu": "8 cores"}}, ("spec.pod.cpu", "8 cores")),
    "a toleration of no kind": (
        {"pod": {"tolerations": [{"key": "a", "operator": "Maybe"}]}},
        ("spec.pod.tolerations[0].operator", "Maybe"),
    ),
}

UNKNOWN: dict[str, tuple[Json, str]] = {
    "an objective misspelt": (
        {"tiers": [{"name": "a", "objectives": {"itlMilliseconds": 1, "tpotMilliseconds": 40}}]},
        'unknown field "spec.tiers[0].objectives.tpotMilliseconds"',
    ),
    "a pod field that is not on the list": (
        {"pod": {"hostNetwork": True}},
        'unknown field "spec.pod.hostNetwork"',
    ),
    "another namespace's claim": (
        {"pod": {"modelCacheClaim": "weights", "modelCacheNamespace": "other"}},
        'unknown field "spec.pod.modelCacheNamespace"',
    ),
}


def test_the_example_is_accepted_and_its_defaults_are_the_operator_s(
    custom: client.CustomObjectsApi, namespace: str, chat: Json
) -> None:
    stored = create(custom, namespace, chat)

    expected = InferencePool.model_validate(chat).spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    understood = InferencePool.model_validate(stored).spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert expected == understood
    assert ("Auto", 1, 64) == (
        stored["spec"]["mode"],
        stored["spec"]["scaling"]["minReplicas"],
        stored["spec"]["scaling"]["maxReplicas"],
    )
    assert 95 == stored["spec"]["tiers"][0]["objectives"]["percentile"]


@pytest.mark.parametrize("percentile", [50, 99, "50.5", "99.9"])
def test_a_percentile_is_an_integer_or_a_decimal_in_quotes(
    custom: client.CustomObjectsApi, namespace: str, chat: Json, percentile: int | str
) -> None:
    chat["spec"]["tiers"][0]["objectives"]["percentile"] = percentile

    stored = create(custom, namespace, chat)

    assert percentile == stored["spec"]["tiers"][0]["objectives"]["percentile"]


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_a_spec_that_makes_no_sense_is_refused_by_its_field(
    custom: client.CustomObjectsApi, namespace: str, chat: Json, change: Json, words: tuple[str, ...]
) -> None:
    chat["spec"] = {key: value for key, value in {**chat["spec"], **change}.items() if value is not None}

    status, message = refusal(custom, namespace, chat)

    assert UNPROCESSABLE == status
    assert [] == [word for word in words if word not in message], message


@pytest.mark.parametrize(("change", "words"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_field_is_refused_where_validation_is_strict_as_kubectl_s_is(
    custom: client.CustomObjectsApi, namespace: str, chat: Json, change: Json, words: str
) -> None:
    chat["spec"].update(change)

    status, message = refusal(custom, namespace, chat)

    assert BAD_REQUEST == status
    assert words in message


def test_the_model_changes_only_where_that_is_allowed(
    custom: client.CustomObjectsApi, namespace: str, chat: Json
) -> None:
    create(custom, namespace, chat)
    there = {**POOLS, "namespace": namespace, "name": "chat"}
    other = {"name": "Qwen/Qwen3-8B"}

    with pytest.raises(ApiException) as refused:
        custom.patch_namespaced_custom_object(**there, body={"spec": {"model": other}})
    allowed = custom.patch_namespaced_custom_object(**there, body={"spec": {"model": {**other, "allowChange": True}}})

    assert UNPROCESSABLE == refused.value.status
    assert (
        "spec.model: Invalid value: model.name is meta-llama/Llama-3.1-8B-Instruct and cannot become Qwen/Qwen3-8B "
        "on a live pool without model.allowChange: true"
    ) in json.loads(refused.value.body)["message"]
    assert "Qwen/Qwen3-8B" == allowed["spec"]["model"]["name"]


@pytest.mark.parametrize(
    ("plural", "kind", "spec", "words"),
    [
        ("fleetpolicies", "FleetPolicy", {"maxReplicas": 0}, ("spec.maxReplicas", "greater than or equal to 1")),
        (
            "fleetpolicies",
            "FleetPolicy",
            {"accelerators": [{"accelerator": "l4", "usdPerHour": "cheap"}]},
            ("spec.accelerators[0].usdPerHour", "cheap"),
        ),
        (
            "fleetpolicies",
            "FleetPolicy",
            {"accelerators": [{"accelerator": "l4"}, {"accelerator": "l4", "maxAccelerators": 1}]},
            ("spec.accelerators[1]", "Duplicate value"),
        ),
        (
            "acceleratorprofiles",
            "AcceleratorProfile",
            {},
            ("spec.memoryGibibytes: Required", "spec.selectors: Required"),
        ),
    ],
    ids=["no replicas at all", "a price in words", "two quotas for one accelerator", "a profile of nothing"],
)
def test_cluster_wide_kinds_are_refused_by_their_field_too(
    custom: client.CustomObjectsApi, plural: str, kind: str, spec: Json, words: tuple[str, ...]
) -> None:
    body = {"apiVersion": "poolwright.io/v1alpha1", "kind": kind, "metadata": {"name": "wrong"}, "spec": spec}

    with pytest.raises(ApiException) as refused:
        custom.create_cluster_custom_object(**GROUP, plural=plural, body=body, dry_run="All", field_validation="Strict")

    assert UNPROCESSABLE == refused.value.status
    message = json.loads(refused.value.body)["message"]
    assert [] == [word for word in words if word not in message], message


def test_kubectl_says_the_same_words(cluster: Cluster, namespace: str, tmp_path: Path, chat: Json) -> None:
    chat["spec"]["tiers"][0]["objectives"] = {}
    (tmp_path / "pool.json").write_text(json.dumps(chat))

    said = words_of_kubectl(cluster, "--namespace", namespace, "apply", "-f", str(tmp_path / "pool.json"))

    assert f"spec.tiers[0].objectives: Invalid value: objectives needs at least one of {OBJECTIVE_NAMES}" in said


def create(custom: client.CustomObjectsApi, namespace: str, pool: Json) -> Json:
    stored: Json = custom.create_namespaced_custom_object(
        **POOLS, namespace=namespace, body=pool, field_validation="Strict"
    )
    return stored


def refusal(custom: client.CustomObjectsApi, namespace: str, pool: Json) -> tuple[int, str]:
    with pytest.raises(ApiException) as refused:
        create(custom, namespace, pool)
    return refused.value.status, json.loads(refused.value.body)["message"]


def words_of_kubectl(cluster: Cluster, *arguments: str) -> str:
    done = subprocess.run([cluster.kubectl, *arguments], env=cluster.env(), check=False, capture_output=True, text=True)
    return done.stdout + done.stderr
