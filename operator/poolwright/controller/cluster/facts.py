"""What all pools share: nodes, profiles and fleet policies, read now and then; and their namespaces' labels.

These are cluster-scoped and the operator may lack the right to see them; then it goes without, and says so. Decides
nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from poolwright.api.accelerator_profile import AcceleratorProfile
from poolwright.api.fleet_policy import FleetPolicy
from poolwright.api.translate import SpecError, accelerator, governing_policy, parsed
from poolwright.controller.cluster.kube import (
    ACCELERATOR_PROFILES,
    FLEET_POLICIES,
    NAMESPACES,
    NODES,
    ForbiddenError,
    Kube,
    NotFoundError,
    ResourceKind,
    UnreachableError,
)
from poolwright.controller.cluster.pod_state import Manifest
from poolwright.hardware.catalogue import Catalogue, load_catalogue
from poolwright.planner.snapshot import Missing, MissingReason

FRESH_S: Final = 10.0
"""[wall s] Age up to which facts are used again: nodes and policies change seldom, and a thousand pools ask."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts of one moment.

    Attributes
    ----------
    nodes
        All of the cluster, or why they cannot be read.
    catalogue
        The built-in one with the cluster's profiles.
    policies
        Fleet policies, each parsed, or the error that it has.
    broken
        Profiles that cannot be read, as sentences.
    version
        Changes exactly when catalogue or policies do.
    """

    nodes: tuple[Manifest, ...] | Missing
    catalogue: Catalogue
    policies: tuple[FleetPolicy | SpecError, ...]
    broken: tuple[str, ...]
    version: tuple[tuple[str, str], ...]

    def policy_for(self, namespace_labels: Mapping[str, str]) -> FleetPolicy | None:
        """Return the policy that governs a namespace.

        Raises
        ------
        SpecError
            A policy cannot be read, or two are equally specific: nobody then knows what is allowed.
        """
        for each in self.policies:
            if isinstance(each, SpecError):
                raise each
        return governing_policy(namespace_labels, [each for each in self.policies if isinstance(each, FleetPolicy)])


class FactsCache:
    """Reads facts at most every ``FRESH_S`` seconds, whoever asks."""

    def __init__(self, kube: Kube, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._now_s = monotonic_s
        self._lock = asyncio.Lock()
        self._facts: Facts | None = None
        self._read_s = 0.0
        self._namespaces: dict[str, tuple[float, Mapping[str, str]]] = {}

    async def current(self) -> Facts:
        """Return facts that are fresh, or the last ones while the API server does not answer."""
        async with self._lock:
            if self._facts is None or self._now_s() - self._read_s > FRESH_S:
                try:
                    self._facts = await self._read(self._facts)
                except UnreachableError:
                    if self._facts is None:
                        raise
                    log.warning("facts of the cluster are old: the API server does not answer")
                self._read_s = self._now_s()
            return self._facts

    async def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a namespace; none where they may not be read."""
        read_s, known = self._namespaces.get(namespace, (0.0, {}))
        if namespace not in self._namespaces or self._now_s() - read_s > FRESH_S:
            try:
                found = await self._kube.get(NAMESPACES, namespace)
                known = ((found or {}).get("metadata") or {}).get("labels") or {}
            except ForbiddenError:
                known = {}
            self._namespaces[namespace] = (self._now_s(), known)
        return known

    async def _read(self, last: Facts | None) -> Facts:
        nodes, profiles, policies = await asyncio.gather(
            self._nodes(), self._optional(ACCELERATOR_PROFILES), self._optional(FLEET_POLICIES)
        )
        version = tuple(
            sorted((each["metadata"]["uid"], each["metadata"]["resourceVersion"]) for each in profiles + policies)
        )
        if last is not None and version == last.version:
            # The same objects: what was computed with the old catalogue stays valid.
            return Facts(
                nodes=nodes, catalogue=last.catalogue, policies=last.policies, broken=last.broken, version=version
            )
        catalogue, broken = _with_profiles(load_catalogue(), profiles)
        return Facts(
            nodes=nodes,
            catalogue=catalogue,
            policies=tuple(_policy(each) for each in policies),
            broken=broken,
            version=version,
        )

    async def _nodes(self) -> tuple[Manifest, ...] | Missing:
        try:
            return tuple(await self._kube.list(NODES))
        except ForbiddenError as error:
            return Missing(reason=MissingReason.UNREACHABLE, detail=f"nodes may not be listed: {error}")

    async def _optional(self, kind: ResourceKind) -> list[Manifest]:
        try:
            return await self._kube.list(kind)
        except (ForbiddenError, NotFoundError):
            return []


def _with_profiles(catalogue: Catalogue, profiles: list[Manifest]) -> tuple[Catalogue, tuple[str, ...]]:
    entries, broken = [], []
    for each in profiles:
        try:
            entries.append(accelerator(parsed(AcceleratorProfile, _bare(each))))
        except ValueError as error:
            broken.append(f"AcceleratorProfile {each['metadata']['name']}: {error}")
    return (catalogue.with_accelerators(entries) if entries else catalogue), tuple(broken)


def _policy(document: Manifest) -> FleetPolicy | SpecError:
    try:
        return parsed(FleetPolicy, _bare(document))
    except SpecError as error:
        return SpecError(f"FleetPolicy {document['metadata']['name']}: {error.field}", error.value, error.expected)


def _bare(document: Manifest) -> Manifest:
    """Return a resource as the types know it."""
    return {key: document[key] for key in ("apiVersion", "kind", "metadata", "spec") if key in document}
