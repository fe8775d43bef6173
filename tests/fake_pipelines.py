# ruff: noqa: D102, ARG002  the Protocol documents the methods and names the arguments
"""A stand-in for a Triton server that holds the models of a pipeline, with requests flowing.

Time is the running loop's. What is served follows from what is asked and from the instances of
each step, as a fluid: a step carries ``instances / service_s`` requests a second, and the pipeline
what its slowest step carries.
"""

import asyncio
from dataclasses import dataclass, field

from ferryman.api.batching import Batching
from ferryman.api.statistics import ServerModel
from ferryman.clients import pbtxt
from ferryman.clients.triton import ConfigRefused, TritonUnavailable
from tests.factories import statistics
from tests.fakes import seconds

TENSOR = {"data_type": "TYPE_FP32", "dims": ["1"]}


class FakePipelineServer:
    """One pod's Triton: steps that take so many seconds a request, and the ensemble."""

    def __init__(self, ensemble, service_s, *, stated=False):
        self.asked_per_s = 0.0
        self.steps = {name: FakeStep(self, name, each) for name, each in service_s.items()}
        self.ensemble = FakeEnsemble(self, ensemble)
        self.silent = False
        self.breaks = set()
        """Steps whose next load takes the ensemble down, as long as they stay loaded so."""
        self.load_s = 0.0
        """After so long instances of a load serve; before that nothing has changed."""
        self.loads = []
        """What was loaded: the model and, of a step, its instances."""
        self._at_s = 0.0
        self._waiting = 0.0

    @property
    def models(self):
        """The models by name."""
        return {**self.steps, self.ensemble.name: self.ensemble}

    def carries_per_s(self):
        """Return the requests a second that it can answer."""
        return min(each.instances / each.service_s for each in self.steps.values())

    def flow(self):
        """Count what was served since the last look."""
        now_s = seconds()
        elapsed_s, self._at_s = now_s - self._at_s, now_s
        offered = self.asked_per_s * elapsed_s + self._waiting
        served = min(offered, self.carries_per_s() * elapsed_s) if self.ensemble.ready else 0.0
        # Closed loop: clients do not pile up more than a second's worth.
        self._waiting = min(offered - served, self.asked_per_s)
        rate = served / elapsed_s if elapsed_s else 0.0
        wait_s = self._waiting / rate if rate else 0.0
        limiting = min(self.steps.values(), key=lambda each: each.instances / each.service_s)
        for step in self.steps.values():
            step.count(served, wait_s if step is limiting else 0.0)
            step.pending = int(self._waiting) if step is limiting else 0
        self.ensemble.count(served, wait_s)

    def answer(self):
        if self.silent:
            raise TritonUnavailable("no answer")


@dataclass
class FakeModel:
    """What a step and the ensemble have in common: counters."""

    server: FakePipelineServer
    name: str
    served: float = 0.0
    waited_s: float = 0.0
    pending: int = 0
    closed: bool = False
    refusal: str = ""

    def count(self, served, wait_s):
        self.served += served
        self.waited_s += served * wait_s

    def _statistics(self, service_s):
        count = int(self.served)
        service_ns = int(count * service_s * 1e9)
        return statistics(
            seconds(),
            count,
            success_ns=int(self.waited_s * 1e9) + service_ns,
            queue_ns=int(self.waited_s * 1e9),
            batches={1: (count, service_ns)} if count else {},
            pending=self.pending,
        )

    async def close(self):
        self.closed = True


@dataclass
class FakeStep(FakeModel):
    """A step: its instances follow from what is loaded."""

    service_s: float = 0.01
    instances: int = 1
    ready: bool = True
    config: str = ""

    def __init__(self, server, name, service_s):
        super().__init__(server, name)
        self.service_s, self.instances, self.ready, self.config = service_s, 1, True, ""

    async def model(self):
        self.server.answer()
        batching = Batching(max_batch_size=64, instances=self.instances) if self.ready else None
        return ServerModel(ready=self.ready, batching=batching, instances=self.instances)

    async def statistics(self):
        self.server.answer()
        self.server.flow()
        return self._statistics(self.service_s)

    async def configuration(self):
        self.server.answer()
        tensors = {"input": [{"name": "input", **TENSOR}], "output": [{"name": "output", **TENSOR}]}
        return {"name": self.name, "max_batch_size": 64, **tensors}

    async def load(self, config_pbtxt, *, within_s=None, more_than=None):
        self.server.answer()
        if self.refusal:
            raise ConfigRefused(self.refusal)
        await asyncio.sleep(self.server.load_s)
        self.server.flow()
        config = pbtxt.decode(config_pbtxt)
        self.instances, self.config = config["instance_group"][0]["count"], config_pbtxt
        self.server.loads.append((self.name, self.instances))
        # Triton loads the ensemble anew, and its counters begin anew.
        ensemble = self.server.ensemble
        ensemble.served = ensemble.waited_s = 0.0
        ensemble.ready = ensemble.ready and self.name not in self.server.breaks


@dataclass
class FakeEnsemble(FakeModel):
    """The ensemble: there once it was loaded."""

    ready: bool = field(default=False)

    async def model(self):
        self.server.answer()
        return ServerModel(ready=self.ready, batchable=False, instances=1)

    async def statistics(self):
        self.server.answer()
        self.server.flow()
        return self._statistics(sum(each.service_s for each in self.server.steps.values()))

    async def configuration(self):
        raise NotImplementedError

    async def load(self, config_pbtxt, *, within_s=None, more_than=None):
        self.server.answer()
        if self.refusal:
            raise ConfigRefused(self.refusal)
        self.served = self.waited_s = 0.0
        self.server.loads.append((self.name, config_pbtxt))
        self.ready = True
