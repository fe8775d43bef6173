"""A pipeline's server as placement, readiness and events see any: as if it held one model.

What they ask of an InferenceModel, a pipeline answers as well: where it may run, how many replicas
there are to be, what the objectives are and what the status said before.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from ferryman.api.batching import BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel, InferenceModelSpec
from ferryman.api.inference_model_status import InferenceModelStatus, ObservedStatus
from ferryman.api.inference_runtime import InferenceRuntime, RuntimeProcessor
from ferryman.api.model_source import ModelFormat, ModelSource
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.inference_pipeline_status import PipelineObservedStatus
from ferryman.api.pipelines.step import PipelineStep
from ferryman.api.pods.parallelism import Parallelism
from ferryman.api.resources import Key, pipeline_key
from ferryman.core.errors import RejectedError
from ferryman.core.pipelines.snapshot import PipelineSnapshot
from ferryman.core.snapshot import Snapshot
from ferryman.core.triton import parallel


class PipelineServer(InferenceModel):
    """The server that a pipeline's clients call."""

    @property
    def key(self) -> Key:
        """The pipeline's own."""
        return pipeline_key(self.metadata.namespace or "", self.metadata.name)


def sources_of(
    pipeline: InferencePipeline, models: Mapping[str, InferenceModel]
) -> dict[str, ModelSource]:
    """Return where each step's files are; a step whose InferenceModel is not there has none."""
    found: dict[str, ModelSource] = {}
    for step in pipeline.spec.steps:
        referred = models.get(step.model_ref.name) if step.model_ref else None
        source = step.model or (referred.spec.model if referred else None)
        if source is not None:
            found[step.name] = source
    return found


#: Stands for sources where no place is looked for.
_ANY_SOURCE: Final = ModelSource(
    storage_uri="pvc://unknown", model_format=ModelFormat(name="python")
)


def as_server(
    pipeline: InferencePipeline,
    source: ModelSource = _ANY_SOURCE,
    processors: tuple[str, ...] = (),
) -> PipelineServer:
    """Return a pipeline's server, whose placement is among these processor classes.

    ``source`` stands for those of all steps: each of the classes serves all of them.
    """
    spec, status = pipeline.spec, pipeline.status
    return PipelineServer(
        metadata=pipeline.metadata,
        spec=InferenceModelSpec(
            model=source,
            runtime_ref=spec.runtime_ref,
            objectives=spec.objectives,
            placement=spec.placement.with_(processors=processors),
            parallelism=parallelism_of(pipeline),
            replicas=spec.replicas,
            progress_deadline_seconds=spec.progress_deadline_seconds,
            longest_request_seconds=spec.longest_request_seconds,
            resources=spec.resources,
            pod=spec.pod,
            batching=BatchingSpec(on_overload=spec.balancing.on_overload),
        ),
        status=InferenceModelStatus(
            observed_generation=status.observed_generation,
            conditions=status.conditions,
            replicas=status.replicas,
            ready_replicas=status.ready_replicas,
            settled_replicas=status.settled_replicas,
            specification=status.specification,
            placement=status.placement,
            observed=_observed(status.observed),
        ),
    )


def parallelism_of(pipeline: InferencePipeline) -> Parallelism | None:
    """Return what a server needs of devices for all steps; None where no step says anything.

    As many as the step that takes most, and connected as each of the steps needs it.
    """
    stated = [step.parallelism for step in pipeline.spec.steps if step.parallelism is not None]
    if not stated:
        return None
    most = max(stated, key=lambda each: each.devices)
    return most.with_(interconnect=tuple(r for each in stated for r in each.interconnect))


def server_of(snapshot: PipelineSnapshot, runtime: InferenceRuntime) -> PipelineServer:
    """Return the server of a pipeline, to be placed among the classes that can hold all steps.

    Raises RejectedError where there is none, or a step has no files.
    """
    pipeline = snapshot.pipeline
    sources = sources_of(pipeline, snapshot.models)
    lacking = [step.name for step in pipeline.spec.steps if step.name not in sources]
    if lacking:
        raise RejectedError(Reason.MODEL_NOT_FOUND, f"step {lacking[0]} has no model: create it")
    processors = processors_for(pipeline, sources, runtime)
    return as_server(pipeline, next(iter(sources.values())), processors)


def as_snapshot(snapshot: PipelineSnapshot, server: PipelineServer) -> Snapshot:
    """Return what a decision about the server's place sees."""
    return Snapshot(
        model=server,
        runtime=snapshot.runtime,
        nodes=snapshot.nodes,
        serving=snapshot.serving,
        placement_is_valid=snapshot.placement_is_valid,
    )


def processors_for(
    pipeline: InferencePipeline, sources: Mapping[str, ModelSource], runtime: InferenceRuntime
) -> tuple[str, ...]:
    """Return the classes on which one server can hold all steps.

    Raises RejectedError where there is none: it says of each class which step is in its way.
    """
    classes = [entry.processor_class for entry in runtime.spec.processors]
    hindrances = {each: _hindrance(pipeline, sources, runtime, each) for each in classes}
    found = tuple(each for each, hindrance in hindrances.items() if hindrance is None)
    if found:
        return found
    told = "; ".join(f"{each}: {hindrance}" for each, hindrance in hindrances.items())
    message = f"no processor class of runtime {runtime.name} can hold all steps in one server: "
    raise RejectedError(Reason.FORMAT_NOT_SUPPORTED, f"{message}{told}")


def _hindrance(
    pipeline: InferencePipeline,
    sources: Mapping[str, ModelSource],
    runtime: InferenceRuntime,
    processor: str,
) -> str | None:
    """Return what keeps a class from holding all steps, or None."""
    entry = runtime.processor(processor)
    found = None if entry is None else hindrances(pipeline, sources, entry)
    if found is None:
        return "spec.placement.processors does not allow it"
    return next(iter(found.values()), None)


def hindrances(
    pipeline: InferencePipeline, sources: Mapping[str, ModelSource], entry: RuntimeProcessor
) -> dict[str, str] | None:
    """Return the steps that a class cannot run, and why; None: the pipeline may not go there."""
    if not _allows(pipeline.spec.placement.processors, entry.processor_class):
        return None
    told = ((step.name, _of_step(step, sources[step.name], entry)) for step in pipeline.spec.steps)
    return {name: why for name, why in told if why is not None}


def _of_step(step: PipelineStep, source: ModelSource, entry: RuntimeProcessor) -> str | None:
    own = source.for_processor(entry.processor_class)
    if not _allows(step.placement.processors, entry.processor_class):
        return f"step {step.name} allows {', '.join(step.placement.processors)} only"
    if own.model_format.name not in entry.backends:
        served = ", ".join(sorted(entry.backends))
        return f"step {step.name} is {own.model_format.name}, served are {served}"
    spread = parallel.why_not(step.parallelism, entry, own)
    return None if spread is None else f"step {step.name}: {spread}"


def _allows(stated: Iterable[str], processor: str) -> bool:
    allowed = tuple(stated)
    return not allowed or processor in allowed


def _observed(status: PipelineObservedStatus | None) -> ObservedStatus | None:
    if status is None:
        return None
    return ObservedStatus(
        latency_milliseconds=status.latency_milliseconds,
        mean_latency_milliseconds=status.mean_latency_milliseconds,
        inferences_per_second=status.requests_per_second,
        failed_requests=status.failed_requests,
        rejected_requests=status.rejected_requests,
    )


def observed_of(status: ObservedStatus | None) -> PipelineObservedStatus | None:
    """Return what the pipeline's status says of its server's last window."""
    if status is None:
        return None
    return PipelineObservedStatus(
        latency_milliseconds=status.latency_milliseconds,
        mean_latency_milliseconds=status.mean_latency_milliseconds,
        requests_per_second=status.inferences_per_second,
        failed_requests=status.failed_requests,
        rejected_requests=status.rejected_requests,
    )
