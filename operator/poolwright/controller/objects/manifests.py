"""Everything that a pool owns, as Kubernetes objects, from its resource and its plan: a pure function.

One Deployment per variant of the plan; per tier a Service and a disruption budget; per pool a NetworkPolicy. Pods are
in ``pod_spec``, networking in ``network``; writing is in ``apply``.
"""

from typing import Any

from poolwright.api.inference_pool import InferencePool
from poolwright.controller.objects import labels, network
from poolwright.controller.objects.object_names import deployment_name
from poolwright.controller.objects.pod_spec import pod_labels, pod_template, start_budget_s
from poolwright.controller.objects.workload import ManifestOptions, Workload, workload_of
from poolwright.hardware.catalogue import Catalogue
from poolwright.planner.outcome import Plan, VariantPlan

Json = dict[str, Any]


def manifests(pool: InferencePool, plan: Plan, catalogue: Catalogue, options: ManifestOptions) -> tuple[Json, ...]:
    """Return the objects that a pool should own, equal for equal arguments.

    Raises
    ------
    ManifestError
        The plan asks for pods that cannot be made.
    """
    return objects_of(workload_of(pool, catalogue, options), plan, catalogue, options)


def objects_of(workload: Workload, plan: Plan, catalogue: Catalogue, options: ManifestOptions) -> tuple[Json, ...]:
    """Return the objects of a workload: policy first, so that no pod runs before it is isolated."""
    objects = [network.network_policy(workload, options)]
    if options.has_pod_monitor:
        objects.append(network.pod_monitor(workload))
    for tier in plan.tiers:
        objects.append(network.service(workload, tier.tier))
        objects.append(network.disruption_budget(workload, tier.tier))
        objects.extend(deployment(workload, variant, catalogue) for variant in tier.variants)
    return tuple(objects)


def deployment(workload: Workload, plan: VariantPlan, catalogue: Catalogue) -> Json:
    """Return the Deployment of a variant.

    A change of batch limits rolls it over with a quarter more replicas and none missing: capacity never falls below the
    plan, and where no spare accelerator exists the new pod waits while the old ones go on serving with the old limits.
    """
    variant = plan.variant
    selector = pod_labels(workload, plan)
    own_labels = {labels.TIER: variant.tier, labels.VARIANT: selector[labels.VARIANT]}
    metadata = network.metadata(workload, deployment_name(workload.pool.name, variant.key), own_labels)
    described = labels.Described(
        variant=variant,
        max_num_seqs=plan.max_num_seqs,
        max_num_batched_tokens=plan.max_num_batched_tokens,
        max_queued_requests=plan.max_queued_requests,
        weight_bytes=plan.weight_bytes,
    )
    metadata["annotations"] = labels.variant_annotations(described)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": plan.replicas,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 2 * round(start_budget_s(plan.weight_bytes)),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "selector": {"matchLabels": selector},
            "template": pod_template(workload, plan, catalogue.accelerator(variant.accelerator)),
        },
    }
