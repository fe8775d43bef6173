"""The operator's own metrics, in the Prometheus format: those of ``core.vocabulary.metrics``."""

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from ferryman import __version__
from ferryman.api.batching import Actuator
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import ChangeOutcome, InferenceModelStatus
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.api.resources import Key
from ferryman.core.batching.actuators import ACTUATORS
from ferryman.core.manifests import Manifest
from ferryman.handlers.metrics import figures
from ferryman.handlers.metrics.families import Families, Shown


class Metrics:
    """Counters and gauges on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._families = families = Families(self.registry)
        self._shown = Shown(families)
        self._node_types: dict[Key, str] = {}
        self.reconciles = families.counter("ferryman_reconciles_total")
        self.reconcile_seconds = families.histogram("ferryman_reconcile_seconds")
        families.gauge("ferryman_build_info").labels(__version__).set(1)
        self._count_from_zero()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def _count_from_zero(self) -> None:
        """Have the first of anything be seen as an increase: a series that begins at 1 is none."""
        for result in ("ok", "error"):
            self.reconciles.labels(result)
        for outcome in ("Sent", "Lost"):
            self._families.counter("ferryman_spans_total").labels(outcome)
        for outcome in get_args(ChangeOutcome):
            self._families.counter("ferryman_batching_reloads_total").labels(outcome)
            for actuator in ACTUATORS:
                changes = self._families.counter("ferryman_batching_changes_total")
                changes.labels(actuator, outcome)

    def of_operator(self, *, ready: bool, leads: bool, queue_depth: int) -> None:
        """Show whether the operator is at work, whether it acts, and how much work waits."""
        self._families.gauge("ferryman_operator_ready").set(float(ready))
        self._families.gauge("ferryman_operator_leads").set(float(leads))
        self._families.gauge("ferryman_queue_depth").set(queue_depth)

    def write(self, verb: str, kind: str) -> None:
        """Count a write that the API server accepted."""
        self._families.counter("ferryman_api_writes_total").labels(verb, kind).inc()

    def unread(self, kind: str, count: int) -> None:
        """Show how many objects of a kind (its plural) are not read."""
        self._families.gauge("ferryman_unread_objects").labels(kind).set(count)

    def spans(self, outcome: Literal["Sent", "Lost"], count: int) -> None:
        """Count spans that the collector took, or that are lost; called in any thread."""
        self._families.counter("ferryman_spans_total").labels(outcome).inc(count)

    def changed(self, actuator: Actuator, outcome: str) -> None:
        """Count a change of batching, and the reload that it took if it did."""
        self._families.counter("ferryman_batching_changes_total").labels(actuator, outcome).inc()
        if ACTUATORS[actuator].reloads:
            self._families.counter("ferryman_batching_reloads_total").labels(outcome).inc()

    def show(self, model: InferenceModel, status: InferenceModelStatus) -> None:
        """Show what the status says of a model."""
        self._shown.show(model.key, figures.of_model(model, status))
        self._place(model.key, (status.placement.node_type if status.placement else None) or "")

    def show_pipeline(self, pipeline: InferencePipeline, status: InferencePipelineStatus) -> None:
        """Show what the status says of a pipeline and of its steps."""
        self._shown.show(pipeline.key, figures.of_pipeline(pipeline, status))

    def show_node(self, profile: Manifest, *, deleted: bool) -> None:
        """Show what a NodeProfile says, or forget it."""
        owner = f"node {profile['metadata']['name']}"
        self._shown.show(owner, () if deleted else figures.of_node(profile))

    def forget(self, key: Key) -> None:
        """Drop the series of a model or pipeline that is gone."""
        self._shown.forget(key)
        self._place(key, "")

    def forget_all(self) -> None:
        """Drop all series of objects: no event tells of those that are deleted meanwhile."""
        self._shown.forget_all()
        for key in list(self._node_types):
            self._place(key, "")

    def _place(self, key: Key, node_type: str) -> None:
        before = self._node_types.pop(key, "")
        if node_type:
            self._node_types[key] = node_type
        placements = self._families.gauge("ferryman_models_placed")
        if before == node_type:
            return
        if before:
            placements.labels(before).dec()
        if node_type:
            placements.labels(node_type).inc()
