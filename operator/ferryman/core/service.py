"""What is to serve: the objects, the batching, and a change of it on pods that run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import BatchingStatus, DrainStatus, PlacementStatus
from ferryman.api.inference_runtime import InferenceRuntime, RuntimeProcessor
from ferryman.api.model_source import ModelSource, TritonConfig
from ferryman.api.scaling import ScalingStatus
from ferryman.core import render
from ferryman.core.batching import decide as batching
from ferryman.core.batching.changes import Actuation
from ferryman.core.batching.limits import alone
from ferryman.core.batching.subject import about, subject
from ferryman.core.errors import RejectedError
from ferryman.core.manifests import Manifest
from ferryman.core.observation.window import Window
from ferryman.core.render import EncodeConfig, Environment, ending
from ferryman.core.render.slots import ServedModel
from ferryman.core.scaling import decide as scaling
from ferryman.core.snapshot import PodView, Snapshot
from ferryman.core.status.observed import Observation
from ferryman.core.triton import config as triton_config
from ferryman.core.triton import live_cap, parallel
from ferryman.core.triton.config import LiveCap, NotTunable
from ferryman.core.tuners.select import TunerState


@dataclass(frozen=True)
class Inputs:
    """The arguments of ``plan``, and what was decided from them first."""

    snapshot: Snapshot
    window: Window | None
    state: TunerState
    now: datetime
    encode: EncodeConfig
    control_key: str
    environment: Environment
    placement: PlacementStatus
    observation: Observation


@dataclass(frozen=True)
class Service:
    """What is to serve, with which batching; or why the specification cannot be served."""

    batching: BatchingStatus
    state: TunerState
    objects: tuple[Manifest, ...] = ()
    actuation: Actuation | None = None
    rejection: RejectedError | None = None
    drain: DrainStatus | None = None
    scaling: ScalingStatus | None = None


def serve(inputs: Inputs) -> Service:
    """Return what is to serve; nothing to apply where that cannot be decided."""
    model, runtime = inputs.snapshot.model, inputs.snapshot.runtime
    scaled = model.status.scaling if model.spec.scaling else None
    unchanged = Service(
        model.status.batching, inputs.state, drain=model.status.drain, scaling=scaled
    )
    if runtime is None:
        name = model.spec.runtime_ref.name
        missing = f"there is no InferenceRuntime {name}: create it, or name another in runtimeRef"
        return replace(unchanged, rejection=RejectedError(Reason.RUNTIME_NOT_FOUND, missing))
    if inputs.placement.node_type is None:
        return unchanged
    try:
        return _serve_placed(inputs, runtime, inputs.placement.node_type)
    except RejectedError as rejection:
        return replace(unchanged, rejection=rejection)


def _serve_placed(inputs: Inputs, runtime: InferenceRuntime, node_type: str) -> Service:
    model, chosen = _confined(inputs.snapshot.model), inputs.placement
    processor = chosen.processor or ""
    entry = runtime.processor(processor)
    if entry is None:
        message = f"runtime {runtime.name} has no processor class {processor}: add it"
        raise RejectedError(Reason.PROCESSOR_NOT_IN_RUNTIME, message)
    source = model.source_for(processor)
    applied = model.status.batching.applied
    state = about(
        inputs.state,
        subject(source, chosen),
        model.status.service_times,
        1 if applied is None else applied.instances,
    )
    decision = batching.decide(
        model,
        inputs.snapshot.serving,
        source.config,
        window=inputs.window,
        steady=inputs.observation.steady,
        state=state,
        now=inputs.now,
    )
    scaled = scaling.of_model(model, decision.status, inputs.snapshot.serving, inputs.now)
    model = model.with_(status=model.status.with_(scaling=scaled))
    encode = _rejecting(inputs.encode)
    offered = live_cap.offer(entry, source.config)
    cap = partial(live_cap.in_config, offered, model.spec.batching, inputs.snapshot.serving)
    config = partial(_config, model, entry, source)
    found = cap(decision.applied)
    served = ServedModel(
        name=model.triton_name,
        storage_uri=source.storage_uri,
        fetch=source.fetch,
        live_cap=offered.source,
        config=config(decision.applied, found),
        untuned_config=triton_config.untuned(
            model.triton_name, model.spec.batching, entry, source, model.spec.parallelism
        ),
        tensor_parallel=parallel.tensor_parallel(model.spec.parallelism, entry, source),
    )
    serving = render.Serving(
        served=model,
        models=(served,),
        entry=entry,
        node_type=node_type,
        further_node_types=chosen.further_node_types,
        preferred_node=chosen.preferred_node,
        pull_policy=runtime.spec.image_pull_policy,
        control_key=inputs.control_key,
        environment=inputs.environment,
        runtime_pod=runtime.spec.pod,
        parallelism=model.spec.parallelism,
    )
    actuation = decision.actuation
    if actuation is not None:
        after = cap(actuation.after)
        text = encode(config(actuation.after, after))
        if _made_for(actuation.pods, render.config_hash(serving)):
            actuation = replace(
                actuation, config_pbtxt=text, config_has_live_cap=isinstance(after, LiveCap)
            )
    objects = render.render(serving, encode)
    status = decision.status.with_(live_cap=live_cap.status(found))
    times = ending.ending(entry.drain, model.spec.longest_request_seconds)
    drain = ending.status(times, runtime.name)
    return Service(status, decision.state, objects, actuation, drain=drain, scaling=scaled)


def _made_for(pods: Iterable[PodView], config_hash: str) -> bool:
    """Whether the pods were made for the configuration of those to come.

    While another processor class or configuration is rolled out, the pods of before could not
    serve with it: each is then given its own with the new batching.
    """
    return all(pod.config_hash in {"", config_hash} for pod in pods)


def _config(
    model: InferenceModel,
    entry: RuntimeProcessor,
    source: ModelSource,
    batching: Batching,
    found: LiveCap | NotTunable | None,
) -> TritonConfig:
    cap = found if isinstance(found, LiveCap) else None
    return triton_config.model_config(
        model.triton_name, entry, source, batching, cap, parallelism=model.spec.parallelism
    )


def _confined(model: InferenceModel) -> InferenceModel:
    """Return the model with one instance in each pod where that takes several devices."""
    if not parallel.is_parallel(model.spec.parallelism):
        return model
    return model.with_(spec=model.spec.with_(batching=alone(model.spec.batching)))


def _rejecting(encode: EncodeConfig) -> EncodeConfig:
    """Make a configuration that does not fit Triton's schema a matter of the specification."""

    def encode_or_reject(config: Mapping[str, Any]) -> str:
        try:
            return encode(config)
        except ValueError as error:
            raise RejectedError(Reason.INVALID_CONFIG, f"spec.model.config: {error}") from error

    return encode_or_reject
