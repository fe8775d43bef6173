"""Own scaling on a real API server, with the shipped permissions, by counters that are observed.

Neither a kubelet nor a controller of Deployments runs: the test makes the pods that a Deployment
asks for, and a server for each that counts as Triton would under the load that it is given.
"""

import json
import time
from contextlib import ExitStack

import pytest
from tritonclient.grpc import service_pb2

from tests.hostile.servers import Triton, config_of, serving
from tests.integration.operators import await_served, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

API = "/apis/serving.ferryman.dev/v1alpha1/namespaces/default/inferencemodels"
#: Addresses of loopback's own, one for each pod.
ADDRESSES = ("127.0.72.1", "127.0.72.2", "127.0.72.3")
SERVICE_S = 0.03
"""A request, whatever batch it is in: one pod serves 33 in a second, and no batching helps."""
BATCHING = {
    "limits": {"maxBatchSize": {"max": 1}, "instances": {"max": 1}},
    "window": {"minSeconds": 5, "maxSeconds": 5},
}
OBJECTIVES = {"latency": {"targetMilliseconds": 300}}
WAIT_S = {True: 2.0, False: 0.005}
"""In the queue: where more is asked of a pod than it serves, and where less is."""


class Load:
    """Requests per second, which the pods that there are share."""

    def __init__(self):
        self.rate_per_s = 0.0
        self.pods = 1


class CountingTriton(Triton):
    """Counts what it would have served of its share of a load."""

    def __init__(self, load):
        super().__init__()
        self.load, self.read_s = load, time.monotonic()
        self.count, self.waited_s = 0.0, 0.0

    async def ModelStatistics(self, request, context):  # noqa: N802  gRPC's names
        """Return the counters as of now."""
        self._note(context)
        now_s = time.monotonic()
        asked_per_s = self.load.rate_per_s / self.load.pods
        served = min(asked_per_s, 1 / SERVICE_S) * (now_s - self.read_s)
        self.read_s = now_s
        self.count += served
        self.waited_s += served * WAIT_S[asked_per_s > 1 / SERVICE_S]
        return service_pb2.ModelStatisticsResponse(model_stats=[self._statistics(request.name)])

    def _statistics(self, name):
        count, busy_ns = int(self.count), int(int(self.count) * SERVICE_S * 1e9)
        waited_ns = int(self.waited_s * 1e9)
        found = service_pb2.ModelStatistics(
            name=name, version="1", inference_count=count, execution_count=count
        )
        for field, nanoseconds in (
            ("success", busy_ns + waited_ns),
            ("queue", waited_ns),
            ("compute_infer", busy_ns),
        ):
            part = getattr(found.inference_stats, field)
            part.count, part.ns = count, nanoseconds
        batches = found.batch_stats.add(batch_size=1)
        batches.compute_infer.count, batches.compute_infer.ns = count, busy_ns
        return found


class Pods:
    """Makes the pods that the Deployment of a model asks for, as its controllers would."""

    def __init__(self, objects, model, load):
        self.objects, self.model, self.load = objects, model, load
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        objects.apply({**account, "metadata": {"name": "default", "namespace": "default"}})

    def follow(self):
        """Have as many as the Deployment asks for; return how many that are."""
        deployment = self.objects.served(self.model)
        wanted, owner = deployment["spec"]["replicas"], self.objects.replica_set(deployment)
        for number, address in enumerate(ADDRESSES):
            name = f"{self.model}-{number}"
            if number < wanted:
                self._make(name, address, owner)
            else:
                self.objects.plane.kubectl(
                    "delete", "pod", name, "--grace-period=0", "--force", "--ignore-not-found"
                )
        self.load.pods = wanted
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            **dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), wanted),
        }
        self.objects.plane.kubectl(
            "patch",
            "deployment",
            f"{self.model}-triton",
            "--subresource=status",
            "--type=merge",
            f"--patch={json.dumps({'status': status})}",
        )
        return wanted

    def _make(self, name, address, owner):
        header = {"apiVersion": "v1", "kind": "Pod"}
        identity = {"name": name, "namespace": "default"}
        labels = {
            "serving.ferryman.dev/model": self.model,
            "app.kubernetes.io/managed-by": "ferryman",
        }
        metadata = {**identity, "labels": labels, "ownerReferences": [owner]}
        containers = [{"name": "triton", "image": "ferryman.dev/triton-cpu:test"}]
        spec = {"nodeName": "node-2", "containers": containers}
        self.objects.apply({**header, "metadata": metadata, "spec": spec})
        ready = {"type": "Ready", "status": "True"}
        addresses = {"podIP": address, "podIPs": [{"ip": address}]}
        status = {"phase": "Running", "conditions": [ready], **addresses}
        where = {**header, "metadata": identity, "status": status}
        self.objects.apply(where, "--subresource=status")


def scaling(objects, model):
    return objects.status(model).get("scaling") or {}


def test_replicas_follow_what_is_observed_up_and_down(objects, fresh, operator):
    objects.model(
        "elastic",
        batching=BATCHING,
        objectives=OBJECTIVES,
        scaling={"maxReplicas": 3, "scaleDownStabilizationSeconds": 30},
    )
    await_served(objects, "elastic")
    load = Load()
    pods = Pods(objects, "elastic", load)
    with ExitStack() as servers:
        made = []
        for address in ADDRESSES:
            triton = CountingTriton(load)
            made.append(triton)
            triton.configs["elastic"] = config_of(objects, "elastic", "default")
            servers.enter_context(serving(triton, address))
        assert pods.follow() == 1
        load.rate_per_s = 45.0
        wait_for(
            "more are asked for", lambda: objects.served("elastic")["spec"]["replicas"] > 1, 90
        )
        latest = scaling(objects, "elastic")["changes"][0]
        assert (latest["before"], latest["reason"]) == (1, "MoreNeeded")
        assert objects.get("inferencemodel", "elastic", "default")["spec"]["replicas"] == 1
        pods.follow()
        wait_for(
            "they are enough",
            lambda: objects.condition("elastic", "ObjectivesMet") == ("True", "Met"),
            90,
        )
        load.rate_per_s = 0.0
        wait_for("fewer are asked for", lambda: pods.follow() == 1, 150)
        latest = scaling(objects, "elastic")["changes"][0]
        assert (latest["after"], latest["reason"]) == (1, "FewerSuffice")
        told = {e["reason"] for e in objects.list("events", "default")}
        assert {"MoreNeeded", "FewerSuffice"} <= told
    objects.delete("inferencemodel", "elastic", "default")


def set_scale(objects, model, replicas):
    """Set the number as an autoscaler does, through the scale subresource."""
    path = f"{API}/{model}/scale"
    scale = json.loads(objects.plane.kubectl("get", "--raw", path))
    scale["spec"]["replicas"] = replicas
    objects.plane.kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(scale))


def test_of_two_who_scale_a_model_neither_fights(objects, fresh, operator):
    objects.model("contested", scaling={"minReplicas": 2, "maxReplicas": 5})
    assert await_served(objects, "contested")["spec"]["replicas"] == 2
    wait_for("it is decided", lambda: scaling(objects, "contested").get("statedReplicas") == 1, 60)
    set_scale(objects, "contested", 4)
    found = wait_for("it is told", lambda: objects.condition("contested", "ScalingContested"), 60)
    assert found == ("True", "OtherAutoscaler")
    assert objects.served("contested")["spec"]["replicas"] == 2, "it is not followed"
    model = objects.get("inferencemodel", "contested", "default")
    assert model["spec"]["replicas"] == 4, "nor written back"
    objects.delete("inferencemodel", "contested", "default")
