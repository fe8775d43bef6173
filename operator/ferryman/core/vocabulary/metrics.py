"""Every metric of the operator: name, labels, and what it tells. The one table of them.

Names follow Prometheus' conventions ("MetricFamily and label naming"): base units (seconds, bytes,
ratios from 0 to 1), ``_total`` for counters, ``_info`` for labels that describe.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Subject = Literal["model", "pipeline", "step", "node", "operator", "process"]


@dataclass(frozen=True, slots=True)
class Former:
    """A name of before, which is exposed beside the present one for one version."""

    name: str
    factor: float = 1.0
    """Its value is that of the present name times this."""


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric, named as it is exposed."""

    subject: Subject
    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    former: Former | None = None
    going: bool = False
    """Whether it goes with the next version."""


_OF: Final[Mapping[Subject, tuple[str, ...]]] = {
    "model": ("namespace", "model"),
    "pipeline": ("namespace", "pipeline"),
    "step": ("namespace", "pipeline", "step"),
    "node": ("node",),
    "operator": (),
    "process": (),
}
_MS: Final = 1000.0


def _gauge(
    subject: Subject,
    name: str,
    meaning: str,
    *more: str,
    former: Former | None = None,
    going: bool = False,
) -> MetricFamily:
    return MetricFamily(subject, name, "gauge", (*_OF[subject], *more), meaning, former, going)


def _counter(name: str, meaning: str, *labels: str) -> MetricFamily:
    return MetricFamily("operator", name, "counter", labels, meaning)


def _process(name: str, kind: Kind, meaning: str, *labels: str) -> MetricFamily:
    return MetricFamily("process", name, kind, labels, meaning)


_MODELS: Final = (
    _gauge(
        "model",
        "ferryman_model_info",
        "Always 1: the runtime, the node type, the processor class, and how batching is tuned",
        "runtime",
        "node_type",
        "processor",
        "mode",
        "algorithm",
    ),
    _gauge(
        "model",
        "ferryman_model_condition",
        "1 for the status (true, false, unknown) that a condition has, 0 for the others",
        "condition",
        "status",
    ),
    _gauge(
        "model",
        "ferryman_model_objectives_met",
        "1 when all objectives are met, 0 when one is missed; absent while unknown",
    ),
    _gauge(
        "model",
        "ferryman_model_latency_seconds",
        "The objective's percentile (99 without one) of request durations in the last window",
        former=Former("ferryman_model_latency_milliseconds", _MS),
    ),
    _gauge(
        "model",
        "ferryman_model_mean_latency_seconds",
        "The mean request duration in the last window",
    ),
    _gauge(
        "model",
        "ferryman_model_latency_target_seconds",
        "The latency objective; absent without one",
        former=Former("ferryman_model_latency_target_milliseconds", _MS),
    ),
    _gauge(
        "model",
        "ferryman_model_inferences_per_second",
        "Inferences in the last window, summed over all replicas",
    ),
    _gauge(
        "model",
        "ferryman_model_throughput_target_per_second",
        "The throughput objective; absent without one",
    ),
    _gauge(
        "model",
        "ferryman_model_failed_requests",
        "Failures that Triton reported in the last window",
    ),
    _gauge(
        "model",
        "ferryman_model_rejected_requests",
        "Requests that the queue policy rejected in the last window; absent where Triton does "
        "not tell them from failures",
    ),
    _gauge("model", "ferryman_model_mean_batch_size", "Inferences per execution, last window"),
    _gauge("model", "ferryman_model_max_batch_size", "The batch size bound in force"),
    _gauge("model", "ferryman_model_max_queue_delay_seconds", "The queue delay in force"),
    _gauge("model", "ferryman_model_instances", "Triton instances in each pod"),
    _gauge(
        "model",
        "ferryman_model_replicas",
        "Replicas that there are to be: `spec.replicas`, or what own scaling chose",
    ),
    _gauge("model", "ferryman_model_ready_replicas", "Pods that are ready"),
    _gauge(
        "model",
        "ferryman_model_desired_replicas",
        "Replicas that the objectives need at the demand of now: what an autoscaler follows, and "
        "own scaling within its bounds; always there",
    ),
    _gauge(
        "model",
        "ferryman_model_needed_replicas",
        "The former desired_replicas, while more are needed than there are to be",
        going=True,
    ),
    _gauge(
        "model",
        "ferryman_model_last_change_timestamp_seconds",
        "Unix time of the latest change of batching, with its reason and what came of it",
        "reason",
        "outcome",
    ),
)
_PIPELINES: Final = (
    _gauge(
        "pipeline",
        "ferryman_pipeline_info",
        "Always 1: the node type and processor class of the server that clients call, and how "
        "the steps are executed",
        "node_type",
        "processor",
        "execution",
    ),
    _gauge(
        "pipeline",
        "ferryman_pipeline_condition",
        "1 for the status (true, false, unknown) that a condition has, 0 for the others",
        "condition",
        "status",
    ),
    _gauge(
        "pipeline",
        "ferryman_pipeline_objectives_met",
        "1 when all objectives are met, 0 when one is missed; absent while unknown",
    ),
    _gauge(
        "pipeline",
        "ferryman_pipeline_latency_seconds",
        "The objective's percentile (99 without one) of whole requests in the last window",
        former=Former("ferryman_pipeline_latency_milliseconds", _MS),
    ),
    _gauge(
        "pipeline",
        "ferryman_pipeline_latency_target_seconds",
        "The latency objective; absent without one",
    ),
    _gauge("pipeline", "ferryman_pipeline_requests_per_second", "Requests in the last window"),
    _gauge(
        "pipeline",
        "ferryman_pipeline_failed_requests",
        "Failures that Triton reported in the last window",
    ),
    _gauge("pipeline", "ferryman_pipeline_replicas", "Replicas that the specification asks for"),
    _gauge("pipeline", "ferryman_pipeline_ready_replicas", "Pods that are ready"),
    _gauge(
        "pipeline",
        "ferryman_pipeline_desired_replicas",
        "Replicas that the objectives need at the demand of now: what an autoscaler follows; "
        "always there",
    ),
    _gauge(
        "pipeline",
        "ferryman_pipeline_last_change_timestamp_seconds",
        "Unix time of the latest change of the steps, with its reason and what came of it",
        "reason",
        "outcome",
    ),
    _gauge(
        "step",
        "ferryman_pipeline_step_workers",
        "Instances that a step is to have in each pod",
    ),
    _gauge("step", "ferryman_pipeline_step_max_batch_size", "The step's bound in force"),
    _gauge("step", "ferryman_pipeline_step_mean_batch_size", "Rows per execution, last window"),
    _gauge(
        "step",
        "ferryman_pipeline_step_service_seconds",
        "Mean time of an execution in the last window",
        former=Former("ferryman_pipeline_step_service_milliseconds", _MS),
    ),
    _gauge(
        "step",
        "ferryman_pipeline_step_queue_seconds",
        "Mean wait for a worker in the last window",
        former=Former("ferryman_pipeline_step_queue_milliseconds", _MS),
    ),
    _gauge(
        "step",
        "ferryman_pipeline_step_busy_ratio",
        "Share of time in which the step's instances ran, 0 to 1",
        former=Former("ferryman_pipeline_step_busy"),
    ),
    _gauge(
        "step",
        "ferryman_pipeline_step_limiting",
        "1 for the step that limits the throughput, else 0",
    ),
)
_NODES: Final = (
    _gauge("node", "ferryman_node_info", "Always 1: the node's type", "node_type"),
    _gauge(
        "node",
        "ferryman_node_heartbeat_timestamp_seconds",
        "Unix time of the agent's latest report",
    ),
    _gauge(
        "node",
        "ferryman_node_utilisation_ratio",
        "Share of a processor in use, 0 to 1; absent where it is unknown",
        "processor",
    ),
    _gauge(
        "node",
        "ferryman_node_memory_utilisation_ratio",
        "Share of a processor's memory in use, 0 to 1; absent where it is unknown",
        "processor",
    ),
)
_OPERATOR: Final = (
    _gauge("operator", "ferryman_build_info", "Always 1: the operator's version", "version"),
    _gauge(
        "operator",
        "ferryman_operator_ready",
        "1 while the operator is at work or stands by, 0 while `/readyz` says why it is not",
    ),
    _gauge(
        "operator",
        "ferryman_operator_leads",
        "1 while it is this operator's turn to act, 0 while it stands by",
    ),
    _gauge("operator", "ferryman_models_placed", "Models by node type", "node_type"),
    _gauge(
        "operator",
        "ferryman_unread_objects",
        "Objects that are too large or too deep to be read, by kind: the log names them",
        "kind",
    ),
    _gauge("operator", "ferryman_queue_depth", "Objects that wait for a worker"),
    _counter("ferryman_reconciles_total", "Reconciles by result", "result"),
    MetricFamily(
        "operator", "ferryman_reconcile_seconds", "histogram", (), "How long a reconcile took"
    ),
    _counter("ferryman_api_writes_total", "Writes that the API server accepted", "verb", "kind"),
    _counter(
        "ferryman_batching_changes_total",
        "Changes of batching on running pods, by how they were made and what came of them",
        "actuator",
        "outcome",
    ),
    _counter(
        "ferryman_batching_reloads_total",
        "Those of the changes that loaded the model anew",
        "outcome",
    ),
    _counter(
        "ferryman_spans_total",
        "Spans of traces that the collector took (`Sent`), or that are lost (`Lost`)",
        "outcome",
    ),
)
#: Of the operator's own process, as every client library of Prometheus' calls them.
_PROCESS: Final = (
    _process("process_cpu_seconds_total", "counter", "CPU time, user and system"),
    _process("process_resident_memory_bytes", "gauge", "Resident memory"),
    _process("process_virtual_memory_bytes", "gauge", "Virtual memory"),
    _process("process_start_time_seconds", "gauge", "Unix time at which it started"),
    _process("process_open_fds", "gauge", "Open file descriptors"),
    _process("process_max_fds", "gauge", "The largest number of open file descriptors"),
    _process(
        "python_info",
        "gauge",
        "Always 1: the Python that it runs on",
        "version",
        "implementation",
        "major",
        "minor",
        "patchlevel",
    ),
)


def _by_name(metrics: Iterable[MetricFamily]) -> Mapping[str, MetricFamily]:
    return {metric.name: metric for metric in metrics}


#: Every metric by its name, as the reference lists them.
METRICS: Final = _by_name((*_MODELS, *_PIPELINES, *_NODES, *_OPERATOR, *_PROCESS))
