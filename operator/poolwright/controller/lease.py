"""Leader election by a Lease with compare-and-swap; the fence says whether we surely still hold it.

Times are the local monotonic clock's, never compared between machines: a follower waits until the holder's record has
not changed for the lease's whole duration. A leader that could not renew in time stops writing before anybody else may
begin.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from poolwright.controller.cluster.kube import LEASES, ConflictError, Kube, KubeError, Manifest, NotLeaderError

DURATION_S: Final = 15.0
"""[wall s] How long a lease counts after its last renewal: another acts within this and one retry after a crash."""
RENEW_WITHIN_S: Final = 10.0
"""[wall s] A leader that has not renewed for this long stops writing, 5 s before anybody may take over."""
RETRY_S: Final = 2.0
"""[wall s] Time between two attempts to take or renew."""

log = logging.getLogger(__name__)


class Lease:
    """One candidate for the lease ``namespace/name``."""

    def __init__(
        self, name: str, namespace: str, identity: str, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.identity = identity
        self._name = name
        self._namespace = namespace
        self._now_s = monotonic_s
        self._renewed_s: float | None = None
        self._seen: tuple[str, str] = ("", "")
        self._seen_since_s = monotonic_s()

    @property
    def is_held(self) -> bool:
        """Whether we surely hold it now."""
        return self._renewed_s is not None and self._now_s() - self._renewed_s < RENEW_WITHIN_S

    def check(self) -> None:
        """Raise ``NotLeaderError`` unless the lease is surely held: the fence of every write."""
        if not self.is_held:
            raise NotLeaderError(f"{self.identity} does not hold the lease {self._namespace}/{self._name}")

    async def run(self, kube: Kube) -> None:
        """Take and renew it for ever; give it back when cancelled."""
        try:
            while True:
                await self.attempt(kube)
                await asyncio.sleep(RETRY_S)
        finally:
            await self._release(kube)

    async def attempt(self, kube: Kube) -> None:
        """Take or renew it once; failures leave things as they are, and time does the rest."""
        began_s = self._now_s()
        was_held = self.is_held
        try:
            current = await kube.get(LEASES, self._name, self._namespace)
            if current is None:
                await kube.create(self._record(None), is_fenced=False)
            elif self._may_take(current):
                await kube.replace(self._record(current), is_fenced=False)
            else:
                self._renewed_s = None
                return
        except ConflictError:
            self._renewed_s = None
            return
        except KubeError as error:
            log.warning("lease not renewed", extra={"error": str(error)})
            return
        # Counted from before the call: what happened while it was under way is not ours.
        self._renewed_s = began_s
        if not was_held:
            log.info("leading", extra={"identity": self.identity})

    def _may_take(self, current: Manifest) -> bool:
        spec = current.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        seen = (holder, str(spec.get("renewTime")))
        if seen != self._seen:
            self._seen, self._seen_since_s = seen, self._now_s()
        return holder in ("", self.identity) or self._now_s() - self._seen_since_s >= DURATION_S

    def _record(self, current: Manifest | None) -> Manifest:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        before = (current or {}).get("spec") or {}
        is_ours = before.get("holderIdentity") == self.identity
        metadata = {"name": self._name, "namespace": self._namespace}
        if current is not None:
            metadata["resourceVersion"] = current["metadata"]["resourceVersion"]
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(DURATION_S),
                "acquireTime": before.get("acquireTime") if is_ours else now,
                "renewTime": now,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + (not is_ours),
            },
        }

    async def _release(self, kube: Kube) -> None:
        """Give it back, so that a standby need not wait."""
        if not self.is_held:
            return
        self._renewed_s = None
        try:
            current = await kube.get(LEASES, self._name, self._namespace)
            if current and (current.get("spec") or {}).get("holderIdentity") == self.identity:
                record = self._record(current)
                record["spec"]["holderIdentity"] = ""
                await kube.replace(record, is_fenced=False)
        except KubeError as error:
            log.warning("lease not given back", extra={"error": str(error)})
