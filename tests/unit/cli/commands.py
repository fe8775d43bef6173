"""Every command of ``ferryman``, so that what holds for all of them is tested on each."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml

from ferryman.actuation.session import Report
from ferryman.agent import run as agent_run
from ferryman.api.batching import Batching
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.statistics import Counted
from ferryman.cli.benchmarking import benchmark
from ferryman.cli.benchmarking.follow import Request
from ferryman.cli.sending import trace
from ferryman.cli.tuning import tune
from ferryman.clients.triton_survey import Survey
from ferryman.core.doctor.checks import CHECKS
from ferryman.core.doctor.facts import ClusterFacts
from ferryman.core.pipelines.reporting.waterfall import Waterfall, waterfall
from tests import factories
from tests.unit.cli.onnx import small_models

SNAPSHOT, FLEET = Path("tests/data/snapshot.yaml"), Path("tests/data/fleet.yaml")
SCENARIO = Path("tests/data/scenario.yaml")
SERVICES = Path("tests/data/services.yaml")
#: Nobody listens there.
NOWHERE = "127.0.0.1:9"
METADATA = {
    "name": "m",
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 1]}],
    "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1, 1]}],
}
ANSWER = {"outputs": [{"name": "label", "datatype": "INT64", "shape": [1, 1], "data": [7]}]}
CONFIG = 'name: "m" max_batch_size: 8'
#: An installation of which little can be read, and in that there is something wrong.
FACTS = ClusterFacts(
    factories.NOW,
    "0.1.0",
    "v1.20.0",
    unread={need: "nodes is forbidden" for check in CHECKS for need in check.needs},
)
#: What commands make that write more than they print.
_MADE = tempfile.TemporaryDirectory(prefix="ferryman-commands-")


class _Triton(BaseHTTPRequestHandler):
    """Serves one model as Triton does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(METADATA)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(ANSWER)

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def triton() -> Iterator[str]:
    """Serve a model, and give the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Triton)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silence() -> Iterator[socket.socket]:
    """Give a socket that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield listening


def kubeconfig(path: Path, server: str) -> Path:
    """Write a kubeconfig for an API server."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://{server}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def printing(url: str) -> dict[str, list[str]]:
    """Return arguments with which each command prints on standard output, by its name.

    The operator and the running agent log on standard error and print nothing.
    """
    made = Path(tempfile.mkdtemp(dir=_MADE.name))
    model = str(small_models.write_chain(made))
    np.savez(made / "rows.npz", x=np.ones((4, small_models.WIDTH), np.float32))
    load = ["load", "--url", url, "--model", "m", "--rate", "20", "--duration", "0.1"]
    return {
        "explain": ["explain", "--snapshot", str(SNAPSHOT)],
        "doctor": ["doctor"],
        "top": ["top"],
        "history": ["history", "--snapshot", str(SNAPSHOT)],
        "completion": ["completion", "bash"],
        "nodes": ["nodes", "--snapshot", str(SNAPSHOT)],
        "benchmark": ["benchmark", "node-1", "--wait"],
        "place": ["place", "--snapshot", str(FLEET)],
        "load": load,
        "trace": ["trace", "m", "--url", f"grpc://{NOWHERE}"],
        "tune": ["tune", "--url", "127.0.0.1", "--model", "m", "--p99", "50ms"],
        "simulate": ["simulate", "--scenario", str(SCENARIO), "--no-oracle"],
        "import": ["import", str(SERVICES), "--latency-ms", "50"],
        "split": ["split", model, "--parts", "2", "--rounds", "1", "-o", str(made / "parts")],
        "compress": [
            *("compress", model, "--float16", "--check", str(made / "rows.npz")),
            *("--metric", "cosine", "--rounds", "6", "-o", str(made / "half.onnx")),
        ],
        "agent discover": ["agent", "discover", "--cgroup-root", "/nowhere"],
        "agent benchmark": [
            *("agent", "benchmark", "--url", NOWHERE, "--model", "m"),
            *("--ready-timeout-seconds", "0", "--result", "/dev/null"),
        ],
    }


def stand_in(monkeypatch) -> None:
    """Let commands that need a cluster, a gRPC server or time find what they would find there."""
    known = factories.node(processors=[factories.processor("cpu")])
    asked = Request("node-1", "cpu-small", (("cpu-small", "cpu", "triton"),), factories.NOW)
    monkeypatch.setattr(benchmark, "request", lambda *_: asked)
    monkeypatch.setattr(benchmark, "follow", lambda *_, **__: SimpleNamespace(status=known.profile))
    monkeypatch.setattr(
        "ferryman.cli.benchmarking.cluster.BenchmarkCluster", lambda *_: SimpleNamespace()
    )
    monkeypatch.setattr("ferryman.cli.gather.gather_served", lambda *_: ([factories.model()], []))
    monkeypatch.setattr("ferryman.cli.looking.examine.examine", lambda _: FACTS)
    monkeypatch.setattr(agent_run, "DISCOVER_INTERVAL_S", 0.0)
    counted = Counted(1, queue_ns=3_000_000, infer_ns=9_000_000, total_ns=15_000_000)
    steps = {"read": (), "join": ("read",)}

    async def traced(*_: object) -> Waterfall:
        return waterfall(steps, counted, dict.fromkeys(steps, counted))

    monkeypatch.setattr(trace, "_trace", traced)
    survey = Survey("2.51.0", CONFIG, "", "", ())
    batching = Batching(max_batch_size=8)

    async def surveyed(*_: object, **__: object) -> Survey:
        return survey

    async def model() -> object:
        return SimpleNamespace(batching=batching)

    async def close() -> None:
        pass

    async def told(*_: object) -> Report:
        return Report(batching, batching, 0, InferenceModelStatus())

    monkeypatch.setattr(tune, "_surveyed", surveyed)
    server = SimpleNamespace(model=model, close=close)
    monkeypatch.setattr(tune.triton, "connect", lambda *_, **__: server)
    monkeypatch.setattr(tune, "_until_told", told)


def _heeding_interrupts() -> None:
    """Undo what a shell does to what it runs in the background: such a process ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def spawn(*arguments: object, **environment: str) -> subprocess.Popen:
    """Start ``ferryman`` as a process of its own, without a cluster unless one is named."""
    return subprocess.Popen(
        [sys.executable, "-m", "ferryman.cli.main", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KUBECONFIG": "/nowhere", "HOME": "/nowhere", **environment},
        preexec_fn=_heeding_interrupts,  # noqa: PLW1509  no thread of the tests holds a lock
    )


def interrupt(process: subprocess.Popen) -> tuple[int, str]:
    """Send Ctrl-C; return the exit status and what was said."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    # A shell shows 130 for both: Python may die of the signal after it has said so.
    return 130 if process.returncode == -signal.SIGINT else process.returncode, said
