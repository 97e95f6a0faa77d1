"""One pool's objects as the cluster has them, gathered in one go.

Reads; decides nothing (``observe`` turns a view into a ``Snapshot``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from poolwright.controller.cluster.kube import DEPLOYMENTS, NODES, PODS, ForbiddenError, Kube
from poolwright.controller.cluster.pod_state import Manifest, PoolRef
from poolwright.controller.objects import labels
from poolwright.planner.snapshot import Missing, MissingReason


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """What the cluster holds for one pool at one moment.

    Attributes
    ----------
    deployments, pods
        Those that carry the pool's labels.
    nodes
        All of the cluster, or why they cannot be read (namespaced mode).
    neighbours
        Every other pod that is visible: what it asks for is not free.
    """

    deployments: Sequence[Manifest]
    pods: Sequence[Manifest]
    nodes: Sequence[Manifest] | Missing
    neighbours: Sequence[Manifest] = ()


async def gather(kube: Kube, pool: PoolRef) -> PoolView:
    """Return the view of a pool by asking the API server; nodes that may not be read are missing, not absent."""
    deployments = await kube.list(DEPLOYMENTS, pool.namespace, labels.selector_text(labels.pool_selector(pool.name)))
    nodes = await _nodes(kube)
    visible = await _visible_pods(kube, pool)
    own = [pod for pod in visible if is_of(pod, pool)]
    others = [pod for pod in visible if not is_of(pod, pool)]
    return PoolView(deployments=deployments, pods=own, nodes=nodes, neighbours=others)


async def _nodes(kube: Kube) -> Sequence[Manifest] | Missing:
    try:
        return await kube.list(NODES)
    except ForbiddenError as error:
        return Missing(reason=MissingReason.UNREACHABLE, detail=f"nodes may not be listed: {error}")


async def _visible_pods(kube: Kube, pool: PoolRef) -> Sequence[Manifest]:
    """Return the pods of the cluster, or of the pool's namespace where no more may be read."""
    try:
        return await kube.list(PODS)
    except ForbiddenError:
        return await kube.list(PODS, pool.namespace)


def is_of(manifest: Manifest, pool: PoolRef) -> bool:
    """Return whether an object is in the pool's namespace and carries its labels."""
    found = labels.labels_of(manifest)
    in_namespace = manifest.get("metadata", {}).get("namespace") == pool.namespace
    return in_namespace and all(found.get(key) == value for key, value in labels.pool_selector(pool.name).items())
