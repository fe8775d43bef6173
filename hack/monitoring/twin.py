"""What Prometheus scrapes for the pictures: the operator's own page, fed from runs of the twin.

Each scenario is a model whose run on the digital twin, under the operator's tuner, is shown window
by window: one window lasts a second here. Beside it there is a page like Triton's, and a node.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, start_http_server

from ferryman.api.conditions import Condition, Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import (
    BatchingChange,
    BatchingStatus,
    InferenceModelStatus,
    ObservedStatus,
    PlacementStatus,
)
from ferryman.core import timestamps
from ferryman.core.batching import desired
from ferryman.core.observation.objectives import judge
from ferryman.core.observation.window import Window
from ferryman.core.simulator import loads
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.simulation import simulate
from ferryman.core.simulator.tuned_run import Tuned
from ferryman.core.tuners import select
from ferryman.core.tuners.needs import number
from ferryman.core.tuners.protocol import Decision
from ferryman.handlers.metrics import Metrics

NAMESPACE: Final = "default"
_US_PER_S: Final = 1e6
_MS_PER_S: Final = 1e3


@dataclass(frozen=True, slots=True)
class Looked:
    """A window of a run, what served it, and what the tuner said."""

    window: Window
    applied: Any
    word: Decision

    @property
    def busy(self) -> float:
        """Seconds of execution per second."""
        batches = self.window.inferences / max(self.window.mean_batch_size or 1.0, 1.0)
        return batches * (self.window.compute_ms or 0.0) / self.window.seconds / _MS_PER_S


def looks(scenario: Scenario) -> list[Looked]:
    """Return every window of a run of the twin under the operator's tuner."""
    found: list[Looked] = []

    def look(*arguments: Any) -> Any:  # noqa: ANN401  the tuner's own
        word = select.tune(*arguments)
        found.append(Looked(arguments[3], arguments[2], word))
        return word

    start = Tuned(look, select.TunerState(), scenario.start)
    simulate(scenario, loads.draw(scenario), start)
    return found


@dataclass
class Twin:
    """A model of a scenario, and the node type that it runs on: one node, which it has alone."""

    name: str
    node_type: str
    scenario: Scenario
    run: Sequence[Looked] = field(repr=False)
    _batching: BatchingStatus = field(default_factory=BatchingStatus)

    def show(self, second: int, metrics: Metrics) -> Looked:
        """Show the window of a second as the operator would, and return it."""
        look, before = self.run[second], self.run[max(0, second - 1)]
        now = datetime.now(UTC)
        noted = desired.noted(
            self._batching, look.word, look.window, self.scenario.replicas, now=now
        )
        if look.applied != before.applied:
            noted = noted.with_(changes=(_change(before, look, now),))
            metrics.changed("LiveCap", "Applied")
        self._batching = noted.with_(applied=look.applied)
        metrics.show(self._model(), self._status(look, now))
        metrics.show_node(self._profile(look, now), deleted=False)
        metrics.reconciles.labels("ok").inc()
        return look

    def _model(self) -> InferenceModel:
        source = {"storageUri": "pvc://twin", "modelFormat": {"name": "onnx"}}
        runtime = {"runtimeRef": {"name": "twin"}, "replicas": self.scenario.replicas}
        objectives = self.scenario.objectives.as_dict()
        return InferenceModel.model_validate(
            {
                "metadata": {"name": self.name, "namespace": NAMESPACE, "uid": self.name},
                "spec": {"model": source, **runtime, "objectives": objectives},
            }
        )

    def _status(self, look: Looked, now: datetime) -> InferenceModelStatus:
        window = look.window
        verdict = judge(self.scenario.objectives, window)
        met = {True: "True", False: "False", None: "Unknown"}[verdict.met]
        conditions = [
            _condition("Ready", "True", Reason.SERVING, now),
            _condition("ObjectivesMet", met, verdict.reason, now),
        ]
        if number(look.word.needs):
            conditions.append(_condition("NeedsCapacity", "True", Reason.NEEDS_CAPACITY, now))
        return InferenceModelStatus(
            ready_replicas=self.scenario.replicas,
            conditions=tuple(conditions),
            placement=PlacementStatus(
                node_type=self.node_type, processor="cpu", reason="LeastWorkload", message=""
            ),
            batching=self._batching,
            observed=ObservedStatus(
                latency_milliseconds=window.latency_ms,
                mean_latency_milliseconds=window.mean_latency_ms,
                inferences_per_second=window.inferences_per_s,
                mean_batch_size=window.mean_batch_size,
                failed_requests=window.failures,
            ),
        )

    def _profile(self, look: Looked, now: datetime) -> dict[str, Any]:
        processor = {"class": "cpu", "utilisation": min(1.0, look.busy)}
        status = {"heartbeatTime": timestamps.text(now), "processors": [processor]}
        return {
            "metadata": {"name": f"node-of-{self.name}"},
            "status": {"nodeType": self.node_type, **status},
        }


async def feed(twins: Sequence[Twin], seconds: int, metrics: Metrics, busy: Counter) -> None:
    """Show one window of every model a second; ``busy`` is of the first one's pod."""
    for second in range(seconds):
        first, *_ = [twin.show(second, metrics) for twin in twins]
        busy.labels(twins[0].name, "1").inc(first.busy * _US_PER_S)
        await asyncio.sleep(1.0)


@contextmanager
def serving_pod() -> Iterator[tuple[Counter, int]]:
    """Yield the counter of a page like Triton's, and the port where it is."""
    registry = CollectorRegistry()
    name, words = "nv_inference_compute_infer_duration_us", "As Triton's"
    busy = Counter(name, words, ("model", "version"), registry=registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield busy, server.server_port
    finally:
        server.shutdown()
        thread.join()


def _condition(kind: str, status: Any, reason: str, now: datetime) -> Condition:  # noqa: ANN401
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message="",
        last_transition_time=timestamps.text(now),
    )


def _change(before: Looked, after: Looked, now: datetime) -> BatchingChange:
    return BatchingChange(
        time=timestamps.text(now),
        before=before.applied,
        after=after.applied,
        actuator="LiveCap",
        reason=before.word.reason,
        message="",
        outcome="Applied",
    )
