"""A Kubernetes control plane as four plain processes on loopback: etcd, API server, controller manager, scheduler.

Everything that it starts or writes belongs to the process group it is given, and goes with it. RBAC and node
authorisation are on, as in a real cluster, and every request is written to an audit log, from which tests learn which
rights were used.
"""

import secrets
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import yaml

from localcluster.build import binary
from localcluster.processes import Process, ProcessGroup, StartError, free_ports, wait_until

HOST: Final = "127.0.0.1"
START_PATIENCE_S: Final = 60.0
"""[s] A start takes 3 s on an idle machine; a loaded one gets twenty times that."""
ATTEMPTS: Final = 3
"""Starts tried: between choosing a free port and binding it somebody else may take it."""
PORT_TAKEN: Final = "address already in use"
"""What every one of the programs says then; other failures would repeat."""
HTTP_OK: Final = 200
AUDIT_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "None", "userGroups": ["system:masters", "system:nodes"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}
"""Requests of service accounts are logged, without their bodies."""


class ControlPlane:
    """A running control plane."""

    def __init__(self, group: ProcessGroup) -> None:
        """Start it in ``group``.

        Raises
        ------
        StartError
            With the end of the log of what did not come up.
        BuildError
            When its program could not be built.
        """
        self._program = binary("controlplane")
        self._group = group
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._start()
            except StartError as error:
                if attempt == ATTEMPTS or PORT_TAKEN not in str(error):
                    raise
                group.end_processes()
                shutil.rmtree(self.folder / "etcd", ignore_errors=True)
            else:
                return

    @property
    def folder(self) -> Path:
        """Folder of data, logs and credentials; goes with the group."""
        return self._group.folder

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator."""
        return self.folder / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """One line of JSON for each request: who, which verb, which object, which answer."""
        return self.folder / "audit.log"

    def _start(self) -> None:
        etcd_port, peer_port, api_port, manager_port, scheduler_port = free_ports(5)
        token = secrets.token_hex(16)
        (self.folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
        (self.folder / "audit.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
        self._keygen()
        etcd = self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls=http://{HOST}:{etcd_port}",
            f"--advertise-client-urls=http://{HOST}:{etcd_port}",
            f"--listen-peer-urls=http://{HOST}:{peer_port}",
            f"--initial-advertise-peer-urls=http://{HOST}:{peer_port}",
            f"--initial-cluster=default=http://{HOST}:{peer_port}",
            "--unsafe-no-fsync=true",
        )
        server = self._run(
            "kube-apiserver",
            f"--etcd-servers=http://{HOST}:{etcd_port}",
            f"--bind-address={HOST}",
            f"--secure-port={api_port}",
            f"--cert-dir={self.folder / 'certificates'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--audit-policy-file={self.folder / 'audit.yaml'}",
            f"--audit-log-path={self.audit_log}",
            f"--service-account-issuer=https://{HOST}:{api_port}",
            f"--service-account-key-file={self.folder / 'accounts.key.pub'}",
            f"--service-account-signing-key-file={self.folder / 'accounts.key'}",
        )
        certificate = self.folder / "certificates" / "apiserver.crt"
        url = f"https://{HOST}:{api_port}"
        wait_until("API server", lambda: _is_ready(url, certificate, token), START_PATIENCE_S, etcd, server)
        self._write_kubeconfig(url, certificate, token)
        manager = self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--secure-port={manager_port}",
            f"--bind-address={HOST}",
            f"--cert-dir={self.folder / 'manager'}",
            f"--service-account-private-key-file={self.folder / 'accounts.key'}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
        )
        scheduler = self._run(
            "kube-scheduler",
            f"--kubeconfig={self.kubeconfig}",
            f"--secure-port={scheduler_port}",
            f"--bind-address={HOST}",
            f"--cert-dir={self.folder / 'scheduler'}",
            "--leader-elect=false",
        )
        wait_until("controller manager", lambda: _listens(manager_port), START_PATIENCE_S, manager)
        wait_until("scheduler", lambda: _listens(scheduler_port), START_PATIENCE_S, scheduler)

    def _run(self, name: str, *arguments: str) -> Process:
        return self._group.start(name, [str(self._program.with_name(name)), *arguments])

    def _keygen(self) -> None:
        keygen = self._run("keygen", str(self.folder / "accounts.key"))
        if keygen.child.wait(START_PATIENCE_S):
            raise StartError(f"keygen ended with {keygen.child.returncode}:\n{keygen.log_tail()}")

    def _write_kubeconfig(self, url: str, certificate: Path, token: str) -> None:
        name = "poolwright-local"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": url, "certificate-authority": str(certificate)}}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(yaml.safe_dump(document))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _is_ready(url: str, certificate: Path, token: str) -> bool:
    """Return whether the API server answers its readiness check over TLS that its own certificate vouches for."""
    if not certificate.exists():
        return False
    request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(request, context=context, timeout=2) as answer:  # noqa: S310 - our own https URL
            return bool(answer.status == HTTP_OK)
    except (urllib.error.URLError, OSError):
        return False
