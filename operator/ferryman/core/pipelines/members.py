"""The models that a pipeline's server holds: its steps, and the ensemble that clients ask."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ferryman.api.batching import Batching, BatchingLimits, BatchingSpec
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.model_source import ModelSource, TritonConfig
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.step import PipelineStep
from ferryman.api.pods.parallelism import Parallelism
from ferryman.core.balancing.state import Assignment
from ferryman.core.compression.variants import VariantChoice
from ferryman.core.errors import RejectedError
from ferryman.core.pipelines.graph import Graph
from ferryman.core.pipelines.snapshot import LoadedStep
from ferryman.core.pipelines.steps.variants import chosen_for
from ferryman.core.pipelines.steps.waits import waits_us
from ferryman.core.render.slots import ServedModel, Slot, slot
from ferryman.core.snapshot import PodView, ServingState
from ferryman.core.triton import config as triton_config
from ferryman.core.triton import live_cap, parallel
from ferryman.core.triton.config import LiveCap
from ferryman.core.triton.ensemble import with_timeout
from ferryman.core.triton.overlay import WHERE, normalise
from ferryman.core.triton.step_proxy import StepServer, proxy_config


@dataclass(frozen=True)
class Member:
    """One step as a model of the server."""

    step: PipelineStep
    source: ModelSource
    entry: RuntimeProcessor
    limits: BatchingLimits
    cap: LiveCap | None
    """None: its bound is Triton's own."""
    offered: live_cap.Offer
    timeout_us: int = 0
    """A request that has waited so long for it is rejected; 0: none is."""
    wait_us: int = 0
    """Likewise, once it is known what its part of the latency budget is; 0: that is unknown."""
    forked: bool = False
    """Whether steps of the pipeline run at the same time for one request."""
    variant: VariantChoice | None = None
    """Which weights ``source`` has, and why; None: the step has no variants."""
    parallelism: Parallelism | None = None
    """Over how many devices an instance is spread."""
    remote: StepServer | None = None
    """Where its servers are, and a proxy of it here; None: it is here itself."""
    program: str = ""
    """The proxy's."""

    @property
    def slot(self) -> Slot:
        """Where the server keeps what is the step's own."""
        return slot(self.step.name)

    @property
    def largest(self) -> int:
        """Triton's own bound."""
        return self.limits.max_batch_size.max

    def config(self, batching: Batching) -> TritonConfig:
        """Return its configuration: a live cap starts at the bound, else that is the largest.

        A limit of the wait that ``batching`` states counts where there is one at all. Raises
        RejectedError.
        """
        limit_us = min(self.timeout_us, batching.default_timeout_microseconds or self.timeout_us)
        batching = batching.with_(default_timeout_microseconds=0)
        if self.remote is not None:
            proxy = proxy_config(self.step.name, self.source.config, self.remote)
            return with_timeout(proxy, limit_us, forked=self.forked)
        if self.cap is None:
            batching = batching.with_(max_batch_size=self.largest)
        with _naming(self.step):
            config = triton_config.model_config(
                self.step.name,
                self.entry,
                self.source,
                batching,
                self.cap,
                parallelism=self.parallelism,
            )
        return with_timeout(config, limit_us, forked=self.forked)

    def config_for(self, pod: PodView, instances: int, wait_us: int = 0) -> TritonConfig:
        """Return what a pod is to load for so many instances, and for nothing else to change.

        What it was loaded with stays: another start of the cap would be a reload, and so is
        another limit of the wait (0: as it is).
        """
        shown_us = pod.batching.default_timeout_microseconds if pod.batching else 0
        loaded = pod.live_cap.loaded.max_batch_size if pod.live_cap else self.largest
        own = self if pod.live_cap else replace(self, cap=None)
        return own.config(
            Batching(
                max_batch_size=loaded,
                instances=instances,
                default_timeout_microseconds=wait_us or shown_us,
            )
        )

    def served(self, batching: Batching) -> ServedModel:
        """Return it as the server's pods are made with it."""
        fixed = replace(self, cap=None)
        if self.remote is not None:
            config = self.config(batching)
            made_for = {**config, "program": self.program}
            return ServedModel(
                self.step.name, None, self.slot, None, config, made_for, program=self.program
            )
        return ServedModel(
            name=self.step.name,
            storage_uri=self.source.storage_uri,
            slot=self.slot,
            fetch=self.source.fetch,
            live_cap=self.offered.source,
            config=self.config(batching.with_(default_timeout_microseconds=self.wait_us)),
            # Triton's own bound is never changed live: pods roll with it.
            untuned_config=fixed.config(Batching(max_batch_size=self.largest)),
            tensor_parallel=parallel.tensor_parallel(self.parallelism, self.entry, self.source),
        )


def members_of(
    pipeline: InferencePipeline,
    sources: Mapping[str, ModelSource],
    loaded: Mapping[str, LoadedStep],
    entry: RuntimeProcessor,
    *,
    remote: Mapping[str, StepServer] | None = None,
    program: str = "",
) -> dict[str, Member]:
    """Return the steps as models of a server on one processor class. Raises RejectedError.

    Those that are remote are proxies, which run ``program``.
    """
    found = {}
    for step in pipeline.spec.steps:
        source = sources[step.name].for_processor(entry.processor_class)
        shown = loaded.get(step.name) or LoadedStep()
        with _naming(step):
            found[step.name] = _member(pipeline, step, source, shown, entry)
    for name, server in (remote or {}).items():
        own = found[name]
        found[name] = replace(own, remote=server, program=program, cap=None)
    return found


@contextmanager
def _naming(step: PipelineStep) -> Iterator[None]:
    """Have what is wrong with a step's own model name the step. Raises RejectedError."""
    try:
        yield
    except RejectedError as error:
        said = str(error)
        where, of = f"{WHERE}: ", f"step {step.name}: "
        words = f"model.config of {of}{said.removeprefix(where)}"
        raise RejectedError(error.reason, words if where in said else f"{of}{said}") from error


def _member(
    pipeline: InferencePipeline,
    step: PipelineStep,
    source: ModelSource,
    loaded: LoadedStep,
    entry: RuntimeProcessor,
) -> Member:
    limits = pipeline.limits_of(step)
    source, variant = chosen_for(pipeline, step, source, entry)
    space = BatchingLimits(max_batch_size=limits.max_batch_size, instances=limits.instances)
    offered = live_cap.offer(entry, source.config, slot(step.name).cap_file)
    shown = ServingState(shape_tensors=loaded.shape_tensors)
    start = Batching(max_batch_size=limits.max_batch_size.max)
    found = live_cap.in_config(offered, BatchingSpec(limits=space), shown, start)
    cap = found if isinstance(found, LiveCap) else None
    return Member(
        step,
        source,
        entry,
        space,
        cap,
        offered,
        timeout_us=_timeout_us(pipeline, source.config),
        wait_us=waits_us(pipeline).get(step.name, 0),
        parallelism=step.parallelism,
        forked=Graph.of(pipeline.spec).forked,
        variant=variant,
    )


def _timeout_us(pipeline: InferencePipeline, overlay: TritonConfig) -> int:
    """Return how long a request may wait for a step: no longer than for everything.

    What has waited so long cannot be answered in time. A queue policy that the overlay states
    itself stays.
    """
    latency = pipeline.spec.objectives.latency
    stated = "default_queue_policy" in normalise(overlay).get("dynamic_batching", {})
    if latency is None or stated or pipeline.spec.balancing.on_overload == "Queue":
        return 0
    return latency.target_milliseconds * 1000


def served_models(
    pipeline: InferencePipeline,
    members: Mapping[str, Member],
    applied: Assignment,
    ensemble: TritonConfig | None,
) -> tuple[ServedModel, ...]:
    """Return the server's models, the ensemble as the last: it is what clients ask.

    Pods do not roll when it becomes known: it follows from what they are made for.
    """
    wiring = pipeline.spec.as_dict()
    made_for = {key: wiring[key] for key in ("inputs", "outputs")} | {
        "steps": [{"name": each["name"], "inputMap": each["inputMap"]} for each in wiring["steps"]]
    }
    whole = ServedModel(
        name=pipeline.triton_name,
        storage_uri=None,
        slot=slot(pipeline.triton_name),
        config=ensemble,
        untuned_config=made_for,
    )
    steps = sorted(members)  # their order in the specification is of no consequence
    return (*(members[name].served(applied[name]) for name in steps), whole)
