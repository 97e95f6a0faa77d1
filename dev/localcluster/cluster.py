"""Three kinds of cluster behind one object: embedded, kind, and whatever the kubeconfig points at.

In each of them kwok plays the GPU nodes of ``dev/nodes.yaml`` and the life of the pods on them. Pods get loopback
addresses, so that a local process which listens there *is* the pod's engine (``pod_network``).
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from kubernetes import client, config
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from localcluster.build import MODULES, binary
from localcluster.embedded import START_PATIENCE_S, ControlPlane
from localcluster.nodes import NodeGroup, are_ready, create_nodes, delete_nodes, give_capacity, read_groups
from localcluster.pod_network import PodNetwork
from localcluster.processes import ProcessGroup, StartError, wait_until

KINDS: Final = ("embedded", "kind", "current")
KIND_NAME: Final = "poolwright"
KIND_CONFIG: Final = MODULES.parent / "kind-config.yaml"
ANSWER_PATIENCE_S: Final = 10.0
"""[s] How long a cluster that runs already gets to answer; one far away needs a second."""


class Cluster:
    """A cluster with GPU nodes; ``stop`` takes away what was started or created, and nothing else."""

    def __init__(self, kind: str | None = None) -> None:
        """Start or join the cluster that ``kind`` (default: ``$CLUSTER``, or embedded) names.

        Raises
        ------
        StartError
            When it does not come up, or the kind is unknown.
        """
        self.kind = kind or os.environ.get("CLUSTER") or KINDS[0]
        if self.kind not in KINDS:
            raise StartError(f"CLUSTER is {self.kind!r}, must be one of {', '.join(KINDS)}")
        self._created: list[str] = []
        self._network = PodNetwork()
        self._group = ProcessGroup()
        try:
            self.kubeconfig = self._open()
            self._play_nodes(read_groups())
        except BaseException:
            self.stop()
            raise

    @property
    def folder(self) -> Path:
        """Folder for logs and credentials; gone after ``stop``."""
        return self._group.folder

    @property
    def pod_network(self) -> IPv4Network:
        """Network of the addresses that pods get."""
        return self._network.network

    @property
    def pids(self) -> list[int]:
        """Process ids of everything that was started."""
        return self._group.pids

    @property
    def audit_log(self) -> Path | None:
        """Log of the requests of service accounts; None where the control plane is not ours."""
        return self.folder / "audit.log" if self.kind == "embedded" else None

    @property
    def kubectl(self) -> Path:
        """A kubectl of the control plane's version."""
        return binary("kubectl")

    def env(self) -> Mapping[str, str]:
        """Return the environment that points tools at the cluster: KUBECONFIG and a PATH with kubectl and helm."""
        path = os.pathsep.join([str(self.kubectl.parent), str(binary("helm").parent), os.environ.get("PATH", "")])
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def api(self) -> client.ApiClient:
        """Return a client with the administrator's rights."""
        configuration = client.Configuration()
        config.load_kube_config(str(self.kubeconfig), client_configuration=configuration)
        return client.ApiClient(configuration)

    @contextmanager
    def guest(self, pid: int) -> Iterator[None]:
        """Let a process that works with the cluster be asked to end if the cluster's owner is killed."""
        self._group.adopt(pid)
        try:
            yield
        finally:
            self._group.release(pid)

    def stop(self) -> None:
        """Stop what runs and delete the nodes that were made; a kind cluster stays for the next run."""
        try:
            if self.kind != "embedded" and self._created:
                with self.api() as api:
                    delete_nodes(api, self._created)
                self._created.clear()
        finally:
            self._group.stop()
            self._network.close()

    def _open(self) -> Path:
        if self.kind == "embedded":
            return ControlPlane(self._group).kubeconfig
        if self.kind == "kind":
            return self._kind()
        return self._current()

    def _current(self) -> Path:
        kubeconfig = Path(os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or Path.home() / ".kube" / "config")
        self.kubeconfig = kubeconfig
        try:
            with self.api() as api:
                client.VersionApi(api).get_code(_request_timeout=ANSWER_PATIENCE_S)
        except (ConfigException, client.ApiException, HTTPError) as error:
            raise StartError(f"CLUSTER=current: no cluster answers as {kubeconfig} says: {error}") from error
        return kubeconfig

    def _kind(self) -> Path:
        if KIND_NAME not in _kind_says("get", "clusters").split():
            _kind_says("create", "cluster", "--name", KIND_NAME, "--config", str(KIND_CONFIG), "--wait", "180s")
        target = self.folder / "kind.kubeconfig"
        target.touch(mode=0o600)
        target.write_text(_kind_says("get", "kubeconfig", "--name", KIND_NAME))
        return target

    def _play_nodes(self, groups: tuple[NodeGroup, ...]) -> None:
        stages = self.folder / "stages.yaml"
        stages.write_text("\n---\n".join(file.read_text() for file in sorted((MODULES / "stages").glob("*.yaml"))))
        kwok = self._group.start(
            "kwok",
            [
                str(binary("kwok")),
                f"--kubeconfig={self.kubeconfig}",
                f"--config={stages}",
                "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
                f"--cidr={self._network.network}",
                "--node-ip=127.0.0.1",
                "--node-lease-duration-seconds=40",
            ],
            {"HOME": str(self.folder)},
        )
        with self.api() as api:
            if self.kind == "kind":
                give_capacity(api)
            create_nodes(api, groups, self._created)
            wait_until("GPU nodes", lambda: are_ready(api, groups), START_PATIENCE_S, kwok)


def _kind_says(*arguments: str) -> str:
    done = subprocess.run([str(binary("kind")), *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise StartError(f"CLUSTER=kind needs a container engine; `kind {arguments[0]}` said:\n{done.stderr}")
    return done.stdout
