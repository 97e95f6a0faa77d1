"""Calls of the Kubernetes API, and nothing else: every write passes the fence, every failure has a type.

The client is blocking; calls run in threads so that none of them stops the loop. Reads return JSON as the API server
sent it.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import urllib3
from kubernetes import client

Manifest = dict[str, Any]
Query = list[tuple[str, str]]

FIELD_MANAGER: Final = "poolwright"
"""Owner of the fields that we apply; what another program owns is never taken."""
TIMEOUTS_S: Final = (3.0, 15.0)
"""[wall s] Connect and read: an API server that takes longer is treated as unreachable, and tried again."""
PAGE_SIZE: Final = 500
"""Objects of one list answer: bounds memory at both ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceKind:
    """Where a kind lives in the API."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """Return the path of a collection, an object, or its subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return (
            f"{root}{place}/{self.plural}" + (f"/{name}" if name else "") + (f"/{subresource}" if subresource else "")
        )

    @property
    def api_version(self) -> str:
        """``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version


INFERENCE_POOLS: Final = ResourceKind(
    group="poolwright.io", version="v1alpha1", plural="inferencepools", kind="InferencePool"
)
ACCELERATOR_PROFILES: Final = ResourceKind(
    group="poolwright.io", version="v1alpha1", plural="acceleratorprofiles", kind="AcceleratorProfile", namespaced=False
)
FLEET_POLICIES: Final = ResourceKind(
    group="poolwright.io", version="v1alpha1", plural="fleetpolicies", kind="FleetPolicy", namespaced=False
)
DEPLOYMENTS: Final = ResourceKind(group="apps", version="v1", plural="deployments", kind="Deployment")
PODS: Final = ResourceKind(group="", version="v1", plural="pods", kind="Pod")
NODES: Final = ResourceKind(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
NAMESPACES: Final = ResourceKind(group="", version="v1", plural="namespaces", kind="Namespace", namespaced=False)
SERVICES: Final = ResourceKind(group="", version="v1", plural="services", kind="Service")
PDBS: Final = ResourceKind(group="policy", version="v1", plural="poddisruptionbudgets", kind="PodDisruptionBudget")
NETWORK_POLICIES: Final = ResourceKind(
    group="networking.k8s.io", version="v1", plural="networkpolicies", kind="NetworkPolicy"
)
POD_MONITORS: Final = ResourceKind(group="monitoring.coreos.com", version="v1", plural="podmonitors", kind="PodMonitor")
EVENTS: Final = ResourceKind(group="events.k8s.io", version="v1", plural="events", kind="Event")
LEASES: Final = ResourceKind(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")

KINDS: Final = {
    (each.api_version, each.kind): each
    for each in (
        INFERENCE_POOLS,
        ACCELERATOR_PROFILES,
        FLEET_POLICIES,
        DEPLOYMENTS,
        PODS,
        SERVICES,
        PDBS,
        NETWORK_POLICIES,
        POD_MONITORS,
        EVENTS,
        LEASES,
    )
}
"""Kinds that are written, by (apiVersion, kind)."""


class KubeError(Exception):
    """The API server refused or failed; ``status`` is its HTTP status, 0 when it did not answer."""

    def __init__(self, status: int, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class NotFoundError(KubeError):
    """404: the object, or its kind, does not exist."""


class ConflictError(KubeError):
    """409: somebody else owns the field, or was faster."""


class ForbiddenError(KubeError):
    """401 or 403: a right is missing."""


class InvalidError(KubeError):
    """400 or 422: the object is refused."""


class UnreachableError(KubeError):
    """No answer, too many requests, or a server error: try again."""


class NotLeaderError(Exception):
    """A write was stopped because the lease is not surely held."""


_BY_STATUS: Final[Mapping[int, type[KubeError]]] = {
    400: InvalidError,
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidError,
    429: UnreachableError,
}
NOT_YET_KNOWN: Final = "cannot find RESTMapping"
"""What the API server says, with 403, about owners whose kind it has known for less than half a minute."""

FIRST_ERROR, FIRST_SERVER_ERROR = 400, 500


class Kube:
    """Client of one API server.

    Parameters
    ----------
    configuration
        Where it is, and who we are.
    fence
        Called before every write but those of the lease; raises ``NotLeaderError`` to stop it.
    observe
        Told verb, kind and status of every call, for metrics.
    threads
        Connections, and calls at once.
    """

    def __init__(
        self,
        configuration: client.Configuration,
        *,
        fence: Callable[[], None] = lambda: None,
        observe: Callable[[str, str, int], None] = lambda _verb, _kind, _status: None,
        threads: int = 16,
    ) -> None:
        configuration.retries = False
        configuration.connection_pool_maxsize = threads
        self._api = client.ApiClient(configuration)
        self._fence = fence
        self._observe = observe
        self._gate = asyncio.Semaphore(threads)

    def close(self) -> None:
        """Close every connection."""
        self._api.close()

    async def get(self, kind: ResourceKind, name: str, namespace: str | None = None) -> Manifest | None:
        """Return an object, or None where there is none."""
        try:
            return await self._call("GET", kind, kind.path(namespace, name))
        except NotFoundError:
            return None

    async def list(self, kind: ResourceKind, namespace: str | None = None, label_selector: str = "") -> list[Manifest]:
        """Return every object of a kind, in a namespace or in all, page by page."""
        query = [("limit", str(PAGE_SIZE))] + ([("labelSelector", label_selector)] if label_selector else [])
        items: list[Manifest] = []
        token = ""
        while True:
            page = [*query, ("continue", token)] if token else query
            answer = await self._call("GET", kind, kind.path(namespace), query=page, verb="LIST")
            items += answer.get("items") or []
            token = answer.get("metadata", {}).get("continue") or ""
            if not token:
                return items

    async def apply(self, manifest: Manifest, *, subresource: str = "", is_forced: bool = False) -> Manifest:
        """Apply an object server-side, by force only where told so, and return it as it now is."""
        kind = KINDS[manifest["apiVersion"], manifest["kind"]]
        metadata = manifest["metadata"]
        self._fence()
        return await self._call(
            "PATCH",
            kind,
            kind.path(metadata.get("namespace"), metadata["name"], subresource),
            query=[("fieldManager", FIELD_MANAGER), ("force", str(is_forced).lower())],
            body=manifest,
            content="application/apply-patch+yaml",
        )

    async def create(self, manifest: Manifest, *, is_fenced: bool = True) -> Manifest:
        """Create an object; ``ConflictError`` where it exists."""
        return await self._write("POST", manifest, is_fenced=is_fenced)

    async def replace(self, manifest: Manifest, *, is_fenced: bool = True) -> Manifest:
        """Replace an object; ``ConflictError`` unless its resourceVersion is still the one given."""
        return await self._write("PUT", manifest, is_fenced=is_fenced)

    async def delete(self, kind: ResourceKind, name: str, namespace: str | None, *, uid: str) -> None:
        """Delete the object with this uid; gone already is done."""
        self._fence()
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        try:
            await self._call("DELETE", kind, kind.path(namespace, name), body=body)
        except NotFoundError:
            return

    async def _write(self, method: str, manifest: Manifest, *, is_fenced: bool) -> Manifest:
        kind = KINDS[manifest["apiVersion"], manifest["kind"]]
        metadata = manifest["metadata"]
        if is_fenced:
            self._fence()
        name = metadata["name"] if method == "PUT" else None
        return await self._call(method, kind, kind.path(metadata.get("namespace"), name), body=manifest)

    async def _call(
        self,
        method: str,
        kind: ResourceKind,
        path: str,
        *,
        query: Query | None = None,
        body: Manifest | None = None,
        content: str = "application/json",
        verb: str = "",
    ) -> Manifest:
        async with self._gate:
            status, text = await asyncio.to_thread(self._request, method, path, query or [], body, content)
        self._observe(verb or method, kind.plural, status)
        if status == 0 or status >= FIRST_ERROR:
            raise _error(status, text, f"{verb or method} {path}")
        answer: Manifest = json.loads(text) if text else {}
        return answer

    def _request(self, method: str, path: str, query: Query, body: Manifest | None, content: str) -> tuple[int, str]:
        """Make one call; status 0 and the reason when there was no answer."""
        headers = {"Accept": "application/json", "Content-Type": content}
        request = self._api.param_serialize(
            method, path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            response = self._api.call_api(*request, _request_timeout=TIMEOUTS_S)
            data = response.read()
        except client.ApiException as error:
            return int(error.status or 0), str(error.body or error.reason or "")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return 0, f"{type(error).__name__}: {error}"
        return int(response.status), data.decode() if data else ""


def _error(status: int, text: str, call: str) -> KubeError:
    try:
        answer = json.loads(text)
        reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))
        retry = (answer.get("details") or {}).get("retryAfterSeconds")
    except (json.JSONDecodeError, AttributeError):
        reason, message, retry = "", text[:500], None
    kind = _BY_STATUS.get(status, UnreachableError if status == 0 or status >= FIRST_SERVER_ERROR else KubeError)
    if NOT_YET_KNOWN in message:
        kind = UnreachableError
    return kind(status, reason, f"{call}: {message or reason or status}", None if retry is None else float(retry))
