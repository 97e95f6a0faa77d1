"""Makes the cluster hold what a pool should own: writes what differs, deletes what it no longer wants, nothing else.

Server-side apply; a field that another program owns is reported, not taken, and what a person changed with kubectl is
put right. An object that already holds everything we manage costs no write (``difference``). What is wanted comes from
``manifests``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from poolwright.controller.cluster.kube import (
    DEPLOYMENTS,
    NETWORK_POLICIES,
    PDBS,
    POD_MONITORS,
    SERVICES,
    ConflictError,
    InvalidError,
    Kube,
    NotFoundError,
    ResourceKind,
)
from poolwright.controller.cluster.pod_state import Manifest
from poolwright.controller.cluster.view import PoolView
from poolwright.controller.objects import labels
from poolwright.controller.objects.difference import is_applied, with_hash

OWNED_KINDS: Final = {each.kind: each for each in (NETWORK_POLICIES, SERVICES, PDBS, POD_MONITORS, DEPLOYMENTS)}
"""Everything that a pool may own, by kind."""

OPTIONAL_KINDS: Final = (POD_MONITORS.kind,)
"""Kinds whose definition a cluster may lack: looked at only when wanted."""


CONFLICT: Final = re.compile(r'conflicts? with "([^"]*)"(?: with subresource "[^"]*")?( using )?')
"""How the API server names the other owner of a field; it says ``using`` where that owner did not apply but update."""

HAND: Final = "kubectl"
"""What the names of fields' owners begin with where a person wrote them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done, as ``Kind/name``; conflicts and refusals carry the server's words."""

    changed: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


async def apply(kube: Kube, wanted: Sequence[Manifest], existing: PoolView) -> Applied:
    """Write the wanted objects of one pool and delete those that it no longer has.

    Parameters
    ----------
    kube
        Client; every write passes its fence.
    wanted
        Objects of one pool, all with the same owner. None at all changes nothing: a pool always owns something.
    existing
        The view that the plan was made on; its Deployments are not read again.

    Raises
    ------
    KubeError
        A call failed otherwise than by conflict or refusal: the pool is tried again later.
    """
    if not wanted:
        return Applied()
    owner = owner_uid(wanted[0])
    live = await _live(kube, wanted, existing)
    changed: list[str] = []
    conflicts: list[str] = []
    for manifest in wanted:
        name = name_of(manifest)
        try:
            if await _put(kube, manifest, live.get(name)):
                changed.append(name)
        except (ConflictError, InvalidError, NotOwnedError) as error:
            conflicts.append(f"{name}: {error}")
        except NotFoundError as error:
            if manifest["kind"] not in OPTIONAL_KINDS:
                raise
            conflicts.append(f"{name}: the cluster has no such kind: {error}")
    keep = {name_of(manifest) for manifest in wanted}
    surplus = {name: found for name, found in live.items() if name not in keep and owner_uid(found) == owner}
    deleted = [name for name, found in surplus.items() if await _delete(kube, name, found)]
    return Applied(changed=tuple(changed), conflicts=tuple(conflicts), deleted=tuple(deleted))


class NotOwnedError(Exception):
    """An object of the wanted name belongs to somebody else."""


async def _put(kube: Kube, manifest: Manifest, found: Manifest | None) -> bool:
    """Write an object unless it is as wanted; return whether it was written."""
    if found is not None and owner_uid(found) != owner_uid(manifest):
        raise NotOwnedError("exists and does not belong to this pool; delete it or rename the pool")
    marked = with_hash(manifest)
    if found is not None and is_applied(marked, found):
        return False
    try:
        await kube.apply(marked)
    except ConflictError as error:
        if not is_by_hand(str(error)):
            raise
        await kube.apply(marked, is_forced=True)
    return True


def is_by_hand(conflict: str) -> bool:
    """Return whether a conflict is only with what somebody changed once with kubectl: drift, which is corrected.

    Whoever applies a field (with kubectl or otherwise) or scales by program owns it, and is not fought.

    >>> is_by_hand('conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas')
    True
    >>> is_by_hand('conflict with "kube-controller-manager" with subresource "scale" using apps/v1: .spec.replicas')
    False
    >>> is_by_hand('conflict with "kubectl": .spec.replicas')
    False
    """
    owners = [found.groups() for found in CONFLICT.finditer(conflict)]
    return bool(owners) and all(name.startswith(HAND) and is_update for name, is_update in owners)


async def _delete(kube: Kube, name: str, found: Manifest) -> bool:
    """Delete an object that nobody has deleted yet; return whether it was done here."""
    metadata = found["metadata"]
    if metadata.get("deletionTimestamp"):
        return False
    kind = OWNED_KINDS[name.partition("/")[0]]
    await kube.delete(kind, metadata["name"], metadata["namespace"], uid=metadata["uid"])
    return True


async def _live(kube: Kube, wanted: Sequence[Manifest], existing: PoolView) -> dict[str, Manifest]:
    """Return the live objects by name: all with the pool's labels, and whatever else bears a wanted name."""
    namespace = wanted[0]["metadata"]["namespace"]
    pool = labels.labels_of(wanted[0])[labels.POOL]
    selector = labels.selector_text(labels.pool_selector(pool))
    kinds = {manifest["kind"] for manifest in wanted}
    live = {f"{DEPLOYMENTS.kind}/{each['metadata']['name']}": each for each in existing.deployments}
    for kind in OWNED_KINDS.values():
        if kind is not DEPLOYMENTS and (kind.kind in kinds or kind.kind not in OPTIONAL_KINDS):
            found = await _of_kind(kube, kind, namespace, selector)
            live |= {f"{kind.kind}/{each['metadata']['name']}": each for each in found}
    for manifest in wanted:
        if name_of(manifest) not in live:
            other = await kube.get(OWNED_KINDS[manifest["kind"]], manifest["metadata"]["name"], namespace)
            live |= {name_of(manifest): other} if other is not None else {}
    return live


async def _of_kind(kube: Kube, kind: ResourceKind, namespace: str, selector: str) -> Sequence[Manifest]:
    """Return the objects of a kind, none where the cluster lacks an optional one."""
    try:
        return await kube.list(kind, namespace, selector)
    except NotFoundError:
        if kind.kind not in OPTIONAL_KINDS:
            raise
        return ()


def name_of(manifest: Manifest) -> str:
    """Return ``Kind/name`` of an object."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def owner_uid(manifest: Manifest) -> str | None:
    """Return the uid of the object's controller, or None where it has none."""
    references = manifest["metadata"].get("ownerReferences") or ()
    return next((each["uid"] for each in references if each.get("controller")), None)
