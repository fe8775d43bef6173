"""Run a real tritonserver on free loopback ports, as the light CPU image does.

    with TritonServer(repository, control_key="secret") as server:
        client = tritonclient.http.InferenceServerClient(server.http_url)

The server is in EXPLICIT model control mode. With a control key, the model repository API
and the model configuration, shared memory, trace and log APIs answer only to requests with
the header `triton-control-key: <key>` (gRPC: the metadata `triton-grpc-protocol-control-key`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ferryman.core.render.pod import ON_IPV6
from hack.images import tree
from tests.integration.ports import PortLease

HEADER = "control-key"
RESTRICTED = "model-repository,model-config,shared-memory,trace,logging"
LOOPBACK = tuple(f"--{api}-address=127.0.0.1" for api in ("http", "grpc", "metrics"))
#: What Triton 2.51 says before it dies of a race between the pollers of its gRPC server.
GRPC_START_FAULT = "epoll_wait error: Bad file descriptor"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.05
LAST_WORDS = 40  # lines of the log shown when a server ended by itself
PR_SET_PDEATHSIG = 1


class TritonServer:
    """One tritonserver process; a context manager that starts, waits for and stops it.

    Leaving the context fails when the server had ended by itself (a crash, or a signal from
    elsewhere): what failed before was its consequence.
    """

    def __init__(
        self,
        model_repository: Path,
        *,
        args: Sequence[str] = (),
        control_key: str | None = None,
        models: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        ipv6: bool = False,
        started_by: Sequence[str] = (),
    ) -> None:
        """Prepare to serve `model_repository`, loading `models` at the start.

        On loopback, or with `ipv6` as serving pods do where they have IPv6 addresses.
        `started_by` is a command that is given the server's own, as a pod's may be.
        """
        self.model_repository = Path(model_repository)
        self.control_key = control_key
        self._host = "[::1]" if ipv6 else "127.0.0.1"
        self._addresses = ON_IPV6 if ipv6 else LOOPBACK
        self._args = [*args, *(f"--load-model={name}" for name in models)]
        self._started_by = tuple(started_by)
        self._own_environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = Path()
        self._lease: PortLease | None = None

    @property
    def http_url(self) -> str:
        """Host and port of the HTTP API, as tritonclient wants it (no scheme)."""
        return f"{self._host}:{self._port(0)}"

    @property
    def grpc_url(self) -> str:
        """Host and port of the gRPC API."""
        return f"{self._host}:{self._port(1)}"

    @property
    def metrics_url(self) -> str:
        """Whole address of the metrics page."""
        return f"http://{self._host}:{self._port(2)}/metrics"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def control_headers(self) -> dict[str, str]:
        """HTTP headers that a control call needs."""
        return {f"triton-{HEADER}": self.control_key} if self.control_key else {}

    @property
    def control_metadata(self) -> dict[str, str]:
        """The `headers` that a control call through tritonclient.grpc needs."""
        return {f"triton-grpc-protocol-{HEADER}": self.control_key} if self.control_key else {}

    @property
    def log(self) -> str:
        """What the server and its stubs have printed so far."""
        path = self._scratch / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status = self._process.poll() if self._process else None
        last_words = "\n".join(self.log.splitlines()[-LAST_WORDS:])
        self.stop()
        if status is not None:
            raise RuntimeError(f"tritonserver ended by itself, status {status}:\n{last_words}")

    def start(self, timeout: float = START_TIMEOUT_S) -> None:
        """Start the process and wait until the server answers that it is live and ready."""
        assert self._process is None, "already started"
        self._lease = PortLease()
        self._run(timeout)

    def restart(self, timeout: float = START_TIMEOUT_S) -> None:
        """Start the process anew after it was killed, at the same ports, and wait as `start` does.

        This is what a kubelet does for a container.
        """
        assert self._process is not None, "the server was not started"
        self._process.wait(STOP_TIMEOUT_S)
        self._run(timeout)

    def _run(self, timeout: float) -> None:
        """Launch a process; once more if gRPC's own start failed in it, as now and then it does."""
        try:
            try:
                self._launch(timeout)
            except RuntimeError as death:
                if GRPC_START_FAULT not in str(death):
                    raise
                self._launch(timeout)
        except BaseException:
            self.stop()
            raise

    def _launch(self, timeout: float) -> None:
        """Start a process in a folder of its own, after the end of the one before."""
        self._end()
        self._scratch = Path(tempfile.mkdtemp(prefix="tritonserver-"))
        self._spawn(tree.prepare())
        self.wait_ready(timeout)

    def wait_ready(self, timeout: float = START_TIMEOUT_S) -> None:
        """Return when /v2/health/ready answers 200; fail when the process ends or time is up."""
        deadline = time.monotonic() + timeout
        while not self._is_ready():
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"tritonserver ended before it was ready:\n{self.log}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"tritonserver not ready after {timeout} s:\n{self.log}")
            time.sleep(POLL_S)

    def terminate(self, timeout: float = STOP_TIMEOUT_S) -> int:
        """Ask the process to end, as a kubelet does; return its exit status once it has."""
        assert self._process is not None, "the server was not started"
        self._process.terminate()
        status = self._process.wait(timeout)
        self._process = None
        return status

    def stop(self) -> None:
        """End the process that `start` began, gently and then firmly, and remove its files."""
        self._end()
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT_S)
            with contextlib.suppress(ProcessLookupError):  # of a killed server stubs are left
                os.killpg(process.pid, signal.SIGKILL)
        if self._scratch != Path():
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _port(self, index: int) -> int:
        assert self._lease is not None, "the server was not started"
        return self._lease.ports[index]

    def _spawn(self, where: tree.TritonTree) -> None:
        home = self._lay_out(where)
        with (self._scratch / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._started_by, where.entrypoint, *self._options(), *self._args],
                env=self._environment(home, where.python_libraries),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  no threads are started before
            )

    def _lay_out(self, where: tree.TritonTree) -> Path:
        """Link the cached tree, but for the backends: Triton changes modes in that folder."""
        home = self._scratch / "home"
        home.mkdir()
        for part in where.home.iterdir():
            if part.name != "backends":
                (home / part.name).symlink_to(part)
        shutil.copytree(where.home / "backends", home / "backends")
        shutil.copytree(where.adapter, home / "backends" / "onnxruntime", dirs_exist_ok=True)
        return home

    def _environment(self, home: Path, python_libraries: Path) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment |= {
            "TRITON_CPU_HOME": str(home),
            "TMPDIR": str(self._scratch),
            "LD_LIBRARY_PATH": str(python_libraries),
            **self._own_environment,
        }
        return environment

    def _options(self) -> list[str]:
        http, grpc, metrics = (self._port(index) for index in range(3))
        options = [
            f"--model-repository={self.model_repository}",
            "--model-control-mode=explicit",
            *(f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"),
            *self._addresses,
            *("--allow-vertex-ai=false", "--allow-sagemaker=false"),
            *("--allow-gpu-metrics=false", "--exit-timeout-secs=10"),
        ]
        if self.control_key:
            options += [
                f"--http-restricted-api={RESTRICTED}:triton-{HEADER}={self.control_key}",
                f"--grpc-restricted-protocol={RESTRICTED}:{HEADER}={self.control_key}",
            ]
        return options

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.http_url}/v2/health/ready", timeout=2) as ok:
                return bool(ok.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _die_with_parent() -> None:
    """Have the kernel end this process when the test process is killed (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
