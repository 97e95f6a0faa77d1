"""What the watches have shown of pools, their Deployments and pods: read by every pass instead of the API server.

Fed by events and, so that nothing depends on a watch being alive or complete, by a full list now and then. Holds
objects as the API server sent them; decides nothing.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from poolwright.controller.cluster.kube import DEPLOYMENTS, INFERENCE_POOLS, PODS, ResourceKind
from poolwright.controller.cluster.pod_state import Manifest, PoolRef
from poolwright.controller.cluster.view import PoolView
from poolwright.controller.objects import labels
from poolwright.planner.snapshot import Missing

MIRRORED: Final = (INFERENCE_POOLS, DEPLOYMENTS, PODS)
"""Kinds that are watched."""

GRAVE_S: Final = 120.0
"""[wall s] How long a deletion is remembered: longer than any list that began before it takes."""

ObjectKey = tuple[str, str]
"""Namespace and name."""
LabelKey = tuple[str, str]
"""Namespace and the pool's label, which is its name unless that is too long for a label."""


class Mirror:
    """Objects by kind, namespace and name."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = monotonic_s
        self._objects: dict[str, dict[ObjectKey, Manifest]] = {kind.plural: {} for kind in MIRRORED}
        self._labelled: dict[str, dict[LabelKey, set[ObjectKey]]] = {kind.plural: {} for kind in MIRRORED}
        self._gone: dict[str, float] = {}
        self.heard_s = monotonic_s()

    def put(self, kind: ResourceKind, manifest: Manifest) -> PoolRef | None:
        """Take an object that was seen, unless a newer one is known; return the pool that it concerns."""
        self.heard_s = self._now_s()
        metadata = manifest.get("metadata") or {}
        if metadata.get("uid") in self._gone:
            return None
        key = (metadata.get("namespace") or "", metadata.get("name") or "")
        known = self._objects[kind.plural].get(key)
        if known is not None and _version(known) > _version(manifest):
            return self._pool_of(kind, known)
        if known is not None:
            self._remove(kind, key)  # its labels may have changed
        metadata.pop("managedFields", None)
        self._objects[kind.plural][key] = manifest
        label = _label_key(kind, manifest)
        if label is not None:
            self._labelled[kind.plural].setdefault(label, set()).add(key)
        return self._pool_of(kind, manifest)

    def drop(self, kind: ResourceKind, manifest: Manifest) -> PoolRef | None:
        """Forget an object that was deleted; return the pool that it concerns."""
        self.heard_s = self._now_s()
        metadata = manifest.get("metadata") or {}
        self._gone = {uid: at_s for uid, at_s in self._gone.items() if self.heard_s - at_s < GRAVE_S}
        self._gone[metadata.get("uid") or ""] = self.heard_s
        return self._remove(kind, (metadata.get("namespace") or "", metadata.get("name") or ""))

    def replace(self, kind: ResourceKind, namespace: str | None, items: Iterable[Manifest]) -> set[PoolRef]:
        """Take a full list of a namespace (None: of all); return every pool that it concerns, gone ones included."""
        touched: set[PoolRef] = set()
        listed = set()
        for each in items:
            listed.add((each["metadata"].get("namespace") or "", each["metadata"]["name"]))
            pool = self.put(kind, each)
            touched |= {pool} if pool else set()
        for key in [key for key in self._objects[kind.plural] if key not in listed and namespace in (None, key[0])]:
            pool = self._remove(kind, key)
            touched |= {pool} if pool else set()
        return touched

    def pool(self, pool: PoolRef) -> Manifest | None:
        """Return a pool's resource, or None where it is gone."""
        return self._objects[INFERENCE_POOLS.plural].get((pool.namespace, pool.name))

    def pools(self) -> list[PoolRef]:
        """Return every pool."""
        return [PoolRef(namespace=namespace, name=name) for namespace, name in self._objects[INFERENCE_POOLS.plural]]

    def view(self, pool: PoolRef, nodes: tuple[Manifest, ...] | Missing) -> PoolView:
        """Return the objects of a pool, and every other visible pod."""
        label = pool.namespace, labels.pool_selector(pool.name)[labels.POOL]
        own = self._labelled[PODS.plural].get(label, set())
        pods = self._objects[PODS.plural]
        return PoolView(
            deployments=self._owned(DEPLOYMENTS, label),
            pods=self._owned(PODS, label),
            nodes=nodes,
            neighbours=[each for key, each in pods.items() if key not in own],
        )

    def owned(self, pool: PoolRef) -> tuple[list[Manifest], list[Manifest]]:
        """Return the Deployments and the pods of a pool."""
        label = pool.namespace, labels.pool_selector(pool.name)[labels.POOL]
        return self._owned(DEPLOYMENTS, label), self._owned(PODS, label)

    def _owned(self, kind: ResourceKind, label: LabelKey) -> list[Manifest]:
        keys = sorted(self._labelled[kind.plural].get(label, set()))
        return [self._objects[kind.plural][key] for key in keys]

    def _remove(self, kind: ResourceKind, key: ObjectKey) -> PoolRef | None:
        known = self._objects[kind.plural].pop(key, None)
        if known is None:
            return None
        pool = self._pool_of(kind, known)
        label = _label_key(kind, known)
        if label is not None:
            self._labelled[kind.plural].get(label, set()).discard(key)
        return pool

    def _pool_of(self, kind: ResourceKind, manifest: Manifest) -> PoolRef | None:
        """Return the pool that an object is or belongs to; None for strangers."""
        label = _label_key(kind, manifest)
        if label is None:
            return None
        if kind is INFERENCE_POOLS:
            return PoolRef(namespace=label[0], name=manifest["metadata"]["name"])
        known = self._labelled[INFERENCE_POOLS.plural].get(label, set())
        return next((PoolRef(namespace=namespace, name=name) for namespace, name in known), None)


def _label_key(kind: ResourceKind, manifest: Manifest) -> LabelKey | None:
    """Return namespace and pool label of an object, of a pool the label that its objects bear; None for strangers."""
    metadata = manifest.get("metadata") or {}
    namespace = metadata.get("namespace") or ""
    if kind is INFERENCE_POOLS:
        return namespace, labels.pool_selector(metadata.get("name") or "")[labels.POOL]
    found = labels.labels_of(manifest)
    if found.get(labels.MANAGED_BY) != labels.MANAGER or labels.POOL not in found:
        return None
    return namespace, found[labels.POOL]


def _version(manifest: Manifest) -> int:
    """Return the resource version, which grows with every write (Kubernetes 1.35 makes them comparable)."""
    text = str((manifest.get("metadata") or {}).get("resourceVersion") or "0")
    return int(text) if text.isdecimal() else 0
