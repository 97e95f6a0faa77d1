"""Three kinds of cluster behind one object: embedded, kind, and whatever the kubeconfig points at.

In each of them kwok plays the GPU nodes of ``dev/nodes.yaml`` and the life of the pods on them. Pods get loopback
addresses (127.10.x.y), so that a local process which listens there *is* the pod's engine, and is reached as a real one
would be.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kubernetes import client, config

from localcluster.build import MODULES, binary
from localcluster.embedded import START_PATIENCE_S, ControlPlane
from localcluster.nodes import NodeGroup, are_ready, create_nodes, delete_nodes, read_groups
from localcluster.processes import Process, StartError, wait_until

KINDS: Final = ("embedded", "kind", "current")
POD_ADDRESSES: Final = "127.10.0.0/16"
"""Addresses that kwok gives to pods: loopback, so that local processes can listen on them (Linux binds all of
127/8)."""
KIND_NAME: Final = "poolwright"
KIND_CONFIG: Final = MODULES.parent / "kind-config.yaml"


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
        self._control_plane: ControlPlane | None = None
        self._kwok: Process | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="poolwright-", ignore_cleanup_errors=True)
        try:
            self.kubeconfig = self._open()
            self._play_nodes(read_groups())
        except BaseException:
            self.stop()
            raise

    @property
    def folder(self) -> Path:
        """Folder for logs and credentials; gone after ``stop``."""
        return Path(self._folder.name)

    @property
    def pids(self) -> list[int]:
        """Process ids of everything that was started."""
        own = self._control_plane.pids if self._control_plane else []
        return own + ([self._kwok.pid] if self._kwok else [])

    @property
    def kubectl(self) -> Path:
        """A kubectl of the control plane's version."""
        return binary("controlplane").with_name("kubectl")

    def env(self) -> Mapping[str, str]:
        """Return the environment that points tools at the cluster: KUBECONFIG and a PATH with kubectl and helm."""
        path = os.pathsep.join([str(self.kubectl.parent), str(binary("helm").parent), os.environ.get("PATH", "")])
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def api(self) -> client.ApiClient:
        """Return a client with the administrator's rights."""
        configuration = client.Configuration()
        config.load_kube_config(str(self.kubeconfig), client_configuration=configuration)
        return client.ApiClient(configuration)

    def stop(self) -> None:
        """Stop what runs and delete the nodes that were made; a kind cluster stays for the next run."""
        if self._control_plane is None and self._kwok is not None:
            with self.api() as api:
                delete_nodes(api)
        if self._kwok:
            self._kwok.stop()
        if self._control_plane:
            self._control_plane.stop()
        self._control_plane = self._kwok = None
        self._folder.cleanup()

    def _open(self) -> Path:
        if self.kind == "embedded":
            self._control_plane = ControlPlane()
            return self._control_plane.kubeconfig
        if self.kind == "kind":
            return self._kind()
        return Path(os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or Path.home() / ".kube" / "config")

    def _kind(self) -> Path:
        if shutil.which("kind") is None:
            raise StartError("CLUSTER=kind needs the `kind` command and a container engine on this machine")
        if KIND_NAME not in _kind_says("get", "clusters").split():
            _kind_says("create", "cluster", "--name", KIND_NAME, "--config", str(KIND_CONFIG), "--wait", "180s")
        target = self.folder / "kind.kubeconfig"
        target.touch(mode=0o600)
        target.write_text(_kind_says("get", "kubeconfig", "--name", KIND_NAME))
        return target

    def _play_nodes(self, groups: tuple[NodeGroup, ...]) -> None:
        stages = self.folder / "stages.yaml"
        stages.write_text("\n---\n".join(file.read_text() for file in sorted((MODULES / "stages").glob("*.yaml"))))
        self._kwok = Process(
            "kwok",
            [
                str(binary("kwok")),
                f"--kubeconfig={self.kubeconfig}",
                f"--config={stages}",
                "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
                f"--cidr={POD_ADDRESSES}",
                "--node-ip=127.0.0.1",
                "--node-lease-duration-seconds=40",
            ],
            self.folder / "kwok.log",
            {"HOME": str(self.folder)},
        )
        with self.api() as api:
            create_nodes(api, groups)
            wait_until("GPU nodes", lambda: are_ready(api, groups), START_PATIENCE_S, self._kwok)


def _kind_says(*arguments: str) -> str:
    done = subprocess.run(["kind", *arguments], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S607
    return done.stdout
