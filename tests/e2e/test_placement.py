"""Placement follows what nodes are doing, and what a model takes of them."""

import json
from contextlib import contextmanager

import pytest

from ferryman.api import quantity
from ferryman.cli.main import main
from hack import installation
from hack.load_job import installed_image
from tests.e2e import models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

#: What a node is doing now counts twice as much as how fast it is; memory is left out.
WEIGHTS = {"benchmark": 1, "memory": 0, "utilisation": 2}
#: By how much the busy node must lose: two steps in which agents publish utilisation.
MARGIN = 0.1


@contextmanager
def pod_on(cluster, node, name, **container):
    """Run a pod that is none of Ferryman's on a node, and remove it."""
    image = installed_image(cluster)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": models.NAMESPACE},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": name, "image": image, **container}],
        },
    }
    installation.apply(cluster, pod)
    try:
        yield
    finally:
        where = f"--namespace={models.NAMESPACE}"
        cluster.kubectl("delete", "pod", name, where, "--ignore-not-found", "--force")


@contextmanager
def burning(cluster, placement):
    """Keep the chosen node's CPU busy, in a pod that ends by itself after ten minutes.

    How busy a node can get depends on what else the machine does, so that what is waited for is
    what the weights ask for: that the node does not have the least workload any more.
    """
    node = placement["preferredNode"]
    # Four processes: what runs beside the cluster takes less of the node then.
    forks = "import os, time\nos.fork()\nos.fork()\n"
    script = f"{forks}end = time.time() + 600\nwhile time.time() < end: pass"
    with pod_on(cluster, node, "burner", command=["python3", "-c", script]):
        installation.wait_for(
            f"{node} to be seen too busy",
            lambda: lead_of_others(cluster, placement) >= MARGIN,
            timeout_s=300,
            explain=lambda: json.dumps(workloads(cluster, placement)),
        )
        yield


def utilisation(cluster, node):
    """Return the use of a node's CPU as its agent published it."""
    status = installation.get(cluster, "nodeprofile", node)["status"]
    cpu = next(entry for entry in status["processors"] if entry["class"] == "cpu")
    return cpu.get("utilisation")


def workloads(cluster, placement):
    """Return the workload of each candidate's node, by what agents published by now.

    What is unknown is taken for the worst: the chosen node for idle, the others for busy.
    """
    able = {each["node"]: each["benchmark"] for each in placement["candidates"] if "node" in each}
    busy = {node: utilisation(cluster, node) for node in able}
    unknown = {node: float(node != placement["preferredNode"]) for node in able}
    seen = {node: unknown[node] if busy[node] is None else busy[node] for node in able}
    return {
        node: WEIGHTS["benchmark"] * able[node] + WEIGHTS["utilisation"] * seen[node]
        for node in able
    }


def lead_of_others(cluster, placement):
    """Return by how much the least workload of other nodes is below the preferred one's."""
    seen = workloads(cluster, placement)
    chosen = seen.pop(placement["preferredNode"])
    return chosen - min(seen.values())


def placed(cluster, name, **placement):
    """Create a model and return where it is placed."""
    installation.apply(
        cluster, models.model(name, placement=placement, batching=models.fixed(8), replicas=0)
    )
    models.wait_condition(cluster, name, "Placed", status="True")
    return models.get(cluster, name)["status"]["placement"]


def test_a_model_goes_to_the_faster_node_until_that_is_busy(ferryman, namespace):
    if ferryman.slow_node is None:
        pytest.skip("the nodes of a given context may be alike")
    calm = placed(ferryman, "calm", weights=WEIGHTS)
    assert calm["preferredNode"] != ferryman.slow_node

    with burning(ferryman, calm):
        crowded = placed(ferryman, "crowded", weights=WEIGHTS)

    assert crowded["preferredNode"] == ferryman.slow_node, crowded
    assert "less" in crowded["message"] or "least" in crowded["message"]
    assert models.get(ferryman, "calm")["status"]["placement"]["nodeType"] == calm["nodeType"]


@contextmanager
def occupied(cluster, node, leaving_millicores):
    """Request a node's CPU, all but a little, in a pod that is none of Ferryman's."""
    allocatable = installation.get(cluster, "node", node)["status"]["allocatable"]["cpu"]
    command = ("get", "pods", "--all-namespaces", f"--field-selector=spec.nodeName={node}")
    there = json.loads(cluster.kubectl(*command, "--output=json"))["items"]
    containers = [each for pod in there for each in pod["spec"]["containers"]]
    requests = [each["resources"].get("requests", {}).get("cpu", 0) for each in containers]
    free = quantity.to_millicores(allocatable) - sum(map(quantity.to_millicores, requests))
    wanted = {"requests": {"cpu": f"{free - leaving_millicores}m"}}
    with pod_on(cluster, node, "tenant", command=["sleep", "600"], resources=wanted):
        yield


def test_a_model_that_others_crowd_out_serves_on_the_next_node_type(ferryman, namespace):
    if ferryman.slow_node is None:
        pytest.skip("the nodes of a given context may be alike")
    best = placed(ferryman, "best", weights=WEIGHTS)
    wanted = {"requests": {"cpu": "150m", "memory": "256Mi"}}
    crowded = models.model(
        "crowded-out",
        placement={"weights": WEIGHTS},
        batching=models.fixed(8),
        resources=wanted,
        progressDeadlineSeconds=30,
    )
    with occupied(ferryman, best["preferredNode"], leaving_millicores=100):
        installation.apply(ferryman, crowded)
        models.wait_condition(
            ferryman, "crowded-out", "Ready", status="False", reason="PodUnschedulable"
        )
        first = models.get(ferryman, "crowded-out")["status"]["placement"]
        moved = models.wait_ready(ferryman, "crowded-out")["status"]["placement"]

    assert first["nodeType"] == best["nodeType"]
    assert moved["nodeType"] != best["nodeType"]
    assert "kube-scheduler has no" in moved["message"]
    assert [each["nodeType"] for each in moved["unschedulable"]] == [best["nodeType"]]


def test_best_fit_takes_the_node_type_of_which_the_model_takes_least(ferryman, namespace):
    placement = placed(ferryman, "fitted", policy="BestFit")
    able = [each for each in placement["candidates"] if "cost" in each]
    costs = {each["nodeType"]: each["cost"] for each in able}

    assert placement["reason"] == "BestFit"
    assert costs[placement["nodeType"]] == min(costs.values())


def test_cheapest_goes_by_the_price_label_and_says_where_there_is_none(ferryman, namespace):
    if ferryman.slow_node is None:
        pytest.skip("the nodes of a given context may be alike")
    label = "serving.ferryman.dev/price-per-hour"
    ferryman.kubectl("label", "node", ferryman.slow_node, f"{label}=0.01", "--overwrite")
    try:
        placement = placed(ferryman, "thrifty", policy="Cheapest")
    finally:
        ferryman.kubectl("label", "node", ferryman.slow_node, f"{label}-")

    assert (placement["preferredNode"], placement["reason"]) == (ferryman.slow_node, "Cheapest")
    reasons = {each["reason"] for each in placement["candidates"] if not each["chosen"]}
    assert "PriceUnknown" in reasons


def test_the_command_line_shows_the_node_types(ferryman, namespace, capsys, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(ferryman.kubeconfig))
    known = {p["status"]["nodeType"] for p in installation.get(ferryman, "nodeprofiles")["items"]}

    assert main(["nodes", "--output", "json"]) == 0
    shown = capsys.readouterr().out
    assert all(node_type in shown for node_type in known)
