"""Which steps of a pipeline other servers have, and what its own server has in their place.

Cut off can be what takes its model from an InferenceModel: that one is served by pods of its own,
is placed, tuned and replicated as its own specification says, and answers this pipeline's requests.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from ferryman.api import names
from ferryman.api.batching import InstanceLimits, MaxBatchSizeLimits
from ferryman.api.conditions import ConditionType, Reason, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime, RuntimeProcessor
from ferryman.api.model_source import ModelFormat, ModelSource, TritonConfig
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.step import PipelineStep, StepLimits, StepPlacement
from ferryman.core.errors import RejectedError
from ferryman.core.pipelines.fault import PipelineFault
from ferryman.core.pipelines.server import hindrances, sources_of
from ferryman.core.triton.config import refusal_to_tune
from ferryman.core.triton.overlay import normalise
from ferryman.core.triton.step_proxy import StepServer

#: A proxy is a Python model whose files the operator writes.
_PROXY: Final = "pvc://none"
_PROXY_FORMAT: Final = "python"
_FASTER: Final = "a request is faster that way"
_MOST: Final = 63
_SUFFIX: Final = "-pipeline"


@dataclass(frozen=True)
class RemoteStep:
    """A step that the servers of an InferenceModel have."""

    model: InferenceModel
    server: StepServer
    why: str
    """Why it is not on the pipeline's own server."""

    @property
    def is_ready(self) -> bool:
        """Whether it answers, as far as its status says."""
        return is_ready(self.model)


def remote_steps(
    pipeline: InferencePipeline,
    models: Mapping[str, InferenceModel],
    runtime: InferenceRuntime,
    for_speed: Collection[str] = (),
) -> dict[str, RemoteStep]:
    """Return the steps that are cut off, by their names.

    With mode Distributed it is every step that refers to an InferenceModel; with Auto those without
    which one server could hold the rest, where it cannot hold all, and else those ``for_speed``.
    Raises RejectedError where several servers are asked for and no step refers to a model.
    """
    mode = pipeline.spec.execution.mode
    referring = [step for step in pipeline.spec.steps if step.model_ref is not None]
    if mode == "Ensemble":
        return {}
    if mode == "Distributed":
        if not referring:
            message = (
                "execution.mode Distributed needs a step whose model an InferenceModel serves: "
                "state modelRef instead of model of a step, or set execution.mode to Auto"
            )
            raise RejectedError(Reason.INVALID_SPEC, message)
        return {
            step.name: _remote(pipeline, step, models, "mode Distributed") for step in referring
        }
    why = in_the_way(pipeline, models, runtime) or dict.fromkeys(for_speed, _FASTER)
    return {
        step.name: _remote(pipeline, step, models, why[step.name])
        for step in referring
        if step.name in why
    }


def can_be_asked(
    pipeline: InferencePipeline,
    models: Mapping[str, InferenceModel],
    entry: RuntimeProcessor | None,
) -> dict[str, InferenceModel]:
    """Return the steps that a server of this class could have a proxy for, and who serves them."""
    if entry is None or _PROXY_FORMAT not in entry.backends:
        return {}
    found = {
        step.name: models[step.model_ref.name]
        for step in pipeline.spec.steps
        if step.model_ref is not None and step.model_ref.name in models
    }
    return {name: model for name, model in found.items() if _tensors(model) is not None}


def is_ready(model: InferenceModel) -> bool:
    """Whether the servers of a model answer, as far as its status says."""
    ready = find(model.status.conditions, ConditionType.READY)
    return ready is not None and ready.status == "True"


def in_the_way(
    pipeline: InferencePipeline, models: Mapping[str, InferenceModel], runtime: InferenceRuntime
) -> Mapping[str, str]:
    """Return the fewest steps that keep a class from holding the rest, and why; none is best.

    Steps that are not served elsewhere cannot leave.
    """
    sources = sources_of(pipeline, models)
    able = [
        found
        for entry in runtime.spec.processors
        if (found := hindrances(pipeline, sources, entry)) is not None
        and all(_can_leave(pipeline, name) for name in found)
    ]
    return min(able, key=len, default={})


def _can_leave(pipeline: InferencePipeline, name: str) -> bool:
    step = pipeline.step(name)
    return step is not None and step.model_ref is not None


def _remote(
    pipeline: InferencePipeline, step: PipelineStep, models: Mapping[str, InferenceModel], why: str
) -> RemoteStep:
    model = models[step.model_ref.name if step.model_ref else ""]
    latency = pipeline.spec.objectives.latency
    longest_ms = pipeline.spec.longest_request_seconds * 1000
    return RemoteStep(
        model,
        StepServer(
            host=f"{service_name(pipeline, step.name)}.{pipeline.key.namespace}.svc",
            port=names.PORT_HTTP,
            model=model.triton_name,
            deadline_ms=longest_ms if latency is None else latency.target_milliseconds,
        ),
        why,
    )


def service_name(pipeline: InferencePipeline, step: str) -> str:
    """Return the name of the Service that has an address for each pod of a step's servers.

    It begins and ends as the pipeline's objects do; a long step is told by a digest.
    """
    name = pipeline.metadata.name
    room = _MOST - len(name) - len(_SUFFIX) - 1
    own = step if len(step) <= room else hashlib.sha256(step.encode()).hexdigest()[:room]
    return f"{name}-{own}{_SUFFIX}"


def with_proxies(
    pipeline: InferencePipeline, remote: Mapping[str, RemoteStep]
) -> tuple[InferencePipeline, tuple[PipelineFault, ...]]:
    """Return the pipeline as its own server has it, and what is not known of a proxy's tensors."""
    steps, faults = [], []
    for step in pipeline.spec.steps:
        if step.name not in remote:
            steps.append(step)
            continue
        config = _tensors(remote[step.name].model)
        if config is None:
            faults.append(_unknown(step.name, remote[step.name].model.metadata.name))
        else:
            steps.append(_proxy(step, config))
    return pipeline.with_(spec=pipeline.spec.with_(steps=tuple(steps))), tuple(faults)


def _proxy(step: PipelineStep, config: TritonConfig) -> PipelineStep:
    bound = max(1, config["max_batch_size"])
    return PipelineStep(
        name=step.name,
        model=ModelSource(
            storage_uri=_PROXY, model_format=ModelFormat(name=_PROXY_FORMAT), config=config
        ),
        input_map=step.input_map,
        placement=StepPlacement(),
        limits=StepLimits(
            instances=InstanceLimits(min=1, max=1),
            max_batch_size=MaxBatchSizeLimits(min=bound, max=bound),
        ),
    )


def _tensors(model: InferenceModel) -> TritonConfig | None:
    """Return what a proxy has of its model's configuration; None where that does not say enough."""
    placed = model.status.placement
    source = model.source_for((placed.processor if placed else None) or "")
    overlay = normalise(source.config)
    if not overlay.get("input") or not overlay.get("output"):
        return None
    largest = model.spec.batching.limits.max_batch_size.max
    bound = overlay.get("max_batch_size", 0) if refusal_to_tune(overlay) else largest
    return {"input": overlay["input"], "output": overlay["output"], "max_batch_size": bound}


def _unknown(step: str, model: str) -> PipelineFault:
    return PipelineFault(
        Reason.TYPE_UNKNOWN,
        f"step {step} is served by InferenceModel {model}, and what stands in its place must be "
        f"told its tensors: state input and output in spec.model.config of {model}",
        step,
    )
