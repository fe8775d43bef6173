"""A whole session on virtual time: everything real but kopf, the API server and Triton."""

import asyncio

from ferryman.api.resources import model_key
from ferryman.handlers.health import Health
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.reconciling.common import Clocks
from ferryman.handlers.session import Dependencies, Scope, Session
from tests import factories
from tests.fakes import (
    FakeKubernetes,
    FakeTritons,
    node_object,
    now,
    pod_object,
    seconds,
    wire,
)

MASTER_KEY = b"m" * 32


class Cluster:
    """A session with a fake API server and fake Triton servers."""

    def __init__(self):
        self.api = FakeKubernetes()
        self.tritons = FakeTritons()
        self.metrics = Metrics()
        self.image = "ferryman.dev/ferryman:test"
        self.prices = {}
        self.decided_in_executor = 0
        self._session = None

    async def run_in_executor(self, decide):
        """Decide here: virtual time does not wait for threads."""
        self.decided_in_executor += 1
        return decide()

    async def begin(self):
        """Start a session; what exists is told to it as kopf would after listing."""
        health = Health(seconds)
        dependencies = Dependencies(
            self.api,
            self.tritons.connect,
            Clocks(now, seconds),
            health,
            self.metrics,
            MASTER_KEY,
            run_in_executor=self.run_in_executor,
        )
        self._session = Session(
            dependencies, Scope("ferryman-system", self.image, prices=self.prices)
        )
        self.api.on_event = self._session.begin(self.api.indices)
        for (index, _, _), body in list(self.api.objects.items()):
            if index in self.api.indices:
                self.api.on_event(index, body, False)  # noqa: FBT003  as kopf calls it
        return health

    async def end(self):
        """End the session, as at SIGTERM."""
        self.api.on_event = lambda _index, _body, _deleted: None
        await self._session.end()

    async def settle(self, for_s=3.0):
        """Let everything that is under way come to its end."""
        await asyncio.sleep(for_s)

    def node(self, name="node-1", node_type="cpu-small", **profile):
        """Put a node with a fresh profile."""
        self.api.put("nodes", node_object(name))
        self.heartbeat(name, node_type, **profile)

    def heartbeat(self, name="node-1", node_type="cpu-small", **profile):
        """Report of a node as an agent does; its benchmarks stay."""
        values = {"heartbeat_age_s": -seconds(), **profile}
        self.api.put("profiles", wire(factories.profile(name, node_type, **values)))

    async def beat(self, for_s, *, period_s=30.0, **profile):
        """Let time pass while the agent on node-1 reports, each time another utilisation."""
        end_s, turn = seconds() + for_s, 0
        while seconds() < end_s:
            await asyncio.sleep(min(period_s, end_s - seconds()))
            turn += 1
            processor = factories.processor(utilisation=0.1 + 0.05 * (turn % 4))
            self.heartbeat(processors=[processor], **profile)

    def model(self, name="resnet50", **spec):
        """Put a model as a user would: the status stays as it is."""
        before = self.api.get("models", name)
        body = wire(factories.model(name, **spec))
        generation = before["metadata"]["generation"] + 1 if before else 1
        body["metadata"]["generation"] = generation
        body["status"] = before["status"] if before else {}
        return self.api.put("models", body)

    def serve(self, name="resnet50", *ips, live_cap=False):
        """Do the work of Deployment controller and kubelet: pods that are ready."""
        addresses = ips or ("10.0.0.1",)
        for ip in addresses:
            self.tritons.at(ip)
            pod = pod_object(f"{name}-triton-{ip}", name, ip=ip, live_cap=live_cap)
            self.api.put("pods", pod)
        pods = [
            body
            for (index, _, _), body in self.api.objects.items()
            if index == "pods" and body["metadata"]["labels"]["serving.ferryman.dev/model"] == name
        ]
        key = model_key("default", name)
        self.api.indices["pods"][key] = pods
        deployment = self.api.get("deployments", f"{name}-triton")
        count = len(addresses)
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": count,
            "readyReplicas": count,
            "updatedReplicas": count,
        }
        self.api.put("deployments", {**deployment, "status": status})

    def status(self, name="resnet50"):
        """Return a model's status as it is stored."""
        return self.api.get("models", name)["status"]

    def condition(self, kind, name="resnet50"):
        """Return (status, reason) of a condition, or None."""
        for condition in self.status(name).get("conditions", ()):
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return None

    def writes(self):
        """Return all writes so far by verb and kind."""
        return dict(self.api.writes)
