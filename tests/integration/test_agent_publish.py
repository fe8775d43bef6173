import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ferryman.clients.cluster import KubernetesCluster, ProfileMissingError
from tests.integration.controlplane import ControlPlane
from tests.integration.operator_process import NAMESPACE, install

pytestmark = pytest.mark.integration

NODE = "worker-1"
ALLOCATABLE = {"cpu": "1500m", "memory": "2000Mi", "pods": "10"}
#: The agent's resident memory, with room for another machine's allocator.
MAX_RSS_MIB = 80
WAIT_S = 30


@pytest.fixture(scope="module")
def plane():
    with ControlPlane.start() as started:
        install(started)
        yield started


@pytest.fixture
def node(plane):
    """Register a Node as a kubelet would; its UID."""
    plane.kubectl("create", "-f", "-", stdin=json.dumps(node_object()))
    status = {"allocatable": ALLOCATABLE, "capacity": ALLOCATABLE, "nodeInfo": node_info()}
    patch = json.dumps({"status": status})
    plane.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", "-p", patch)
    yield plane.kubectl("get", "node", NODE, "-o", "jsonpath={.metadata.uid}")
    plane.kubectl("delete", "node", NODE, "--wait=false")
    plane.kubectl("delete", "nodeprofile", NODE, "--ignore-not-found")


@pytest.fixture
def kubeconfig(plane, node):
    """Return the kubeconfig of the agent: its token names the node, as that of its pod does."""
    on_node = ("--bound-object-kind=Node", f"--bound-object-name={NODE}")
    token = plane.kubectl("create", "token", "ferryman-agent", "-n", NAMESPACE, *on_node)
    return plane.kubeconfig_for(token.strip(), "agent")


def node_object():
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}


def node_info():
    names = (
        "machineID systemUUID bootID kernelVersion osImage containerRuntimeVersion kubeletVersion "
        "kubeProxyVersion operatingSystem"
    )
    return {**dict.fromkeys(names.split(), "x"), "architecture": "amd64"}


@contextlib.contextmanager
def agent(kubeconfig, **environment):
    """Run the agent as its pod does, faster; yield the process and its log lines."""
    command = [
        *(sys.executable, "-c", "import sys; from ferryman.cli.main import main; sys.exit(main())"),
        *("agent", "run", "--node", NODE, "--kubeconfig", str(kubeconfig)),
        *("--sample-interval-seconds", "0.3", "--heartbeat-seconds", "2"),
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(map(json.loads, process.stderr)))
    reader.start()
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait(10)
        reader.join(10)
        process.stderr.close()


def eventually(check):
    deadline = time.monotonic() + WAIT_S
    while not (value := check()):
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {check}"
        time.sleep(0.2)
    return value


def profile_of(plane):
    text = plane.kubectl(
        "get", "nodeprofile", NODE, "-o", "json", "--ignore-not-found", "--show-managed-fields"
    )
    return json.loads(text) if text else {}


def heartbeat(plane):
    return profile_of(plane).get("status", {}).get("heartbeatTime")


def resident_mib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_the_agent_publishes_heartbeats_and_ends_at_once(plane, node, kubeconfig):
    with agent(kubeconfig) as (process, lines):
        first = eventually(lambda: heartbeat(plane))
        eventually(lambda: heartbeat(plane) != first)
        profile = profile_of(plane)
        rss_mib = resident_mib(process.pid)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - start <= 5
    assert [owner["uid"] for owner in profile["metadata"]["ownerReferences"]] == [node]
    status = profile["status"]
    assert status["hardware"]["cpuMillicores"] == 1500
    assert (
        status["hardware"]["memoryBytes"] == 1792 * 2**20
    )  # 2000 MiB less what twins may differ in
    assert "-1500m-1.75gi" in status["nodeType"]
    assert [each["class"] for each in status["processors"]] == ["cpu"]
    managers = {
        (each["manager"], each.get("subresource")) for each in profile["metadata"]["managedFields"]
    }
    assert managers == {("ferryman-agent", None), ("ferryman-agent", "status")}
    assert [line["message"] for line in lines] == ["started", "published", "stopped"]
    print(f"resident memory {rss_mib:.1f} MiB")
    assert rss_mib <= MAX_RSS_MIB


def test_the_operators_benchmarks_survive_the_agents_writes(plane, node, kubeconfig):
    with agent(kubeconfig):
        first = eventually(lambda: heartbeat(plane))
        apply_benchmark(plane, profile_of(plane)["status"]["nodeType"])
        eventually(lambda: heartbeat(plane) != first)
        assert profile_of(plane)["status"]["benchmarks"][0]["error"] == "none yet"


def apply_benchmark(plane, node_type):
    benchmark = {
        "class": "cpu",
        "runtime": "triton-cpu",
        "image": "triton",
        "nodeType": node_type,
        "measuredOn": NODE,
        "measuredAt": "2026-11-21T13:00:00Z",
        "error": "none yet",
    }
    document = {
        "apiVersion": "serving.ferryman.dev/v1alpha1",
        "kind": "NodeProfile",
        "metadata": {"name": NODE},
        "status": {"benchmarks": [benchmark]},
    }
    arguments = (
        "apply",
        "--server-side",
        "--subresource=status",
        "--field-manager=ferryman-benchmark",
    )
    plane.kubectl(*arguments, "-f", "-", stdin=json.dumps(document))


def test_a_deleted_profile_comes_back_with_its_owner(plane, node, kubeconfig):
    with agent(kubeconfig):
        eventually(lambda: heartbeat(plane))
        plane.kubectl("delete", "nodeprofile", NODE)
        eventually(lambda: heartbeat(plane))
        assert profile_of(plane)["metadata"]["ownerReferences"][0]["uid"] == node


def test_a_status_without_a_profile_is_refused_as_such(kubeconfig):
    cluster = KubernetesCluster(str(kubeconfig))
    with pytest.raises(ProfileMissingError, match=r"404 .*not found"):
        cluster.apply_status(NODE, {"nodeType": "x"})


def test_a_server_that_does_not_answer_does_not_hold_up_the_end(plane, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = json.loads(plane.kubeconfig.read_text())
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        config["clusters"][0]["cluster"]["server"] = url
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        with agent(kubeconfig) as (process, lines):
            eventually(lambda: [line for line in lines if line["message"] == "started"])
            time.sleep(0.5)  # now it waits for the handshake
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - start <= 5
        assert lines[-1]["message"] == "stopped"
