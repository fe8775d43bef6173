"""What the status of an object says, as samples: what is unknown is absent."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ferryman.api.batching import Batching
from ferryman.api.conditions import Condition, ConditionType, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import InferenceModelStatus, ObservedStatus
from ferryman.api.objectives import Objectives
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus, StepStatus
from ferryman.core import timestamps
from ferryman.core.manifests import Manifest
from ferryman.core.scaling import desired
from ferryman.handlers.metrics.families import Sample

_MET: Final = {"True": 1.0, "False": 0.0}
_STATUSES: Final = ("true", "false", "unknown")
#: These are listed only while they are true.
_ABNORMAL: Final = frozenset(
    {
        ConditionType.RECONCILING,
        ConditionType.STALLED,
        ConditionType.NEEDS_CAPACITY,
        ConditionType.SCALING_LIMITED,
        ConditionType.SCALING_CONTESTED,
        ConditionType.KNOWN_VULNERABILITIES,
    }
)
#: Pipelines have no such conditions.
_OF_MODELS: Final = (
    ConditionType.SCALING_LIMITED,
    ConditionType.SCALING_CONTESTED,
    ConditionType.KNOWN_VULNERABILITIES,
)
_MS_PER_S: Final = 1e3
_US_PER_S: Final = 1e6

#: Metric without its prefix -> value, None where it is unknown.
Figures = Mapping[str, float | None]


def of_model(model: InferenceModel, status: InferenceModelStatus) -> Iterator[Sample]:
    """Yield what the status says of a model."""
    prefix, labels = "ferryman_model_", (model.key.namespace, model.key.name)
    placement, tuning = status.placement, model.spec.batching
    described = (
        model.spec.runtime_ref.name,
        (placement.node_type if placement else None) or "",
        (placement.processor if placement else None) or "",
        tuning.mode,
        tuning.algorithm,
    )
    needed, wanted = status.batching.needed_replicas, model.with_(status=status).replicas
    yield Sample(f"{prefix}info", (*labels, *described), 1.0)
    yield from _conditions(prefix, labels, status.conditions, tuple(ConditionType))
    yield from _known(prefix, labels, _objectives(model.spec.objectives))
    yield from _known(prefix, labels, _observed(status.observed))
    yield from _known(prefix, labels, _batching(status.batching.applied))
    counts: Figures = {
        "replicas": float(wanted),
        "ready_replicas": float(status.ready_replicas),
        "desired_replicas": float(desired.shown(status.batching, wanted)),
        "needed_replicas": None if needed is None else float(needed),
        "objectives_met": _met(status.conditions),
    }
    yield from _known(prefix, labels, counts)
    for change in status.batching.changes[:1]:
        yield _changed(prefix, labels, change.time, change.reason, change.outcome)


def of_pipeline(pipeline: InferencePipeline, status: InferencePipelineStatus) -> Iterator[Sample]:
    """Yield what the status says of a pipeline and of its steps."""
    prefix, labels = "ferryman_pipeline_", (pipeline.key.namespace, pipeline.key.name)
    placement, observed = status.placement, status.observed
    latency = pipeline.spec.objectives.latency
    described = (
        (placement.node_type if placement else None) or "",
        (placement.processor if placement else None) or "",
        status.execution.mode if status.execution else "",
    )
    yield Sample(f"{prefix}info", (*labels, *described), 1.0)
    types = tuple(each for each in ConditionType if each not in _OF_MODELS)
    yield from _conditions(prefix, labels, status.conditions, types)
    figures: Figures = {
        "objectives_met": _met(status.conditions),
        "latency_seconds": _seconds(observed.latency_milliseconds if observed else None),
        "latency_target_seconds": _seconds(latency.target_milliseconds if latency else None),
        "requests_per_second": observed.requests_per_second if observed else None,
        "failed_requests": float(observed.failed_requests) if observed else None,
        "replicas": float(pipeline.replicas),
        "ready_replicas": float(status.ready_replicas),
        "desired_replicas": float(desired.shown(status.balancing, pipeline.replicas)),
    }
    yield from _known(prefix, labels, figures)
    for change in status.balancing.changes[:1]:
        yield _changed(prefix, labels, change.time, change.reason, change.outcome)
    for step in status.steps:
        yield from _known(f"{prefix}step_", (*labels, step.name), _step(step, status))


def of_node(profile: Manifest) -> Iterator[Sample]:
    """Yield what a NodeProfile says, as the API server has it: agents report every few seconds."""
    name, status = str(profile["metadata"]["name"]), profile.get("status") or {}
    if status.get("nodeType"):
        yield Sample("ferryman_node_info", (name, str(status["nodeType"])), 1.0)
    if status.get("heartbeatTime"):
        moment = timestamps.parse(status["heartbeatTime"]).timestamp()
        yield Sample("ferryman_node_heartbeat_timestamp_seconds", (name,), moment)
    for processor in status.get("processors") or ():
        labels = (name, str(processor["class"]))
        shares = {
            "utilisation_ratio": processor.get("utilisation"),
            "memory_utilisation_ratio": processor.get("memoryUtilisation"),
        }
        yield from _known("ferryman_node_", labels, shares)


def _objectives(objectives: Objectives) -> Figures:
    latency, throughput = objectives.latency, objectives.throughput
    return {
        "latency_target_seconds": _seconds(latency.target_milliseconds if latency else None),
        "throughput_target_per_second": float(throughput.min_per_second) if throughput else None,
    }


def _observed(observed: ObservedStatus | None) -> Figures:
    if observed is None:
        return {}
    rejected = observed.rejected_requests
    return {
        "latency_seconds": _seconds(observed.latency_milliseconds),
        "mean_latency_seconds": _seconds(observed.mean_latency_milliseconds),
        "inferences_per_second": observed.inferences_per_second,
        "mean_batch_size": observed.mean_batch_size,
        "failed_requests": float(observed.failed_requests),
        "rejected_requests": None if rejected is None else float(rejected),
    }


def _batching(applied: Batching | None) -> Figures:
    if applied is None:
        return {}
    return {
        "max_batch_size": float(applied.max_batch_size),
        "max_queue_delay_seconds": applied.max_queue_delay_microseconds / _US_PER_S,
        "instances": float(applied.instances),
    }


def _step(step: StepStatus, status: InferencePipelineStatus) -> Figures:
    workers, bound, limiting = step.instances.desired, step.max_batch_size, status.limiting_step
    return {
        "workers": None if workers is None else float(workers),
        "max_batch_size": None if bound is None else float(bound),
        "mean_batch_size": step.mean_batch_size,
        "service_seconds": _seconds(step.service_time_milliseconds),
        "queue_seconds": _seconds(step.queue_milliseconds),
        "busy_ratio": step.busy,
        "limiting": None if limiting is None else float(step.name == limiting),
    }


def _conditions(
    prefix: str, labels: tuple[str, ...], known: Iterable[Condition], types: Iterable[ConditionType]
) -> Iterator[Sample]:
    stated = {condition.type: condition.status.lower() for condition in known}
    for kind in types:
        status = stated.get(kind, "false" if kind in _ABNORMAL else "unknown")
        for each in _STATUSES:
            yield Sample(f"{prefix}condition", (*labels, kind, each), float(each == status))


def _known(prefix: str, labels: tuple[str, ...], figures: Figures) -> Iterator[Sample]:
    for name, value in figures.items():
        if value is not None:
            yield Sample(f"{prefix}{name}", labels, value)


def _changed(prefix: str, labels: tuple[str, ...], time: str, reason: str, outcome: str) -> Sample:
    name = f"{prefix}last_change_timestamp_seconds"
    return Sample(name, (*labels, reason, outcome), timestamps.parse(time).timestamp())


def _met(conditions: Iterable[Condition]) -> float | None:
    met = find(conditions, ConditionType.OBJECTIVES_MET)
    return _MET.get(met.status) if met else None


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / _MS_PER_S
