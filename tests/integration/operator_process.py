"""The operator as a process on this machine, and waiting for what it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml

from tests.integration.controlplane import ControlPlane

ROOT = Path(__file__).parents[2]
NAMESPACE = "ferryman-system"
PERMISSIONS = {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount"}
POLICIES = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}

T = TypeVar("T")


def wait_for(
    what: str, question: Callable[[], T], timeout_s: float = 20.0, period_s: float = 0.1
) -> T:
    """Ask until the answer is true, and return it; fail with the last answer."""
    deadline = time.monotonic() + timeout_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            answer = question()
        except (RuntimeError, OSError) as error:
            last = error
        else:
            if answer:
                return answer
            last = answer
        time.sleep(period_s)
    raise AssertionError(f"{what}: not within {timeout_s} s; last: {last}")


def install(plane: ControlPlane) -> None:
    """Install Ferryman's kinds, its namespace, permissions and policies, but not its pods."""
    plane.kubectl("apply", "--server-side", "-f", ROOT / "crds")
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", ROOT / "crds")
    plane.kubectl("create", "namespace", NAMESPACE)
    manifests = (ROOT / "manifests" / "base" / "ferryman.yaml").read_text()
    granted = [d for d in yaml.safe_load_all(manifests) if d["kind"] in PERMISSIONS | POLICIES]
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(granted))


class Operator:
    """One ``ferryman operator`` process."""

    def __init__(self, kubeconfig: Path, log: Path, *arguments: str) -> None:
        """Prepare an operator that logs to a file; further arguments are its own."""
        self.log_path = log
        self.module = "ferryman.cli.main"
        self.environment: dict[str, str] = {}
        self._kubeconfig = kubeconfig
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.port: int | None = None

    def start(self, *, wait_until_ready: bool = True) -> Self:
        """Start it; return when it said so, and by default when it is ready."""
        before = len(self.lines())
        command = [sys.executable, "-m", self.module, "operator"]
        command += [f"--kubeconfig={self._kubeconfig}", "--host=127.0.0.1", "--port=0"]
        command += [f"--namespace={NAMESPACE}", *self._arguments]
        # Unless a test says otherwise all are the same pod, started again: none waits for another.
        own = {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}", "POD_NAME": "operator"}
        environment = {**os.environ, **own, **self.environment}
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=ROOT
            )
        self.port = None
        started = wait_for(
            "the operator starts",
            lambda: [line for line in self.lines()[before:] if line.get("message") == "started"],
            30,
        )
        self.port = started[0]["port"]
        if wait_until_ready:
            wait_for("the operator is ready", lambda: self.get("/readyz")[0] == 200)
        return self

    @property
    def pid(self) -> int:
        """The process."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it at once."""
        self._running().kill()
        self._running().wait(10)

    def freeze(self) -> None:
        """Hold it up, as a machine does that has no time for it."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._running().send_signal(signal.SIGCONT)

    def terminate(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit status and the seconds it took."""
        began = time.monotonic()
        self._running().send_signal(signal.SIGTERM)
        status = self._running().wait(30)
        return status, time.monotonic() - began

    def close(self) -> None:
        """End it if it runs."""
        if self.alive:
            self.kill()

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text of one of the operator's own pages."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def writes(self) -> dict[str, float]:
        """Return how many writes of each verb and kind the API server accepted."""
        lines = self.get("/metrics")[1].splitlines()
        prefix = "ferryman_api_writes_total{"
        return {
            line[len(prefix) :].partition("}")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith(prefix)
        }

    def lines(self) -> list[dict[str, Any]]:
        """Return the log so far, one dictionary a line; what is no JSON under ``raw``."""
        if not self.log_path.exists():
            return []
        text = self.log_path.read_text(errors="replace")
        return [_parsed(line) for line in text.splitlines() if line.strip()]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the operator was never started")
        return self._process


def _parsed(line: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"raw": line}
    return found


def now() -> str:
    """Return the moment, as an agent writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
