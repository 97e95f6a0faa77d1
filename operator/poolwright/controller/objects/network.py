"""What reaches a pool's pods, and what they reach: Service, NetworkPolicy, disruption budget and scraping."""

from typing import Any, Final

from poolwright.controller.objects import labels
from poolwright.controller.objects.object_names import bounded, tier_name
from poolwright.controller.objects.workload import ManifestOptions, Workload

Json = dict[str, Any]

NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""Label that the API server puts on every namespace."""

DNS_PORT: Final = 53
HTTPS_PORT: Final = 443

SCRAPE_INTERVAL: Final = "15s"
"""Time between scrapes: a window of a minute then holds four."""


def metadata(workload: Workload, name: str, more_labels: dict[str, str] | None = None) -> Json:
    """Return the metadata that every owned object has."""
    return {
        "name": name,
        "namespace": workload.pool.namespace,
        "labels": labels.pool_selector(workload.pool.name) | (more_labels or {}),
        "ownerReferences": [workload.owner],
    }


def service(workload: Workload, tier: str) -> Json:
    """Return the address of a tier: all its variants behind one name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(workload, tier_name(workload.pool.name, tier), {labels.TIER: tier}),
        "spec": {
            "type": "ClusterIP",
            "selector": labels.tier_selector(workload.pool.name, tier),
            "ports": [{"name": "http", "port": 8000, "protocol": "TCP", "targetPort": "http"}],
        },
    }


def disruption_budget(workload: Workload, tier: str) -> Json:
    """Return a budget of one replica at a time: drains go on, also where a tier has a single replica."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(workload, tier_name(workload.pool.name, tier), {labels.TIER: tier}),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": labels.tier_selector(workload.pool.name, tier)},
        },
    }


def network_policy(workload: Workload, options: ManifestOptions) -> Json:
    """Return the isolation of a pool's pods: clients and the operator in, name resolution and downloads out."""
    namespaces = sorted({workload.pool.namespace, options.operator_namespace, *options.client_namespaces} - {""})
    peers = [{"namespaceSelector": {"matchExpressions": [_in(NAMESPACE_NAME, namespaces)]}}]
    dns = [{"protocol": protocol, "port": DNS_PORT} for protocol in ("UDP", "TCP")]
    egress: list[Json] = [{"ports": dns}]
    if workload.is_downloaded:
        egress.append({"ports": [{"protocol": "TCP", "port": HTTPS_PORT}]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(workload, bounded(workload.pool.name)),
        "spec": {
            "podSelector": {"matchLabels": labels.pool_selector(workload.pool.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers, "ports": [{"protocol": "TCP", "port": "http"}]}],
            "egress": egress,
        },
    }


def pod_monitor(workload: Workload) -> Json:
    """Return how a Prometheus Operator scrapes the pool's pods."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(workload, bounded(workload.pool.name)),
        "spec": {
            "selector": {"matchLabels": labels.pool_selector(workload.pool.name)},
            "podMetricsEndpoints": [{"port": "http", "path": "/metrics", "interval": SCRAPE_INTERVAL}],
        },
    }


def _in(key: str, values: list[str]) -> Json:
    return {"key": key, "operator": "In", "values": values}
