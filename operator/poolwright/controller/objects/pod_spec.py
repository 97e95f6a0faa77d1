"""The pod of one replica: pinned to its accelerator, restricted, probed by a budget that follows from its weights.

Pure: a workload and a variant's plan in, a pod template out. Command lines are in ``engine_command``, where it may run
in ``placement``.
"""

from math import ceil
from typing import Any, Final

from poolwright.controller.objects import labels, placement
from poolwright.controller.objects.engine_command import DRAIN_S, PORT, command_of
from poolwright.controller.objects.object_names import bounded
from poolwright.controller.objects.workload import MODEL_FOLDER, ManifestError, Workload
from poolwright.hardware.accelerator import Accelerator
from poolwright.planner.outcome import VariantPlan

Json = dict[str, Any]

START_FIXED_S: Final = 300.0
"""Start-up that does not depend on the size of the weights [s]: image, compilation, graph capture. Together with
``LOAD_BYTES_PER_S`` it covers an 8B (16 GB) on an L4, which was seen to take 409 s."""

LOAD_BYTES_PER_S: Final = 100e6
"""Pessimistic rate at which weights arrive [bytes/s]: a gigabit line. A 32B (64 GB) was seen to take 91 to 139 s. Too
low a rate only delays the restart of a loader that hangs; too high a rate restarts healthy loaders for ever."""

PROBE_PERIOD_S: Final = 5
"""Time between probes [s]."""

PRE_STOP_S: Final = 15
"""Time between leaving the Service and the signal to stop [s]: endpoints take seconds to reach every proxy."""

GRACE_S: Final = PRE_STOP_S + DRAIN_S + 15
"""Time from the first word to the kill [s]: above the sum of what the engine was promised."""

USER: Final = 10001
"""User and group that engines run as: any but root; images need no entry for it."""

CPU_PER_ACCELERATOR: Final = 2
"""Processors per accelerator [count]: one that launches kernels, one for the API and tokenisation."""

MEMORY_GIB_PER_ACCELERATOR: Final = 8
"""Host memory per accelerator [GiB]: runtime and pinned buffers; weights are mapped from files and need no more."""

SHARED_MEMORY_GIB: Final = 2
"""Shared memory of a replica with several ranks [GiB]: NCCL and the engines' queues; it counts against its memory."""

SCRATCH: Final = "/tmp"  # noqa: S108 - the pod's own volume
CACHE: Final = "/cache"


def pod_template(workload: Workload, plan: VariantPlan, accelerator: Accelerator) -> Json:
    """Return the pod template of a variant.

    Raises
    ------
    ManifestError
        A replica needs more accelerators than a node has, or number formats that the engine lacks.
    """
    if plan.variant.accelerators > accelerator.node_accelerators:
        raise ManifestError(
            f"a replica of {plan.variant.key} needs {plan.variant.accelerators} accelerators, a node has "
            f"{accelerator.node_accelerators}: replicas over several nodes are not supported"
        )
    return {"metadata": {"labels": pod_labels(workload, plan)}, "spec": _pod_spec(workload, plan, accelerator)}


def pod_labels(workload: Workload, plan: VariantPlan) -> dict[str, str]:
    """Return the labels of a variant's pods, which are also its Deployment's selector."""
    variant = plan.variant
    return {**labels.tier_selector(workload.pool.name, variant.tier), labels.VARIANT: bounded(variant.key)}


def start_budget_s(weight_bytes: float) -> float:
    """Return how long a replica may take to start [s].

    >>> start_budget_s(16e9)
    460.0
    """
    return START_FIXED_S + weight_bytes / LOAD_BYTES_PER_S


def _pod_spec(workload: Workload, plan: VariantPlan, accelerator: Accelerator) -> Json:
    wishes = workload.pod
    spec: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": placement.tolerations(accelerator, wishes.tolerations),
        "topologySpreadConstraints": [_spread(workload, plan)],
        "containers": [_container(workload, plan, accelerator)],
        "volumes": _volumes(workload, plan),
    }
    terms = placement.node_terms(accelerator)
    optional = {
        "affinity": _node_affinity(terms) if terms else None,
        "nodeSelector": dict(wishes.node_selector),
        "runtimeClassName": wishes.runtime_class_name,
        "priorityClassName": wishes.priority_class_name,
        "imagePullSecrets": [{"name": name} for name in wishes.image_pull_secrets],
    }
    return spec | {key: value for key, value in optional.items() if value}


def _node_affinity(terms: list[Json]) -> Json:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def _spread(workload: Workload, plan: VariantPlan) -> Json:
    """Return a soft spread over nodes: one broken node takes few replicas, a full one does not block any."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": pod_labels(workload, plan)},
    }


def _container(workload: Workload, plan: VariantPlan, accelerator: Accelerator) -> Json:
    command, arguments = command_of(workload, plan)
    resources = _resources(workload, plan, accelerator)
    return {
        "name": "engine",
        "image": workload.image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "args": arguments,
        "env": _environment(workload),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": {"requests": resources, "limits": dict(resources)},
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_S}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(workload, plan),
        **_probes(plan),
    }


def _resources(workload: Workload, plan: VariantPlan, accelerator: Accelerator) -> dict[str, str]:
    """Return requests, which are also the limits: a replica whose processor is taken away misses its objectives."""
    replica = plan.variant.accelerators
    resources = {
        "cpu": workload.pod.cpu or str(CPU_PER_ACCELERATOR * replica),
        "memory": workload.pod.memory or f"{MEMORY_GIB_PER_ACCELERATOR * replica}Gi",
    }
    return resources | {accelerator.resource_name: str(replica * accelerator.resource_units)}


def _probes(plan: VariantPlan) -> Json:
    check = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": PROBE_PERIOD_S}
    attempts = ceil(start_budget_s(plan.weight_bytes) / PROBE_PERIOD_S)
    return {
        "startupProbe": {**check, "failureThreshold": attempts, "timeoutSeconds": 3},
        "readinessProbe": {**check, "failureThreshold": 3, "timeoutSeconds": 3},
        # A minute of silence: an engine in a long prefill is slow to answer, and a restart costs a whole load.
        "livenessProbe": {**check, "failureThreshold": 12, "timeoutSeconds": 5},
    }


def _environment(workload: Workload) -> list[Json]:
    """Return variables: everything that is written goes to volumes, nothing is reported home."""
    values = {
        "HOME": SCRATCH,
        "USER": "poolwright",
        "XDG_CACHE_HOME": f"{CACHE}/xdg",
        "TRITON_CACHE_DIR": f"{CACHE}/triton",
        "HF_HOME": f"{CACHE}/huggingface",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if not workload.is_downloaded:
        values["HF_HUB_OFFLINE"] = "1"
    return [{"name": name, "value": value} for name, value in values.items()]


def _volumes(workload: Workload, plan: VariantPlan) -> list[Json]:
    claim = workload.pod.cache_claim
    cache: Json = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
    volumes: list[Json] = [{"name": "scratch", "emptyDir": {}}, {"name": "cache", **cache}]
    if plan.variant.accelerators > 1:
        limit = f"{SHARED_MEMORY_GIB}Gi"
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": limit}})
    if workload.claim:
        source = {"claimName": workload.claim, "readOnly": True}
        volumes.append({"name": "models", "persistentVolumeClaim": source})
    return volumes


def _mounts(workload: Workload, plan: VariantPlan) -> list[Json]:
    mounts: list[Json] = [{"name": "scratch", "mountPath": SCRATCH}, {"name": "cache", "mountPath": CACHE}]
    if plan.variant.accelerators > 1:
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108 - the pod's own volume
    if workload.claim:
        mounts.append({"name": "models", "mountPath": MODEL_FOLDER, "readOnly": True})
    return mounts
