"""The operator's own metrics, in the Prometheus format."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ferryman.api.batching import Actuator
from ferryman.api.conditions import ConditionType, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.resources import Key
from ferryman.core.batching import desired
from ferryman.core.batching.actuators import ACTUATORS

_MODEL: Final = ("namespace", "model")
_MET: Final = {"True": 1.0, "False": 0.0}


class Metrics:
    """Counters and gauges on a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.reconciles = Counter(
            "ferryman_reconciles", "Reconciles by result.", ("result",), registry=registry
        )
        self.reconcile_seconds = Histogram(
            "ferryman_reconcile_seconds", "Time that a reconcile took.", registry=registry
        )
        self.queue_depth = Gauge(
            "ferryman_queue_depth", "Models that wait for a worker.", registry=registry
        )
        self.api_writes = Counter(
            "ferryman_api_writes",
            "Writes that the API server accepted.",
            ("verb", "kind"),
            registry=registry,
        )
        self.changes = Counter(
            "ferryman_batching_changes",
            "Changes of batching on running pods by how they were made and what came of them.",
            ("actuator", "outcome"),
            registry=registry,
        )
        self.reloads = Counter(
            "ferryman_batching_reloads",
            "Those of the changes that loaded the model anew.",
            ("outcome",),
            registry=registry,
        )
        self.batch_size = Gauge(
            "ferryman_model_max_batch_size", "The applied bound.", _MODEL, registry=registry
        )
        self.latency_ms = Gauge(
            "ferryman_model_latency_milliseconds",
            "The objective's percentile in the last window.",
            _MODEL,
            registry=registry,
        )
        self.target_ms = Gauge(
            "ferryman_model_latency_target_milliseconds",
            "The latency objective.",
            _MODEL,
            registry=registry,
        )
        self.inferences = Gauge(
            "ferryman_model_inferences_per_second",
            "Inferences in the last window.",
            _MODEL,
            registry=registry,
        )
        self.rejected = Gauge(
            "ferryman_model_rejected_requests",
            "Requests that the queue policy rejected in the last window.",
            _MODEL,
            registry=registry,
        )
        self.needed_replicas = Gauge(
            "ferryman_model_needed_replicas",
            "The former name of desired_replicas, while more are needed than there are to be.",
            _MODEL,
            registry=registry,
        )
        self.desired_replicas = Gauge(
            "ferryman_model_desired_replicas",
            "Replicas that the objectives need at the demand of now: for autoscalers.",
            _MODEL,
            registry=registry,
        )
        self.objectives_met = Gauge(
            "ferryman_model_objectives_met",
            "1 when all objectives are met, 0 when one is missed; absent while unknown.",
            _MODEL,
            registry=registry,
        )
        self.placements = Gauge(
            "ferryman_models_placed", "Models per node type.", ("node_type",), registry=registry
        )
        self._shown: set[Key] = set()
        self._node_types: dict[Key, str] = {}

    def write(self, verb: str, kind: str) -> None:
        """Count a write that the API server accepted."""
        self.api_writes.labels(verb, kind).inc()

    def changed(self, actuator: Actuator, outcome: str) -> None:
        """Count a change of batching, and the reload that it took if it did."""
        self.changes.labels(actuator, outcome).inc()
        if ACTUATORS[actuator].reloads:
            self.reloads.labels(outcome).inc()

    def show(self, model: InferenceModel, status: InferenceModelStatus) -> None:
        """Show what the status says of a model."""
        key = model.key
        self._shown.add(key)
        _set(self.batch_size, key, _batch_size(status))
        observed, latency = status.observed, model.spec.objectives.latency
        _set(self.latency_ms, key, observed.latency_milliseconds if observed else None)
        _set(self.inferences, key, observed.inferences_per_second if observed else None)
        _set(self.rejected, key, observed.rejected_requests if observed else None)
        needed = status.batching.needed_replicas
        _set(self.needed_replicas, key, None if needed is None else float(needed))
        wanted = desired.shown(status.batching, model.spec.replicas)
        _set(self.desired_replicas, key, float(wanted))
        _set(self.target_ms, key, float(latency.target_milliseconds) if latency else None)
        met = find(status.conditions, ConditionType.OBJECTIVES_MET)
        _set(self.objectives_met, key, _MET.get(met.status) if met else None)
        self._place(key, (status.placement.node_type if status.placement else None) or "")

    def forget(self, key: Key) -> None:
        """Drop the series of a model that is gone."""
        for gauge in self._of_models():
            _set(gauge, key, None)
        self._place(key, "")
        self._shown.discard(key)

    def forget_all(self) -> None:
        """Drop the series of all models: no event tells of those that are deleted meanwhile."""
        for key in list(self._shown):
            self.forget(key)

    def _of_models(self) -> tuple[Gauge, ...]:
        return (
            self.batch_size,
            self.latency_ms,
            self.target_ms,
            self.inferences,
            self.rejected,
            self.needed_replicas,
            self.desired_replicas,
            self.objectives_met,
        )

    def _place(self, key: Key, node_type: str) -> None:
        before = self._node_types.pop(key, "")
        if node_type:
            self._node_types[key] = node_type
        if before == node_type:
            return
        if before:
            self.placements.labels(before).dec()
        if node_type:
            self.placements.labels(node_type).inc()


def _batch_size(status: InferenceModelStatus) -> float | None:
    applied = status.batching.applied
    return float(applied.max_batch_size) if applied else None


def _set(gauge: Gauge, key: Key, value: float | None) -> None:
    labels = key.namespace, key.name
    if value is not None:
        gauge.labels(*labels).set(value)
    else:
        gauge.remove_by_labels(dict(zip(_MODEL, labels, strict=True)))
