"""Gather: from what the watches keep and what Triton says of each model to one frozen snapshot."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from ferryman.api.batching import Batching
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.pipelines.execution_status import CallStatus
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.resources import Key, model_key
from ferryman.api.statistics import ServerModel
from ferryman.clients.triton import TritonUnavailable
from ferryman.core.manifests import condition
from ferryman.core.pipelines.snapshot import LoadedStep, PipelineSnapshot
from ferryman.core.pods.state import serving_state
from ferryman.core.render.slots import slot
from ferryman.core.snapshot import NodeView, ServingState
from ferryman.handlers.cache import Cache
from ferryman.handlers.gather import Nodes
from ferryman.handlers.servers import Servers

#: Pod -> what its Triton says of one model.
Answers = Mapping[str, ServerModel]


@dataclass
class Completed:
    """Configurations of steps as servers completed them, by what the pods were made for."""

    _known: dict[tuple[Key, str], dict[str, dict[str, Any]]] = field(default_factory=dict)

    def of(self, key: Key, step: str, made_for: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return what was seen of a step in pods that were made for these; the rest is dropped."""
        seen = self._known.get((key, step), {})
        kept = {config_hash: seen[config_hash] for config_hash in made_for if config_hash in seen}
        self._known[key, step] = kept
        return kept

    def forget(self, key: Key) -> None:
        """Forget a pipeline that is gone."""
        for known in [known for known in self._known if known[0] == key]:
            del self._known[known]


@dataclass(frozen=True)
class PipelineLooks:
    """Looks at what serves pipelines."""

    cache: Cache
    nodes: Nodes
    servers: Servers
    completed: Completed = field(default_factory=Completed)

    async def look(
        self, pipeline: InferencePipeline, control_key: str
    ) -> tuple[ServingState, dict[str, LoadedStep]]:
        """Return what serves a pipeline as a whole, and each of its steps."""
        key = pipeline.key
        pods = self.nodes.on_living(self.cache.pods(key))
        names = (pipeline.triton_name, *(step.name for step in pipeline.spec.steps))
        answers = await asyncio.gather(
            *(self.servers.poll(key, pods, control_key, name) for name in names)
        )
        whole, *steps = (self._state(key, name, said) for name, said in _named(names, answers))
        found = {
            name: await self._loaded(key, name, state, control_key)
            for name, state in zip(names[1:], steps, strict=True)
        }
        return whole, found

    def asked(self, pipeline: InferencePipeline) -> list[str]:
        """Return an address of each server that calls or is called where steps are cut off.

        Empty where nothing is cut off nor may be, or one of them has no pod that is ready.
        """
        referred = {step.model_ref.name for step in pipeline.spec.steps if step.model_ref}
        if not referred or pipeline.spec.execution.mode == "Ensemble":
            return []
        namespace = pipeline.key.namespace
        keys = [pipeline.key, *(model_key(namespace, name) for name in sorted(referred))]
        first = [next(iter(self._ready(key)), None) for key in keys]
        known = [ip for ip in first if ip is not None]
        return known if len(known) == len(keys) else []

    def _ready(self, key: Key) -> list[str]:
        pods = self.nodes.on_living(self.cache.pods(key))
        ready = (pod["status"].get("podIP") for pod in pods if condition(pod, "Ready") is not None)
        return sorted(ip for ip in ready if ip)

    def snapshot(
        self,
        pipeline: InferencePipeline,
        serving: ServingState,
        steps: dict[str, LoadedStep],
        nodes: tuple[NodeView, ...] | None,
        refused: tuple[str, str] = ("", ""),
        *,
        call: CallStatus | None = None,
    ) -> PipelineSnapshot:
        """Return all that a decision may use; ``nodes`` is None where the placement stands.

        ``refused`` is the ensemble that Triton refused moments ago, and its words.
        """
        runtime = self.cache.runtime(pipeline.spec.runtime_ref.name)
        return PipelineSnapshot(
            pipeline=pipeline,
            runtime=None if runtime is None else self.cache.parse(InferenceRuntime, runtime),
            models=self._models(pipeline),
            nodes=nodes or (),
            serving=serving,
            steps=steps,
            call=call,
            refused_ensemble=refused[0],
            ensemble_refusal=refused[1],
            placement_is_valid=nodes is None,
        )

    def _state(self, key: Key, model: str, said: Answers) -> ServingState:
        deployment, pods = self.cache.deployment(key), self.cache.pods(key)
        shown = {name: _with_instances(answer) for name, answer in said.items()}
        return serving_state(deployment, pods, shown, slot(model))

    async def _loaded(
        self, key: Key, step: str, state: ServingState, control_key: str
    ) -> LoadedStep:
        return LoadedStep(
            ready=state.model_ready,
            message=state.model_message,
            shape_tensors=state.shape_tensors,
            configs=await self._configurations(key, step, state, control_key),
            pods=state.pods,
            source=state.source,
        )

    async def _configurations(
        self, key: Key, step: str, state: ServingState, control_key: str
    ) -> dict[str, dict[str, Any]]:
        """Return a step's configurations: of pods that are made for the same, one is asked once."""
        pods = {pod.config_hash: pod for pod in state.pods if pod.batching is not None}
        known = self.completed.of(key, step, [pod.config_hash for pod in state.pods])
        for made_for in pods.keys() - known.keys():
            server = self.servers.server(key, pods[made_for].ip, control_key, step)
            try:
                known[made_for] = await server.configuration()
            except TritonUnavailable:
                continue  # it answered a moment ago, and is asked again soon
        return dict(known)

    def _models(self, pipeline: InferencePipeline) -> dict[str, InferenceModel]:
        """Return the models that steps take their files from, as far as they can be read."""
        referred = {step.model_ref.name for step in pipeline.spec.steps if step.model_ref}
        found = {}
        for name in referred:
            manifest = self.cache.subject(model_key(pipeline.key.namespace, name))
            if manifest is None:
                continue
            try:
                found[name] = InferenceModel.model_validate(manifest)
            except ValidationError:
                continue  # its own status says so
        return found


def _named(names: tuple[str, ...], answers: Sequence[Answers]) -> list[tuple[str, Answers]]:
    return list(zip(names, answers, strict=True))


def _with_instances(answer: ServerModel) -> ServerModel:
    """Return the word on a model; one without a batcher has instances and a bound of 1."""
    if answer.batching is not None or not answer.ready or answer.instances is None:
        return answer
    return replace(answer, batching=Batching(max_batch_size=1, instances=answer.instances))
