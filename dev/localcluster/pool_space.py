"""A namespace as a user of pools sees it: pools, what they say, and what they own."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kubernetes import client

from localcluster.cluster import Cluster
from localcluster.operator_process import eventually

Json = dict[str, Any]

GROUP, VERSION, PLURAL = "poolwright.io", "v1alpha1", "inferencepools"
GONE: Final = 404
OWNED: Final = "deployments,services,poddisruptionbudgets,networkpolicies"


class PoolSpace:
    """One namespace."""

    def __init__(self, cluster: Cluster, api: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._cluster = cluster
        self._api = api
        self._custom: Any = client.CustomObjectsApi(api)

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """Run kubectl in the namespace, and return what it says."""
        command = [str(self._cluster.kubectl), "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, env=self._cluster.env(), check=False, capture_output=True, text=True, input=text)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def apply(self, name: str, **spec: object) -> None:
        """Create a pool or change the given fields of its spec."""
        metadata = {"name": name, "namespace": self.namespace}
        self.write({"apiVersion": f"{GROUP}/{VERSION}", "kind": "InferencePool", "metadata": metadata, "spec": spec})

    def write(self, document: Json, manager: str = "user", *arguments: str) -> None:
        """Apply an object server-side as another manager of fields would."""
        self.kubectl(
            "apply", "--server-side", f"--field-manager={manager}", *arguments, "-f-", text=json.dumps(document)
        )

    def patch(self, name: str, **spec: object) -> None:
        """Merge fields into a pool's spec; None removes one."""
        self._custom.patch_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name, {"spec": spec})

    def pool(self, name: str) -> Json:
        """Return a pool, empty when there is none."""
        try:
            return dict(self._custom.get_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name))
        except client.ApiException as error:
            if error.status != GONE:
                raise
            return {}

    def delete(self, name: str) -> None:
        """Delete a pool and wait until everything that it owned is gone."""
        try:
            self._custom.delete_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name)
        except client.ApiException as error:
            if error.status != GONE:
                raise
        eventually("gone", lambda: [*self.owned(name), *self.pods(name)], lambda found: not found, 40.0)

    def owned(self, name: str) -> list[str]:
        """Return ``kind/name`` of everything that carries the pool's label, pods apart."""
        selector = f"--selector=poolwright.io/pool={name}"
        return self.kubectl("get", OWNED, selector, "--output=name").split()

    def deployments(self, name: str) -> list[Json]:
        """Return the pool's Deployments."""
        found = client.AppsV1Api(self._api).list_namespaced_deployment(
            self.namespace, label_selector=f"poolwright.io/pool={name}"
        )
        return list(self._api.sanitize_for_serialization(found)["items"])

    def pods(self, name: str) -> list[Json]:
        """Return the pool's pods."""
        found = client.CoreV1Api(self._api).list_namespaced_pod(
            self.namespace, label_selector=f"poolwright.io/pool={name}"
        )
        return list(self._api.sanitize_for_serialization(found)["items"])

    def replicas(self, name: str) -> int:
        """Return the replicas that the pool's Deployments want."""
        return sum(int(each["spec"]["replicas"]) for each in self.deployments(name))

    def condition(self, name: str, kind: str) -> Mapping[str, str]:
        """Return a condition of a pool if it speaks of the current spec, otherwise an empty one."""
        pool = self.pool(name)
        generation = pool.get("metadata", {}).get("generation")
        found: Sequence[Json] = pool.get("status", {}).get("conditions") or ()
        return next(
            (each for each in found if each["type"] == kind and each.get("observedGeneration") == generation), {}
        )

    def until(
        self, name: str, kind: str, status: str = "True", reason: str | None = None, patience_s: float = 20.0
    ) -> Mapping[str, str]:
        """Wait until a condition of the current spec has a status, and a reason if one is given; return it."""
        return eventually(
            f"{kind}={status}" + (f" because of {reason}" if reason else ""),
            lambda: self.condition(name, kind),
            lambda found: found.get("status") == status and reason in (None, found.get("reason")),
            patience_s,
        )

    def until_replicas(self, name: str, count: int, patience_s: float = 20.0) -> None:
        """Wait until the pool's Deployments want so many replicas."""
        eventually(f"{count} replicas", lambda: self.replicas(name), lambda found: found == count, patience_s)
