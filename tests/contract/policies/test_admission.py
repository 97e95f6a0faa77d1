"""Admission policies at work: what each lets through, what it refuses, and with which figures."""

import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from localcluster.processes import wait_until

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
Kubectl = Callable[..., CompletedProcess[str]]

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "policies" / "admission"
CHAT: Json = yaml.safe_load((ROOT / "examples" / "chat.yaml").read_text())

PATIENCE_S = 30.0
"""[s] The API server reads policies and bindings anew within a second or two."""

DIGEST = "sha256:" + "0123456789abcdef" * 4
CEILING = {"poolwright.io/max-replicas": "8"}
PINNED = {"poolwright.io/engine-images": "pinned"}
MENU = {
    "poolwright.io/accelerators": "restricted",
    "accelerators.poolwright.io/l40s": "allowed",
    "accelerators.poolwright.io/l4": "allowed",
    "accelerators.poolwright.io/h100-sxm": "denied",
}

ACCEPTED: dict[str, tuple[Json, Json]] = {
    "replica-ceiling, at the limit": (CEILING, {"scaling": {"maxReplicas": 8}}),
    "replica-ceiling, in a namespace without the label": ({}, {"scaling": {"maxReplicas": 10000}}),
    "pinned-images, by digest": (PINNED, {"engine": {"image": f"ghcr.io/poolwright/engine@{DIGEST}"}}),
    "pinned-images, by tag and digest": (PINNED, {"engine": {"image": f"hub.local:5000/vllm:v0.19.0@{DIGEST}"}}),
    "pinned-images, in a namespace without the label": ({}, {"engine": {"image": "vllm/vllm-openai:latest"}}),
    "allowed-accelerators, one of two": (MENU, {"accelerators": [{"name": "l4"}]}),
    "allowed-accelerators, both": (MENU, {"accelerators": [{"name": "l4"}, {"name": "l40s", "maxReplicas": 2}]}),
    "allowed-accelerators, in a namespace without the label": ({}, {"accelerators": [{"name": "b300-sxm"}]}),
}

REFUSED: dict[str, tuple[Json, Json, str]] = {
    "replica-ceiling, one above": (
        CEILING,
        {"scaling": {"maxReplicas": 9}},
        "spec.scaling.maxReplicas is 9, namespace {} allows at most 8 (its label poolwright.io/max-replicas)",
    ),
    "replica-ceiling, by default": (
        CEILING,
        {},
        "spec.scaling.maxReplicas is 64, namespace {} allows at most 8 (its label poolwright.io/max-replicas)",
    ),
    "replica-ceiling, by a label that is no number": (
        {"poolwright.io/max-replicas": "eight"},
        {"scaling": {"maxReplicas": 1}},
        'label poolwright.io/max-replicas of namespace {} is "eight", must be a whole number',
    ),
    "pinned-images, a tag": (
        PINNED,
        {"engine": {"image": "vllm/vllm-openai:v0.19.0"}},
        'spec.engine.image is "vllm/vllm-openai:v0.19.0", namespace {} takes images by digest only',
    ),
    "pinned-images, a digest that is too short": (
        PINNED,
        {"engine": {"image": "vllm/vllm-openai@sha256:abc"}},
        'spec.engine.image is "vllm/vllm-openai@sha256:abc", namespace {} takes images by digest only',
    ),
    "pinned-images, none": (PINNED, {}, 'spec.engine.image is "", namespace {} takes images by digest only'),
    "allowed-accelerators, one that is not": (
        MENU,
        {"accelerators": [{"name": "l4"}, {"name": "h100-sxm"}, {"name": "b200-sxm"}]},
        "spec.accelerators names h100-sxm, b200-sxm; namespace {} allows l4, l40s",
    ),
    "allowed-accelerators, any": (
        MENU,
        {},
        "spec.accelerators is empty, which means any; namespace {} allows l4, l40s",
    ),
    "allowed-accelerators, where none is": (
        {"poolwright.io/accelerators": "restricted"},
        {"accelerators": [{"name": "l4"}]},
        "spec.accelerators names l4; namespace {} allows none",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def policies(kubectl: Kubectl) -> Iterator[None]:
    """All admission policies, at once: none may stand in another's way."""
    done = kubectl("apply", "-f", str(FOLDER))
    assert 0 == done.returncode, done.stderr
    yield
    kubectl("delete", "-f", str(FOLDER))


@pytest.fixture
def guarded(kubectl: Kubectl, namespace: str) -> Callable[[Json], str]:
    """Return a function that labels the namespace, and returns once what must be refused in it is."""

    def label(labels: Json) -> str:
        words = [f"{key}={value}" for key, value in labels.items()]
        if words:
            assert 0 == kubectl("label", "namespace", namespace, *words).returncode
            # Refused by each of the three policies, so that whichever is at work shows.
            anything = {"engine": {"image": "any:tag"}, "accelerators": [{"name": "none-of-them"}]}
            worst = pool(namespace, {"scaling": {"maxReplicas": 10000}} | anything)
            wait_until("admission policy", lambda: 0 != apply(kubectl, worst).returncode, PATIENCE_S)
        return namespace

    return label


@pytest.mark.parametrize(("labels", "spec"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_pool_within_the_limits_is_let_through(
    kubectl: Kubectl, guarded: Callable[[Json], str], labels: Json, spec: Json
) -> None:
    done = apply(kubectl, pool(guarded(labels), spec))

    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize(("labels", "spec", "words"), REFUSED.values(), ids=REFUSED)
def test_a_pool_beyond_a_limit_is_refused_with_field_and_limit(
    kubectl: Kubectl, guarded: Callable[[Json], str], labels: Json, spec: Json, words: str
) -> None:
    namespace = guarded(labels)

    done = apply(kubectl, pool(namespace, spec))

    assert 1 == done.returncode, done.stdout
    assert words.format(namespace) in done.stderr


def test_a_ceiling_that_comes_later_lets_metadata_and_deletion_pass_and_judges_the_next_change(
    kubectl: Kubectl, guarded: Callable[[Json], str], namespace: str
) -> None:
    # As of a pool that was made before anybody thought of a ceiling: 64 replicas, and a finalizer that holds it.
    made = pool(namespace, {})
    made["metadata"]["finalizers"] = ["example.com/held"]
    before = kubectl("create", "-f", "-", text=json.dumps(made))
    guarded(CEILING)
    there = ("--namespace", namespace, "ipool", "chat")
    spec_change = ("--dry-run=server", "--type=merge", '--patch={"spec":{"mode":"Paused"}}')

    labelled = kubectl("label", *there, "team=a")
    paused = kubectl("patch", *there, *spec_change)
    lowered = kubectl("patch", *there, "--type=merge", '--patch={"spec":{"scaling":{"maxReplicas":8}}}')

    assert (0, 0) == (before.returncode, labelled.returncode), before.stderr + labelled.stderr
    assert f"spec.scaling.maxReplicas is 64, namespace {namespace} allows at most 8" in paused.stderr
    assert 0 == lowered.returncode, lowered.stderr

    kubectl("label", "namespace", namespace, "poolwright.io/max-replicas=4", "--overwrite")
    kubectl("delete", *there, "--wait=false")
    wait_until("lower ceiling", lambda: 0 != kubectl("patch", *there, *spec_change).returncode, PATIENCE_S)
    freed = kubectl("patch", *there, "--type=json", '--patch=[{"op":"remove","path":"/metadata/finalizers"}]')
    assert 0 == freed.returncode, freed.stderr
    assert "" == kubectl("get", *there, "--ignore-not-found").stdout


def test_a_status_passes_whatever_the_spec_is(kubectl: Kubectl, guarded: Callable[[Json], str], namespace: str) -> None:
    kubectl("create", "-f", "-", text=json.dumps(pool(namespace, {})))
    guarded(CEILING | PINNED | MENU)

    done = kubectl(
        *("--namespace", namespace, "patch", "ipool", "chat", "--subresource=status", "--type=merge"),
        '--patch={"status":{"replicas":3}}',
    )

    assert 0 == done.returncode, done.stderr


def test_every_rule_is_well_typed_for_the_kind_that_it_judges(kubectl: Kubectl) -> None:
    names = [each["metadata"]["name"] for each in documents() if each["kind"] == "ValidatingAdmissionPolicy"]

    assert {name: {} for name in names} == {name: type_check(kubectl, name) for name in names}


def test_the_type_check_above_would_see(kubectl: Kubectl) -> None:
    policy = copy.deepcopy(
        next(each for each in documents() if each["metadata"]["name"] == "poolwright-replica-ceiling")
    )
    policy["metadata"]["name"] = "contract-misspelt"
    policy["spec"]["validations"] = [{"expression": "object.spec.scaling.maxReplica <= 8"}]
    kubectl("apply", "-f", "-", text=json.dumps(policy))

    checked = type_check(kubectl, "contract-misspelt")
    kubectl("delete", "validatingadmissionpolicy", "contract-misspelt")

    assert "undefined field 'maxReplica'" in checked["expressionWarnings"][0]["warning"]


def test_every_policy_is_bound_and_only_where_a_label_asks_for_it() -> None:
    policies = {each["metadata"]["name"] for each in documents() if each["kind"] == "ValidatingAdmissionPolicy"}
    bindings = [each["spec"] for each in documents() if each["kind"] == "ValidatingAdmissionPolicyBinding"]

    assert policies == {each["policyName"] for each in bindings}
    assert [] == [each["policyName"] for each in bindings if not each["matchResources"]["namespaceSelector"]]


def test_every_policy_has_a_case_of_both_kinds() -> None:
    policies = {file.stem for file in FOLDER.glob("*.yaml")}

    assert policies == {name.partition(",")[0] for name in ACCEPTED}
    assert policies == {name.partition(",")[0] for name in REFUSED}


def pool(namespace: str, spec: Json) -> Json:
    made = copy.deepcopy(CHAT)
    made["metadata"]["namespace"] = namespace
    made["spec"].update(spec)
    return made


def apply(kubectl: Kubectl, made: Json) -> CompletedProcess[str]:
    """Ask whether the API server would take the pool."""
    return kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(made))


def type_check(kubectl: Kubectl, name: str) -> Json:
    """Return what the controller manager found in a policy's rules, once it has looked."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        policy = json.loads(kubectl("get", "validatingadmissionpolicy", name, "--output=json").stdout)
        if policy.get("status", {}).get("observedGeneration") == policy["metadata"]["generation"]:
            return dict(policy["status"]["typeChecking"])
        time.sleep(0.2)
    raise AssertionError(f"{name} was not looked at within {PATIENCE_S} s")


def documents() -> list[Json]:
    return [each for file in sorted(FOLDER.glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())]
