"""A bare control plane on loopback: a real API server with its etcd, and no nodes.

    with ControlPlane.start() as cluster:
        cluster.kubectl("apply", "-f", "crds/")

It is ready in a few seconds, holds everything in a temporary folder, and leaves nothing but a
record of the permissions that our programs used (`hack/permissions`), where a test started it.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from hack.cluster import binaries
from hack.permissions import uses
from tests.integration.ports import PortLease

READY_TIMEOUT_S = 180  # seconds, where nothing else runs
STOP_TIMEOUT_S = 10
KUBECTL_TIMEOUT_S = 180
TOKEN = "loopback-administrator"  # noqa: S105  # opens a throw-away server on loopback only
SERVICES = "10.96.0.0/16"
KWOK_STAGES = Path(__file__).with_name("kwok.yaml")
#: Of simulated nodes: a thousand real ones would keep an API server busy that shares two cores.
LEASE_DURATION_S = 200
_planes_of: Counter[str] = Counter()


@dataclass
class ControlPlane:
    """etcd and kube-apiserver (with RBAC), optionally controllers, scheduler and nodes."""

    folder: Path
    controllers: bool
    simulated_nodes: bool
    url: str
    _etcd_url: str
    _programs: dict[str, Path]
    admission: Sequence[str] = ()
    module: str = ""
    """That of the test that started it, if one did."""
    _exit: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def start(
        cls,
        *,
        controllers: bool = False,
        simulated_nodes: bool = False,
        admission: Sequence[str] = (),
    ) -> Self:
        """Start the processes and wait until the API server says it is ready.

        Without `controllers` no garbage collection, namespaces' deletion, rollouts or
        default service accounts happen; pods can be created, and stay pending. With
        `simulated_nodes` kube-scheduler binds pods, and kwok plays the kubelet of every Node:
        its pods run, at loopback addresses on which nothing listens. ``admission``: plugins
        beside those that are on by default.
        """
        names = ["etcd", "kube-apiserver", "kubectl"]
        names += ["kube-controller-manager"] if controllers else []
        names += ["kube-scheduler", "kwok"] if simulated_nodes else []
        programs = binaries.ensure(*names)
        lease = PortLease()
        client, peer, secure, _ = lease.ports
        folder = Path(tempfile.mkdtemp(prefix="controlplane-"))
        etcd_url = f"http://127.0.0.1:{client}"
        url = f"https://127.0.0.1:{secure}"
        module = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
        plane = cls(
            folder, controllers, simulated_nodes, url, etcd_url, programs, admission, module
        )
        plane._exit.callback(lease.release)
        try:
            plane._start_all(peer)
        except BaseException:
            plane.stop()
            raise
        return plane

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl as the administrator and return its output."""
        command = [self._programs["kubectl"], f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(
            [str(word) for word in command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=KUBECTL_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def make_default(self, monkeypatch: pytest.MonkeyPatch, kubeconfig: Path | None = None) -> None:
        """Have command lines that run in this process take this cluster for the user's own.

        The user is the administrator unless another's kubeconfig is given.
        """
        path = str(kubeconfig or self.kubeconfig)
        monkeypatch.setenv("KUBECONFIG", path)
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", path)

    def kubeconfig_for(self, token: str, name: str, url: str = "") -> Path:
        """Write a kubeconfig for another token (`kubectl create token …`), or another way."""
        path = self.folder / f"kubeconfig-{name}"
        path.write_text(json.dumps(self._config(token, url)))  # JSON is YAML
        return path

    def log(self, program: str) -> str:
        """Return what a process has written so far."""
        return (self.folder / f"{program}.log").read_text(errors="replace")

    def stop(self) -> None:
        """End the processes, last started first, keep what was used, and remove the folder."""
        self._exit.close()
        self._keep_record()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_all(self, peer: int) -> None:
        self._make_service_account_key()
        (self.folder / "tokens.csv").write_text(f"{TOKEN},administrator,1,system:masters\n")
        etcd = self._spawn("etcd", self._etcd_options(peer))
        self._wait(etcd, f"{self._etcd_url}/health")
        server = self._spawn("kube-apiserver", self._apiserver_options())
        self._wait(server, f"{self.url}/readyz")
        self.kubeconfig.write_text(json.dumps(self._config(TOKEN)))
        if self.controllers:
            self._spawn("kube-controller-manager", self._controller_options())
            self._wait_for_default_service_account()
        if self.simulated_nodes:
            self._spawn("kube-scheduler", self._scheduler_options())
            self._spawn("kwok", self._kwok_options())

    def _keep_record(self) -> None:
        if not self.module:
            return
        if not _planes_of[self.module]:
            uses.forget(self.module)
        _planes_of[self.module] += 1
        uses.write(self.module, _planes_of[self.module], self.folder)

    def _make_service_account_key(self) -> None:
        key = self.folder / "sa.key"
        subprocess.run(
            ["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True, timeout=30
        )

    def _etcd_options(self, peer: int) -> dict[str, object]:
        peer_url = f"http://127.0.0.1:{peer}"
        return {
            "data-dir": self.folder / "etcd",
            "listen-client-urls": self._etcd_url,
            "advertise-client-urls": self._etcd_url,
            "listen-peer-urls": peer_url,
            "initial-advertise-peer-urls": peer_url,
            "initial-cluster": f"default={peer_url}",
            "unsafe-no-fsync": "true",  # a crash may lose the data: it is thrown away anyway
        }

    def _apiserver_options(self) -> dict[str, object]:
        key = self.folder / "sa.key"
        options: dict[str, object] = {
            "etcd-servers": self._etcd_url,
            "bind-address": "127.0.0.1",
            "secure-port": self.url.rpartition(":")[2],
            "cert-dir": self.folder / "certificates",  # it signs its own
            "token-auth-file": self.folder / "tokens.csv",
            "authorization-mode": "RBAC",
            "service-cluster-ip-range": SERVICES,
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
        }
        if self.module:
            options.update(uses.options(self.folder))
        if self.admission:
            options["enable-admission-plugins"] = ",".join(self.admission)
        if not self.controllers:  # nobody makes the default service accounts it would demand
            options["disable-admission-plugins"] = "ServiceAccount"
        return options

    def _controller_options(self) -> dict[str, object]:
        return {
            "kubeconfig": self.kubeconfig,
            "leader-elect": "false",
            "service-account-private-key-file": self.folder / "sa.key",
            "use-service-account-credentials": "true",
            "bind-address": "127.0.0.1",
            "secure-port": "0",
            **(self._at_scale() if self.simulated_nodes else self._nodes_as_told()),
        }

    @staticmethod
    def _nodes_as_told() -> dict[str, object]:
        """Nobody reports for the nodes of a test: they stay Ready without a heartbeat."""
        return {"controllers": "*,-node-lifecycle-controller"}

    @staticmethod
    def _at_scale() -> dict[str, object]:
        """Hundreds of rollouts at once, and nodes whose leases are renewed at a slower pace.

        By default the controllers write 20 times a second at most.
        """
        grace = f"{6 * LEASE_DURATION_S // 5}s"
        return {"kube-api-qps": 200, "kube-api-burst": 400, "node-monitor-grace-period": grace}

    def _scheduler_options(self) -> dict[str, object]:
        return {
            "kubeconfig": self.kubeconfig,
            "leader-elect": "false",
            "bind-address": "127.0.0.1",
            "secure-port": "0",
        }

    def _kwok_options(self) -> dict[str, object]:
        return {
            "kubeconfig": self.kubeconfig,
            "manage-all-nodes": "true",
            "node-ip": "127.0.0.1",
            "node-lease-duration-seconds": LEASE_DURATION_S,
            "config": KWOK_STAGES,
        }

    def _config(self, token: str, url: str = "") -> dict[str, object]:
        authority = self.folder / "certificates" / "apiserver.crt"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "loopback",
                    "cluster": {"server": url or self.url, "certificate-authority": str(authority)},
                }
            ],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "loopback", "context": {"cluster": "loopback", "user": "user"}}],
            "current-context": "loopback",
        }

    def _spawn(self, program: str, options: dict[str, object]) -> subprocess.Popen[bytes]:
        command = [str(self._programs[program]), *(f"--{k}={v}" for k, v in options.items())]
        with (self.folder / f"{program}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._exit.callback(_end, process)
        return process

    def _wait(self, process: subprocess.Popen[bytes], url: str) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not _answers(url):
            program = Path(str(process.args[0])).name  # type: ignore[index]
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{program} is not ready: {self.log(program)[-1500:]}")
            time.sleep(0.1)

    def _wait_for_default_service_account(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while "default" not in self.kubectl(
            "get", "serviceaccounts", "-n", "default", "-o", "name"
        ):
            if time.monotonic() > deadline:
                raise RuntimeError(self.log("kube-controller-manager")[-1500:])
            time.sleep(0.2)


def _answers(url: str) -> bool:
    """Ask with the administrator's token; the certificate is the server's own, not yet known."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=2, context=context) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
