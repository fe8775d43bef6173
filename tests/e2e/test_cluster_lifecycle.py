"""A whole cluster comes up, works, and survives the death of its engine.

`test_cluster_removal.py` comes last and looks at what is left of it.
"""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from hack.cluster import archives, daemon, engine, ensure_up, leftovers
from hack.cluster.shell import ClusterError, wait_until

pytestmark = [
    pytest.mark.lifecycle,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("before"),
]

VOLUME = "ferryman.test/volume:1"
STOCK_BASE = "python:3.11-slim-bookworm"
POD_TIMEOUT_S = 90
IDEMPOTENT_S = 20


def test_the_nodes_are_ready_and_honest_about_their_processors(cluster):
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    processors = {n["metadata"]["name"]: n["status"]["allocatable"]["cpu"] for n in nodes}

    assert len(nodes) == 3
    assert set(cluster.nodes) < set(processors)
    assert processors[cluster.slow_node] == "500m"
    assert processors[cluster.nodes[0]] == str(os.cpu_count())


def test_pods_on_every_worker_reach_a_service_by_name_and_mount_an_image(cluster, tmp_path):
    image = _load_images(cluster, tmp_path)
    items = [_server(image, cluster.nodes[0]), SERVICE]
    items += [_client(image, node, number) for number, node in enumerate(cluster.nodes)]
    manifest = tmp_path / "items.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    cluster.kubectl("apply", "-f", str(manifest))

    for number, _ in enumerate(cluster.nodes):
        pod, get = f"pod/client{number}", f"get pod client{number}".split()
        wait_until(
            lambda get=get: "Succeeded" in cluster.kubectl(*get, "-o", "jsonpath={.status.phase}"),
            timeout_s=POD_TIMEOUT_S,
            what=f"The success of {pod}",
        )
        assert "hello from an image volume" in cluster.kubectl("logs", pod)
    cluster.kubectl("delete", "-f", str(manifest), "--wait=false")


def test_up_on_a_running_cluster_only_verifies_it(cluster):
    started = time.monotonic()
    uid = _uid(cluster)
    again = ensure_up()

    assert _uid(again) == uid
    assert time.monotonic() - started < IDEMPOTENT_S


def test_up_works_after_the_engine_was_killed(cluster):
    if cluster.docker_host != daemon.ADDRESS:
        pytest.skip(f"the engine {cluster.docker_host} is not ours to kill")
    for pid, name in list(leftovers.processes()):
        if name in {"dockerd", "containerd"} and str(daemon.RUN) in leftovers.command_line(pid):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not daemon.answers(daemon.ADDRESS), timeout_s=10, what="Its death")

    try:
        again = ensure_up()
    except ClusterError as left_alone:  # what did not come back by itself may be wanted
        if "up --replace" not in str(left_alone):
            raise
        again = ensure_up(replace=True)
    assert len(again.nodes) == 2


def _uid(cluster) -> str:
    return cluster.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")


def _load_images(cluster, folder) -> str:
    """Load the image of the volume, and one with Python where the nodes cannot pull any."""
    hello = folder / "hello.txt"
    hello.write_text("hello from an image volume\n")
    archives.write(folder / "volume.tar", [VOLUME], {"/hello.txt": hello}, ["/none"])
    cluster.load_archive(folder / "volume.tar")
    here = engine.ensure()
    if not (arguments := here.base_args()):
        return STOCK_BASE
    here.save(arguments["BASE"], folder / "base.tar")
    cluster.load_archive(folder / "base.tar")
    return arguments["BASE"]


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "server"},
    "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
}
ASK = """
import time, urllib.request
for _ in range(60):
    try:
        answer = urllib.request.urlopen("http://server.default.svc/hello.txt", timeout=2)
        print(answer.read().decode(), open("/volume/hello.txt").read())
        raise SystemExit(0)
    except OSError as error:
        print(error)
        time.sleep(0.5)
raise SystemExit(1)
"""


def _server(image, node) -> dict:
    command = ["python3", "-m", "http.server", "--directory", "/volume", "8080"]
    return _pod("server", image, node, command)


def _client(image, node, number) -> dict:
    return _pod(f"client{number}", image, node, ["python3", "-c", ASK])


def _pod(name, image, node, command) -> dict:
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
    }
    volume = {"name": "volume", "image": {"reference": VOLUME, "pullPolicy": "IfNotPresent"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [volume],
        },
    }
