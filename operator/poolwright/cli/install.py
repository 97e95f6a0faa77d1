"""Install the chart and act with its rights: what the demo and the end-to-end tests do before the operator starts.

The operator then runs with a token of the chart's ServiceAccount and nothing else, so a right that the chart forgot
fails here first.
"""

import base64
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from kubernetes import client, config

RELEASE: Final = "poolwright"
"""Helm release, and thereby name of ServiceAccount and lease."""
TOKEN_SECONDS: Final = 3600 * 4
"""[s] Life of the token: longer than any demo or test, short enough to be worthless afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A release, and the kubeconfig that holds its ServiceAccount's token."""

    namespace: str
    kubeconfig: Path


def install_chart(chart: Path, namespace: str, folder: Path, *values: str, helm: str = "helm") -> Installed:
    """Install the chart without running its Deployment, and write the kubeconfig of its ServiceAccount into ``folder``.

    Raises
    ------
    RuntimeError
        With Helm's own words when it fails.
    """
    sets = [argument for value in ("replicas=0", *values) for argument in ("--set", value)]
    done = subprocess.run(
        [helm, "upgrade", "--install", RELEASE, str(chart), "--namespace", namespace, "--create-namespace", *sets],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"helm failed with {done.returncode}: {done.stderr.strip()}")
    return Installed(namespace=namespace, kubeconfig=kubeconfig_of(namespace, folder / "operator.kubeconfig"))


def kubeconfig_of(namespace: str, path: Path, admin_kubeconfig: str | None = None) -> Path:
    """Write the kubeconfig of an installed release's ServiceAccount to ``path`` and return it.

    ``admin_kubeconfig`` is asked for the token; default: that of ``$KUBECONFIG``.
    """
    admin = client.Configuration()
    config.load_kube_config(admin_kubeconfig or os.environ.get("KUBECONFIG"), client_configuration=admin)
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=TOKEN_SECONDS)
    )
    with client.ApiClient(admin) as api:
        answer = client.CoreV1Api(api).create_namespaced_service_account_token(RELEASE, namespace, request)
    if answer.status is None:
        raise RuntimeError(f"the API server gave no token for ServiceAccount {namespace}/{RELEASE}")
    cluster: dict[str, object] = {"server": admin.host}
    if admin.ssl_ca_cert:
        authority = Path(admin.ssl_ca_cert).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    else:
        cluster["insecure-skip-tls-verify"] = not admin.verify_ssl
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": RELEASE,
        "clusters": [{"name": RELEASE, "cluster": cluster}],
        "users": [{"name": RELEASE, "user": {"token": answer.status.token}}],
        "contexts": [{"name": RELEASE, "context": {"cluster": RELEASE, "user": RELEASE, "namespace": namespace}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path
