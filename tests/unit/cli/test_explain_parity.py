"""What ``ferryman explain`` prints is what the operator writes.

Clusters are generated. In each the whole operator runs, on virtual time, and writes a status; then
``explain`` reads the same cluster through its own door, and a third time from the file that
``--save-snapshot`` writes. All three say the same, word for word.
"""

import io
import json
from contextlib import redirect_stdout
from typing import ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ferryman.api import names
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import (
    PlacementSpec,
    RebalanceSpec,
    ResourceRequirements,
    WorkloadWeights,
)
from ferryman.api.inference_model_status import (
    InferenceModelStatus,
    PlacementStatus,
    ServiceTimePoint,
    ServiceTimes,
    UnschedulablePlace,
)
from ferryman.api.resources import model_key, owner_reference
from ferryman.cli import gather, main
from ferryman.cli.explaining import explain_view
from ferryman.cli.explaining.explain import explain
from ferryman.cli.files import snapshot_file
from ferryman.core.snapshot import Advice
from ferryman.handlers.rebalance import Rebalancing
from tests import factories
from tests.factories import NOW, at
from tests.fakes import node_object, pod_object, run_virtually, wire
from tests.unit.handlers.cluster import Cluster

KEY = model_key("default", "resnet50")
#: Node type -> processor class, and what all replicas of a model fit on.
TYPES = {"cpu-small": "cpu", "cpu-large": "cpu", "gpu-box": "gpu"}
#: Most things are as they should be.
SELDOM_NOT = st.sampled_from([True] * 14 + [False])
UTILISATION = st.sampled_from([None, 0.0, 0.1, 0.5, 0.9])
PLACES = st.sampled_from([("cpu-small", "cpu"), ("cpu-large", "cpu"), ("gpu-box", "gpu")])


@st.composite
def nodes(draw):
    """Return Nodes and NodeProfiles: cordoned, tainted, labelled, silent or without an agent."""
    found = []
    # Of each type one at first, so that most models have somewhere to go, and to move to.
    kinds = [*draw(st.permutations(sorted(TYPES))), *draw(st.lists(st.sampled_from(sorted(TYPES))))]
    for number, node_type in enumerate(kinds[: draw(st.sampled_from([4, 4, 3, 3, 2, 1, 0]))]):
        name = f"node-{number}"
        taint = {"key": "dedicated", "value": "x", "effect": "NoSchedule"}
        node = node_object(
            name,
            ready=draw(SELDOM_NOT),
            unschedulable=not draw(SELDOM_NOT),
            taints=[] if draw(SELDOM_NOT) else [taint],
        )
        price = draw(st.sampled_from([None, None, "0.5", "3", "cheap"]))
        zone = draw(st.sampled_from(["a", "b"]))
        node["metadata"]["labels"] = {"zone": zone, **({names.LABEL_PRICE: price} if price else {})}
        if node_type == "gpu-box":
            node["status"]["allocatable"]["nvidia.com/gpu"] = "2"
        found.append((node, draw(profiles(name, node_type)) if draw(SELDOM_NOT) else None))
    return found


@st.composite
def profiles(draw, name, node_type):
    kind = TYPES[node_type]
    utilisation, memory = draw(UTILISATION), draw(UTILISATION)
    fast = draw(st.sampled_from([50.0, 100.0, 400.0]))
    tables = [factories.benchmark(fast, processor=kind, node_type=node_type)]
    lost = None if draw(SELDOM_NOT) else "the device is lost"
    return factories.profile(
        name,
        node_type,
        processors=[factories.processor(kind, utilisation, memory, unavailable=lost)],
        benchmarks=tables if draw(SELDOM_NOT) else [],
        heartbeat_age_s=10.0 if draw(SELDOM_NOT) else draw(st.sampled_from([900.0, None])),
    )


@st.composite
def models(draw, story):
    policy = draw(st.sampled_from(["LeastWorkload", "BestFit", "Cheapest"]))
    return factories.model(
        replicas=draw(st.integers(0, 3)),
        resources=draw(st.none() | st.just(ResourceRequirements(requests={"cpu": "1500m"}))),
        objectives=factories.objectives(draw(st.sampled_from([5, 50])), 100),
        placement=PlacementSpec(
            policy=policy,
            weights=WorkloadWeights(benchmark=draw(st.sampled_from([0, 1, 3]))),
            processors=() if draw(SELDOM_NOT) else ("cpu",),
            node_selector={} if draw(SELDOM_NOT) else {"zone": "a"},
            rebalance=RebalanceSpec(mode="Never" if policy == "LeastWorkload" else "Auto"),
        ),
        status=draw(statuses(story)),
    )


@st.composite
def statuses(draw, story):
    """Return what was reported before: nothing, no place, or one that may be gone by now."""
    placement = None
    if story != "new":
        node_type, processor = draw(PLACES)
        placement = PlacementStatus(
            node_type=node_type,
            processor=processor,
            preferred_node=draw(st.none() | st.just("node-1")),
            since=at(-60) if story == "kept" else at(-3600),
            reason=draw(st.sampled_from([Reason.LEAST_WORKLOAD, Reason.FALLBACK])),
            message="as it was told then",
            unschedulable=draw(st.lists(given_up(), max_size=2, unique_by=lambda p: p.node_type)),
        )
    elif draw(st.booleans()):
        placement = PlacementStatus(reason=Reason.NO_CANDIDATE, message="nowhere then")
    shown = ServiceTimes(
        node_type="cpu-small",
        processor="cpu",
        measured_at=at(-600),
        points=[ServiceTimePoint(batch_size=1, milliseconds=draw(st.sampled_from([1.0, 30.0])))],
    )
    known = draw(st.sampled_from([(), (shown,)]))
    return InferenceModelStatus(placement=placement, service_times=known)


@st.composite
def given_up(draw):
    node_type, processor = draw(PLACES)
    time = at(draw(st.sampled_from([-60, -7200])))
    return UnschedulablePlace(node_type=node_type, processor=processor, time=time, message="full")


@st.composite
def pods(draw, story):
    """Return pods: another model's that take room, and one of the model that finds no node."""
    found = []
    for number in range(draw(st.integers(0, 2))):
        requests = {"cpu": draw(st.sampled_from(["500m", "3800m"])), "memory": "1Gi"}
        node = f"node-{draw(st.integers(0, 3))}"
        found.append(pod_object(f"other-{number}", "other", node=node, requests=requests))
    if story == "waits":
        waiting = pod_object("waits", node="", ready=False, phase="Pending")
        waiting["status"]["conditions"].append(
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/4 nodes are available",
                "lastTransitionTime": at(draw(st.sampled_from([-60, -700, -700]))),
            }
        )
        found.append(waiting)
    return found


@st.composite
def clusters(draw):
    """Return nodes, a model, pods, the operator's prices and what rebalancing advises.

    The model is new, or was placed, and is kept, advised to move, or waits for a node.
    """
    story = draw(st.sampled_from(["new", "kept", "advised", "waits"]))
    advice = draw(ADVICE) if story == "advised" else None
    return draw(nodes()), draw(models(story)), draw(pods(story)), draw(PRICES), advice


PRICES = st.dictionaries(st.sampled_from(sorted(TYPES)), st.sampled_from([0.0, 1.0, 2.5]))
ADVICE = PLACES.map(
    lambda place: Advice(node_type=place[0], processor=place[1], message="better off there")
)


DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


class Reader:
    """Answers from the fake API server as a real one would answer the command line."""

    LISTS: ClassVar = {
        "/api/v1/nodes": "nodes",
        "/api/v1/pods": "pods",
        DEPLOYMENTS: "deployments",
        f"{gather.OURS}/nodeprofiles": "profiles",
        f"{gather.OURS}/inferenceruntimes": "runtimes",
    }

    def __init__(self, api):
        self._api = api

    def get(self, path):
        """Return the model."""
        assert path == f"{gather.OURS}/namespaces/default/inferencemodels/resnet50"
        return self._api.get("models", "resnet50")

    def items(self, path, *_selector):
        """Return all of a kind: none is there that a selector would leave out."""
        if path == "/apis/apps/v1/namespaces/default/replicasets":
            return [self._replica_set(each) for each in self.items(DEPLOYMENTS)]
        wanted = self.LISTS[path]
        return [body for (kind, _, _), body in self._api.objects.items() if kind == wanted]

    def _replica_set(self, deployment):
        name, uid = (deployment["metadata"][field] for field in ("name", "uid"))
        owner = {"kind": "Deployment", "uid": uid, "controller": True}
        return {"metadata": {"uid": f"uid-of-{name}-1", "ownerReferences": [owner]}}


def deployment(model):
    """Return the Deployment of a model that was placed before: pods are known by it."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "resnet50-triton",
            "namespace": "default",
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_MODEL: "resnet50"},
            "ownerReferences": [owner_reference(KEY, model.metadata.uid)],
        },
        "spec": {"replicas": model.spec.replicas},
    }


def operated(there, model, carried, prices, advice):
    """Run the operator in a cluster; return the API server with all that it wrote."""

    async def script():
        cluster = Cluster()
        cluster.image, cluster.prices = "", prices
        cluster.api.put("runtimes", wire(factories.runtime()))
        for node, profile in there:
            cluster.api.put("nodes", node)
            if profile is not None:
                cluster.api.put("profiles", wire(profile))
        if model.status.placement is not None:
            cluster.api.put("deployments", deployment(model))
        for index in carried:
            cluster.api.put("pods", index)
        cluster.api.put("models", wire(model))
        for key in {model_key("default", "other"), KEY}:
            cluster.api.indices["pods"][key] = [
                body
                for (kind, _, _), body in cluster.api.objects.items()
                if kind == "pods" and body["metadata"]["labels"][names.LABEL_MODEL] == key.name
            ]
        await cluster.begin()
        try:
            await cluster.settle()
        finally:
            await cluster.end()
        return cluster

    advised = Rebalancing.advice
    Rebalancing.advice = lambda _self, _key: advice
    try:
        return run_virtually(script()).api
    finally:
        Rebalancing.advice = advised


def printed(explanation):
    """Return what a person is shown."""
    console = Console(width=4000, no_color=True)
    with console.capture() as capture:
        explain_view.show(explanation, console)
    return capture.get()


@settings(max_examples=100, deadline=None)
@given(cluster=clusters())
def test_explain_prints_what_the_operator_writes(tmp_path_factory, cluster):
    _, model, _, _, advice = cluster
    api = operated(*cluster)
    first, last = api.statuses[0], api.statuses[-1]
    for asked, written in ((wire(model), first), (api.get("models", "resnet50"), last)):
        api.objects["models", "default", "resnet50"] = asked
        # What rebalancing advises lives in the operator alone; a snapshot can carry it.
        seen = gather.snapshot(Reader(api), KEY.namespace, KEY.name, {}).with_(advice=advice)
        explanation = explain(seen, NOW)
        assert said(explain_view.as_json(explanation)) == said(written)
        placement = written["placement"]
        assert f"{placement['reason']}: {placement['message']}" in printed(explanation)
        path = tmp_path_factory.mktemp("snapshots") / "snapshot.yaml"
        snapshot_file.write(path, seen, NOW)
        assert said(from_file(path)) == said(written)


def said(answer):
    """Return what an answer, or a status, says of the placement: all of it, and its candidates."""
    placement = answer["placement"]
    return placement, answer.get("candidates", placement.get("candidates"))


def from_file(path):
    """Return what ``ferryman explain --snapshot FILE`` prints for a program."""
    output = io.StringIO()
    with redirect_stdout(output):
        assert main.main(["explain", "--snapshot", str(path), "-o", "json"]) == 0
    return json.loads(output.getvalue())
