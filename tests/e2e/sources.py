"""Servers that models are fetched from, as pods of the cluster: https, and S3 over TLS."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

from hack import installation
from hack.cluster import Cluster, binaries
from hack.images.recipes import RECIPES
from tests.e2e.models import NAMESPACE
from tests.integration.fetching import Authority

NAME = "source"
HOST = f"{NAME}.{NAMESPACE}.svc"
HTTPS, S3 = 8443, 7070
TOKEN = "token-of-the-test"  # noqa: S105  of a test
KEY, SECRET = "key-of-the-test", "secret-of-the-test"
CA = "source-ca"
READY_TIMEOUT_S = 180
_WORK = "/work"
#: versitygw is no part of any image: it is copied into the pod, and runs from there.
_RUN_S3 = f"""\
until [ -e {_WORK}/go ]; do sleep 1; done
exec {_WORK}/versitygw --port :{S3} --access {KEY} --secret {SECRET} \
--cert /tls/tls.crt --key /tls/tls.key posix --sidecar {_WORK}/meta {_WORK}/data
"""
_PUT = f"""\
import pathlib, obstore
ca = pathlib.Path("/ca/ca.crt").read_text()
from obstore.store import S3Store
store = S3Store(
    "models", endpoint="https://{HOST}:{S3}", access_key_id="{KEY}", secret_access_key="{SECRET}",
    region="us-east-1", client_options={{"root_certificate": ca}},
)
for path in pathlib.Path("/files").glob("*.onnx"):
    obstore.put(store, f"digits/1/{{path.name}}", path.read_bytes())
"""


class Source:
    """A pod with both servers, and their authority."""

    def __init__(self, cluster: Cluster, folder: Path, files: dict[str, bytes]) -> None:
        """Make it and wait until it serves these files."""
        self._cluster = cluster
        self._authority = Authority(folder, HOST)
        installation.apply(cluster, *self._objects(files), namespace=NAMESPACE)
        self._ready("source")

    @property
    def url(self) -> str:
        """Where the files are, over https."""
        return f"https://{HOST}:{HTTPS}"

    def start_s3(self) -> str:
        """Start the S3 server with the bucket ``models``; return its endpoint."""
        program = binaries.ensure("versitygw")["versitygw"]
        self._run("mkdir", "-p", f"{_WORK}/data/models", f"{_WORK}/meta")
        with program.open("rb") as file:
            copy = f"cat > {_WORK}/versitygw && chmod +x {_WORK}/versitygw && touch {_WORK}/go"
            self._run("sh", "-c", copy, stdin=file)
        installation.wait_for(
            "the S3 server takes objects", self._put, timeout_s=READY_TIMEOUT_S, period_s=2
        )
        return f"https://{HOST}:{S3}"

    def logs(self) -> str:
        """Return what the servers say."""
        where = f"--namespace={NAMESPACE}"
        return self._cluster.kubectl("logs", NAME, where, "--all-containers", "--tail=40")

    def _put(self) -> bool:
        try:
            self._run("python", "-c", _PUT, container="https")
        except subprocess.CalledProcessError:
            return False
        return True

    def _run(self, *command: str, container: str = "s3", stdin: Any = None) -> None:
        kubectl = binaries.ensure("kubectl")["kubectl"]
        flags = [f"--kubeconfig={self._cluster.kubeconfig}", f"--namespace={NAMESPACE}"]
        subprocess.run(
            [kubectl, *flags, "exec", "-i", NAME, "-c", container, "--", *command],
            stdin=stdin or subprocess.DEVNULL,
            check=True,
            capture_output=True,
            timeout=120,
        )

    def _ready(self, name: str) -> None:
        self._cluster.kubectl(
            *("wait", "--for=condition=Ready", f"pod/{name}", f"--namespace={NAMESPACE}"),
            f"--timeout={READY_TIMEOUT_S}s",
            timeout_s=READY_TIMEOUT_S + 10,
        )

    def _objects(self, files: dict[str, bytes]) -> list[dict[str, Any]]:
        script = Path(__file__).with_name("source_server.py").read_text()
        packed = {name: base64.b64encode(content).decode() for name, content in files.items()}
        authority = self._authority
        pair = {"tls.crt": authority.chain.read_text(), "tls.key": authority.key.read_text()}
        ca = {"ca.crt": authority.certificate.read_text()}
        return [
            {**_named("Secret", "source-tls"), "stringData": pair},
            {**_named("ConfigMap", CA), "data": ca},
            {**_named("ConfigMap", "source-files"), "binaryData": packed},
            {**_named("ConfigMap", "source-server"), "data": {"server.py": script}},
            {**_named("Service", NAME), "spec": _service()},
            {**_named("Pod", NAME), "spec": _pod()},
        ]


def _named(kind: str, name: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app": NAME}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def _service() -> dict[str, Any]:
    ports = [{"name": name, "port": port} for name, port in (("https", HTTPS), ("s3", S3))]
    return {"selector": {"app": NAME}, "ports": ports}


def _pod() -> dict[str, Any]:
    image = RECIPES["operator"].tag
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    mounts = {"tls": "/tls", "ca": "/ca", "files": "/files", "server": "/server", "work": _WORK}
    common = {
        "image": image,
        "securityContext": security,
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()],
    }
    server = ["python", "/server/server.py", "/files", "/tls", TOKEN]
    probe = {"tcpSocket": {"port": HTTPS}, "periodSeconds": 2}
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {"name": "https", "command": server, "readinessProbe": probe, **common},
            {"name": "s3", "command": ["/bin/sh", "-c", _RUN_S3], **common},
        ],
        "volumes": [
            {"name": "tls", "secret": {"secretName": "source-tls"}},
            {"name": "ca", "configMap": {"name": CA}},
            {"name": "files", "configMap": {"name": "source-files"}},
            {"name": "server", "configMap": {"name": "source-server"}},
            {"name": "work", "emptyDir": {}},
        ],
    }
