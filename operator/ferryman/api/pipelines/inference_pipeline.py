"""``InferencePipeline``: models that read each other's outputs, served and balanced as one."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from ferryman.api import resources, rules
from ferryman.api.access import AccessSpec
from ferryman.api.base import ApiType, Metadata
from ferryman.api.batching import InstanceLimits, WindowSettings
from ferryman.api.crd import Resource, keyed_by
from ferryman.api.crd import rules as carry
from ferryman.api.inference_model import PlacementSpec, ResourceRequirements, RuntimeRef
from ferryman.api.objectives import Objectives
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.api.pipelines.step import (
    MAX_STEPS,
    MAX_TENSORS,
    Accuracy,
    Datatype,
    PipelineStep,
    Shape,
    StepLimits,
    StepOutput,
    TensorName,
)
from ferryman.api.pods.pod_settings import ModelPodSettings
from ferryman.api.resources import Key


class PipelineInput(ApiType):
    """A tensor that clients send."""

    name: TensorName
    """The tensor's name, for clients and in ``inputMap``."""
    datatype: Datatype
    """The data type of its elements."""
    shape: Shape
    """The whole shape, with the batch dimension where there is one; -1: any size."""


class PipelineOutput(ApiType):
    """A tensor that clients receive."""

    name: TensorName
    """The tensor's name, for clients."""
    source: Annotated[StepOutput, Field(alias="from")]
    """Which step makes it: ``STEP.TENSOR``."""
    # Absent, but never null: an API server would want null among the words.
    datatype: Datatype | SkipJsonSchema[None] = None
    """The data type of its elements, where the step's ``config`` does not state its outputs."""
    shape: Shape | None = None
    """Likewise the whole shape."""


ExecutionMode = Literal["Ensemble", "Distributed"]


class ExecutionSpec(ApiType):
    """How the steps are put on servers."""

    mode: Literal["Auto", ExecutionMode] = "Auto"
    """Ensemble: all steps in one Triton server. Distributed: steps with ``modelRef`` are answered
    by the servers of their InferenceModels. Auto: one server where one can hold all steps, unless
    requests are clearly faster with such steps left to theirs; else the fewest are."""


class BalancingSpec(ApiType):
    """How workers and batch sizes are spread over the steps."""

    mode: Literal["Auto", "Observe", "Fixed"] = "Auto"
    """Auto balances; Observe reports in status what it would apply; Fixed applies each step's
    ``initial``."""
    on_overload: Literal["Queue", "Reject"] = "Reject"
    """What becomes of requests that cannot be answered in time: a step rejects what waited for it
    as long as the latency target allows the whole, or they queue."""
    limits: StepLimits = StepLimits()
    """For every step that states none of its own."""
    window: WindowSettings = WindowSettings()


class InferencePipelineSpec(ApiType):
    """What the user asks for."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.PIPELINE))

    inputs: Annotated[
        tuple[PipelineInput, ...],
        Field(min_length=1, max_length=MAX_TENSORS, json_schema_extra=keyed_by("name")),
    ]
    """What clients send; each is read by a step."""
    steps: Annotated[
        tuple[PipelineStep, ...],
        Field(min_length=1, max_length=MAX_STEPS, json_schema_extra=keyed_by("name")),
    ]
    """The models, in any order."""
    outputs: Annotated[
        tuple[PipelineOutput, ...],
        Field(min_length=1, max_length=MAX_TENSORS, json_schema_extra=keyed_by("name")),
    ]
    """What clients receive."""
    runtime_ref: RuntimeRef
    objectives: Objectives
    """Of a whole request: from the first step's queue to the last step's answer."""
    accuracy_floor: Accuracy | None = None
    """The least accuracy of a step's variant; absent: variants are not taken."""
    execution: ExecutionSpec = ExecutionSpec()
    balancing: BalancingSpec = BalancingSpec()
    placement: PlacementSpec = PlacementSpec()
    """Of the server that clients call, and of the others where they state nothing themselves."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Pods of the server that clients call; the scale subresource (and so an autoscaler) sets
    this."""
    progress_deadline_seconds: Annotated[int, Field(ge=30, le=86_400)] = 600
    """After so long without one more ready replica the pipeline counts as stalled."""
    longest_request_seconds: Annotated[int, Field(ge=1, le=3_600)] = 2
    """How long a request may take: a pod that ends goes on answering for as long at least."""
    resources: ResourceRequirements | None = None
    """Of a server, instead of the runtime's own for the chosen processor class."""
    access: AccessSpec = AccessSpec()
    """Who may connect to the servers."""
    pod: ModelPodSettings = Field(default_factory=ModelPodSettings)
    """Besides what the runtime says of pods: entries are added, and of the same name the
    pipeline's count."""


class InferencePipeline(ApiType):
    """Models that read each other's outputs, served as one and balanced until objectives are met.

    The slowest step gets more workers, and steps that do not depend on each other run at the same
    time.
    """

    resource: ClassVar[Resource] = resources.INFERENCE_PIPELINE

    metadata: Metadata
    spec: InferencePipelineSpec
    status: InferencePipelineStatus = InferencePipelineStatus()

    @property
    def key(self) -> Key:
        """Its kind, namespace and name."""
        return resources.pipeline_key(self.metadata.namespace or "", self.metadata.name)

    @property
    def triton_name(self) -> str:
        """The name inside Triton of what clients call."""
        return self.metadata.name

    @property
    def replicas(self) -> int:
        """Pods that there are to be."""
        return self.spec.replicas

    def step(self, name: str) -> PipelineStep | None:
        """Return the step of that name, or None."""
        return next((step for step in self.spec.steps if step.name == name), None)

    def limits_of(self, step: PipelineStep) -> StepLimits:
        """Return a step's own limits, or those for every step.

        A step that takes several devices has one instance in each pod.
        """
        limits = step.limits or self.spec.balancing.limits
        if step.parallelism is None or step.parallelism.devices == 1:
            return limits
        return limits.with_(instances=InstanceLimits(min=1, max=1))
