"""``InferenceModel``: a model, its objectives, and where and how it is served."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from ferryman.api import resources, rules
from ferryman.api.access import AccessSpec
from ferryman.api.base import ApiType, Metadata
from ferryman.api.batching import BatchingSpec
from ferryman.api.crd import Resource, unique
from ferryman.api.crd import rules as carry
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.model_source import ModelSource
from ferryman.api.objectives import Objectives
from ferryman.api.pods.parallelism import Parallelism
from ferryman.api.pods.pod_settings import ModelPodSettings
from ferryman.api.pods.scheduling import NodeRequirement, NodeSelector, Tolerations
from ferryman.api.resources import Key
from ferryman.api.scalars import Name, ProcessorClass, Quantities
from ferryman.api.scaling import ScalingSpec


class RuntimeRef(ApiType):
    """The InferenceRuntime that serves the model."""

    name: Name
    """The InferenceRuntime's name."""


class WorkloadWeights(ApiType):
    """The weights of the workload's three terms."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.WEIGHTS))

    benchmark: Annotated[int, Field(ge=0, le=100)] = 1
    """Seconds per image in the reference benchmark, relative to the slowest candidate."""
    memory: Annotated[int, Field(ge=0, le=100)] = 1
    """Memory utilisation of the processor."""
    utilisation: Annotated[int, Field(ge=0, le=100)] = 1
    """Utilisation of the processor."""


class RebalanceSpec(ApiType):
    """Whether a model that serves may be moved to a better node type."""

    mode: Literal["Never", "Auto"] = "Never"
    """Never: it stays where it is. Auto: all models are placed anew together now and then, and
    one that gains enough is moved; its old pods serve until the new ones are ready."""
    min_improvement_percent: Annotated[int, Field(ge=1, le=100)] = 20
    """A move must save so much of what the model costs where it is."""


Policy = Literal["LeastWorkload", "BestFit", "Cheapest"]


class PlacementSpec(ApiType):
    """How the node type is chosen."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.PLACEMENT, *rules.SPREAD))

    policy: Policy = "LeastWorkload"
    """LeastWorkload: the node type with the least weighted workload. BestFit: of those that meet
    the objectives, the one of which the model takes the least share. Cheapest: likewise, by the
    price of that share."""
    rebalance: RebalanceSpec = RebalanceSpec()
    """Only BestFit and Cheapest rebalance."""
    processors: Annotated[
        tuple[ProcessorClass, ...], Field(max_length=16, json_schema_extra=unique())
    ] = ()
    """Allowed processor classes; empty allows every class that the runtime serves."""
    weights: WorkloadWeights = WorkloadWeights()
    spread: Literal["Nodes", "NodeTypes"] = "Nodes"
    """What replicas are kept apart over, where there are several. Nodes: those of the chosen node
    type. NodeTypes: also other node types of the same processor class that could serve the model,
    so that replicas are left when all nodes of one type fail."""
    node_selector: NodeSelector = Field(default_factory=dict)
    """Labels that a node must have."""
    node_affinity: Annotated[tuple[NodeRequirement, ...], Field(max_length=16)] = ()
    """What must hold besides for a node's labels, all of it."""
    tolerations: Tolerations = ()
    """Taints of nodes that may serve the model, besides those that its runtime tolerates."""


class ResourceRequirements(ApiType):
    """Requests and limits of the Triton container, as quantities."""

    requests: Quantities = Field(default_factory=dict)
    """What the scheduler sets aside."""
    limits: Quantities = Field(default_factory=dict)
    """What the container cannot exceed."""


class InferenceModelSpec(ApiType):
    """What the user asks for."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.PARALLEL, *rules.SCALED))

    model: ModelSource
    runtime_ref: RuntimeRef
    objectives: Objectives
    placement: PlacementSpec = PlacementSpec()
    parallelism: Parallelism | None = None
    """Absent: a pod requests one device where the processor class has devices."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Triton pods; the scale subresource (and so an autoscaler) sets this. With scaling it is where
    that begins, and 0 still asks for none."""
    scaling: ScalingSpec | None = None
    """Ferryman chooses the replicas itself: batching first, and more replicas where no batching
    meets the objectives. Absent: it keeps to replicas."""
    progress_deadline_seconds: Annotated[int, Field(ge=30, le=86_400)] = 600
    """After so long without one more ready replica the model counts as stalled. Where a pod
    has waited as long for a node of the chosen type, another type gets its turn."""
    longest_request_seconds: Annotated[int, Field(ge=1, le=3_600)] = 2
    """How long a request may take: a pod that ends goes on answering for as long at least."""
    resources: ResourceRequirements | None = None
    """Instead of the runtime's own resources for the chosen processor class."""
    pod: ModelPodSettings = Field(default_factory=ModelPodSettings)
    """Besides what the runtime says of pods: entries are added, and of the same name the model's
    count."""
    batching: BatchingSpec = BatchingSpec()
    access: AccessSpec = AccessSpec()
    """Who may send requests, besides the pods of the model's namespace and those that the
    installation admits to all models."""

    @property
    def devices(self) -> int | None:
        """The devices that a pod requests, where that is stated."""
        return None if self.parallelism is None else self.parallelism.devices


class InferenceModel(ApiType):
    """A model served by Triton on the best node type, tuned until its objectives are met."""

    resource: ClassVar[Resource] = resources.INFERENCE_MODEL

    metadata: Metadata
    spec: InferenceModelSpec
    status: InferenceModelStatus = InferenceModelStatus()

    @property
    def key(self) -> Key:
        """Its kind, namespace and name."""
        return resources.model_key(self.metadata.namespace or "", self.metadata.name)

    @property
    def triton_name(self) -> str:
        """The model's name inside Triton."""
        return self.metadata.name

    @property
    def replicas(self) -> int:
        """Triton pods that there are to be: as stated, or as scaling chose, within its bounds."""
        stated, scaling = self.spec.replicas, self.spec.scaling
        if scaling is None or stated == 0:
            return stated
        chosen = self.status.scaling
        number = stated if chosen is None else chosen.replicas
        return max(scaling.min_replicas, min(number, scaling.max_replicas))

    def source_for(self, processor: str) -> ModelSource:
        """Return the model's source with the variant of a processor class laid over it."""
        return self.spec.model.for_processor(processor)
