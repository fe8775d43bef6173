"""``InferenceModel``: a model, its objectives, and where and how it is served."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from ferryman.api import resources, rules
from ferryman.api.base import ApiType, Message, Metadata, Time
from ferryman.api.conditions import Condition
from ferryman.api.crd import DNS_LABEL, DNS_LABEL_WORDS, Resource, keyed_by, matches, unique
from ferryman.api.crd import rules as carry

Name = Annotated[
    str, Field(max_length=63, **matches(DNS_LABEL, f"must be a name: {DNS_LABEL_WORDS}"))
]
ProcessorClass = Annotated[
    str,
    Field(
        max_length=32,
        **matches(
            r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$",
            "must be a processor class such as cpu, gpu or npu: lower-case letters, digits and '-'",
        ),
    ),
]
StorageUri = Annotated[
    str, Field(min_length=7, max_length=1024, json_schema_extra=carry(*rules.STORAGE_URI))
]
Percentile = Literal[50, 90, 95, 99]
TritonConfig = Annotated[
    dict[str, Any],
    Field(
        max_length=64,
        json_schema_extra={
            # Declared, because CEL sees declared fields only.
            "properties": {
                "name": {
                    "type": "string",
                    "maxLength": 253,
                    "description": "Must not be set: the name is metadata.name.",
                }
            },
            **carry(*rules.CONFIG),
        },
    ),
]
#: A node type, processor or node as status names it.
Label = Annotated[str, Field(max_length=63)]
NodeName = Annotated[str, Field(max_length=253)]
ReasonWord = Annotated[str, Field(max_length=64)]
FormatName = Literal["onnx", "tensorrt", "pytorch", "tensorflow", "openvino", "python"]


class ModelFormat(ApiType):
    """The format of the model's files, which decides Triton's backend."""

    name: FormatName
    """The format: the runtime maps it to a backend."""


class Variant(ApiType):
    """Weights, format and configuration for one processor class, instead of the model's own."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.VARIANT))

    processor: ProcessorClass
    """The processor class that this variant is for."""
    storage_uri: StorageUri | None = None
    """Other weights: ``oci://IMAGE`` or ``pvc://CLAIM/PATH``."""
    model_format: ModelFormat | None = None
    """Their format, where it differs."""
    config: TritonConfig | None = None
    """Overlay on the generated Triton ModelConfig, instead of the model's own overlay."""


class ModelSource(ApiType):
    """Where the model's files are and what they are."""

    storage_uri: StorageUri
    """``oci://IMAGE`` (mounted as an image volume) or ``pvc://CLAIM/PATH``."""
    model_format: ModelFormat
    """The format of the model's files."""
    config: TritonConfig = Field(default_factory=dict)
    """Overlay on the generated Triton ModelConfig, in its JSON form; it must not set ``name``,
    and no string in it may begin with ``file:``."""
    variants: Annotated[
        tuple[Variant, ...], Field(max_length=8, json_schema_extra=keyed_by("processor"))
    ] = ()
    """Weights, format and configuration per processor class."""

    def for_processor(self, processor: str) -> "ModelSource":
        """Return the source with the variant of a processor class laid over it."""
        variant = next((v for v in self.variants if v.processor == processor), None)
        if variant is None:
            return self
        return ModelSource(
            storage_uri=variant.storage_uri or self.storage_uri,
            model_format=variant.model_format or self.model_format,
            config=self.config if variant.config is None else variant.config,
        )


class RuntimeRef(ApiType):
    """The InferenceRuntime that serves the model."""

    name: Name
    """The InferenceRuntime's name."""


class LatencyObjective(ApiType):
    """The percentile of Triton's request duration and its target."""

    percentile: Percentile = 99
    """Which percentile of the request duration is held against the target."""
    target_milliseconds: Annotated[int, Field(ge=1, le=600_000)]
    """The percentile must not exceed this."""


class ThroughputObjective(ApiType):
    """The least number of inferences per second, summed over all replicas."""

    min_per_second: Annotated[int, Field(ge=1, le=10_000_000)]
    """Inferences per second; a request with a batch of n counts n."""


class Objectives(ApiType):
    """What is to be met: latency, throughput, or both; at least one."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.OBJECTIVES))

    latency: LatencyObjective | None = None
    throughput: ThroughputObjective | None = None


class WorkloadWeights(ApiType):
    """The weights of the workload's three terms."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.WEIGHTS))

    benchmark: Annotated[int, Field(ge=0, le=100)] = 1
    """Seconds per image in the reference benchmark, relative to the slowest candidate."""
    memory: Annotated[int, Field(ge=0, le=100)] = 1
    """Memory utilisation of the processor."""
    utilisation: Annotated[int, Field(ge=0, le=100)] = 1
    """Utilisation of the processor."""


class PlacementSpec(ApiType):
    """How the node type is chosen."""

    policy: Literal["LeastWorkload"] = "LeastWorkload"
    """LeastWorkload: the node type with the least weighted workload."""
    processors: Annotated[
        tuple[ProcessorClass, ...], Field(max_length=16, json_schema_extra=unique())
    ] = ()
    """Allowed processor classes; empty allows every class that the runtime serves."""
    weights: WorkloadWeights = WorkloadWeights()


class Batching(ApiType):
    """One configuration of Triton's dynamic batcher."""

    max_batch_size: Annotated[int, Field(ge=1, le=4096)]
    """The batch size bound: Triton never runs a larger batch."""
    max_queue_delay_microseconds: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """How long a request may wait for others to fill the batch."""
    instances: Annotated[int, Field(ge=1, le=64)] = 1
    """Triton instances of the model in each pod."""


class MaxBatchSizeLimits(ApiType):
    """The least and largest batch size bound that the tuner may choose."""

    model_config = ConfigDict(
        json_schema_extra=carry(*rules.ordered("min", "max", "limits.maxBatchSize"))
    )

    min: Annotated[int, Field(ge=1, le=4096)] = 1
    """Never a smaller bound than this."""
    max: Annotated[int, Field(ge=1, le=4096)] = 64
    """Never a larger bound than this: what the memory of the processor allows."""


class MaxQueueDelayLimits(ApiType):
    """The least and largest queue delay that the tuner may choose, in microseconds."""

    model_config = ConfigDict(
        json_schema_extra=carry(*rules.ordered("min", "max", "limits.maxQueueDelayMicroseconds"))
    )

    min: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Never a shorter delay than this."""
    max: Annotated[int, Field(ge=0, le=10_000_000)] = 20_000
    """Never a longer delay than this."""


class InstanceLimits(ApiType):
    """The least and largest number of Triton instances per pod that the tuner may choose."""

    model_config = ConfigDict(
        json_schema_extra=carry(*rules.ordered("min", "max", "limits.instances"))
    )

    min: Annotated[int, Field(ge=1, le=64)] = 1
    """Never fewer instances than this."""
    max: Annotated[int, Field(ge=1, le=64)] = 4
    """Never more instances than this."""


class BatchingLimits(ApiType):
    """The space in which the tuner may move."""

    max_batch_size: MaxBatchSizeLimits = MaxBatchSizeLimits()
    max_queue_delay_microseconds: MaxQueueDelayLimits = MaxQueueDelayLimits()
    instances: InstanceLimits = InstanceLimits()


class TrendSettings(ApiType):
    """The Mann-Kendall trend: how many trajectory values make a decision."""

    samples: Annotated[int, Field(ge=3, le=100)] = 10
    """n: trajectory values before the bound moves; the Z of two values is always 0."""


class WindowSettings(ApiType):
    """When an observation window ends: after so many requests or seconds, not before the least."""

    model_config = ConfigDict(
        json_schema_extra=carry(*rules.ordered("minSeconds", "maxSeconds", "window"))
    )

    max_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """The window ends after so many requests."""
    max_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30
    """The window ends after so many seconds, however few the requests."""
    min_seconds: Annotated[int, Field(ge=1, le=3_600)] = 5
    """The window does not end earlier, however many the requests."""


class Guardrails(ApiType):
    """Bounds on how often a serving model is reloaded."""

    min_seconds_between_reloads: Annotated[int, Field(ge=0, le=86_400)] = 60
    """The least time from one reload to the next."""
    max_reloads_per_hour: Annotated[int, Field(ge=0, le=120)] = 4
    """Reloads in any hour; 0 forbids them."""


class BatchingSpec(ApiType):
    """How batching is tuned."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.BATCHING))

    mode: Literal["Auto", "Recommend", "Fixed"] = "Auto"
    """Auto tunes; Recommend reports in status what it would apply; Fixed applies ``initial``."""
    algorithm: Literal["Trend"] = "Trend"
    """Trend: additive steps, confirmed by a Mann-Kendall trend over the trajectory."""
    initial: Batching | None = None
    """Where tuning starts; with mode Fixed, what is applied and stays."""
    step: Annotated[int, Field(ge=1, le=64)] = 2
    """b_delta: how far one decision moves the batch size bound."""
    trend: TrendSettings = TrendSettings()
    window: WindowSettings = WindowSettings()
    limits: BatchingLimits = BatchingLimits()
    guardrails: Guardrails = Guardrails()


Quantity = Annotated[
    Annotated[str, Field(min_length=1, max_length=32)] | int,
    Field(json_schema_extra=carry(*rules.QUANTITY)),
]
Quantities = Annotated[
    dict[str, Quantity], Field(max_length=16, json_schema_extra=carry(*rules.RESOURCE_NAMES))
]


class ResourceRequirements(ApiType):
    """Requests and limits of the Triton container, as quantities."""

    requests: Quantities = Field(default_factory=dict)
    """What the scheduler sets aside."""
    limits: Quantities = Field(default_factory=dict)
    """What the container cannot exceed."""


class InferenceModelSpec(ApiType):
    """What the user asks for."""

    model: ModelSource
    runtime_ref: RuntimeRef
    objectives: Objectives
    placement: PlacementSpec = PlacementSpec()
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Triton pods; the scale subresource (and so an autoscaler) sets this."""
    resources: ResourceRequirements | None = None
    """Instead of the runtime's own resources for the chosen processor class."""
    batching: BatchingSpec = BatchingSpec()


class CandidateStatus(ApiType):
    """One node type with one processor class: its workload, or why it was refused."""

    node_type: Label
    """The node type."""
    processor: Label
    """The processor class."""
    chosen: bool = False
    """Whether it was chosen."""
    node: NodeName | None = None
    """The least-loaded node of this type that fits: the one the score describes."""
    benchmark: float | None = None
    """Its benchmark term, 0 to 1: seconds per image relative to the slowest candidate."""
    memory: float | None = None
    """Its memory utilisation, 0 to 1; unknown counts as 1."""
    utilisation: float | None = None
    """Its processor utilisation, 0 to 1; unknown counts as 1."""
    workload: float | None = None
    """The weighted sum of the three terms; the least one wins."""
    reason: ReasonWord
    """Why it was chosen or not, in one word."""
    message: Message
    """The same for people."""


class PlacementStatus(ApiType):
    """The chosen node type and all candidates."""

    node_type: Label | None = None
    """The chosen node type; absent while there is none."""
    processor: Label | None = None
    """The processor class that serves the model."""
    product: Annotated[str, Field(max_length=256)] | None = None
    """The processor's product name."""
    preferred_node: NodeName | None = None
    """The least-loaded node of the node type when it was chosen."""
    since: Time | None = None
    """RFC 3339: when this node type was chosen."""
    reason: ReasonWord
    """Why this node type, or why none, in one word."""
    message: Message
    """The same for people."""
    candidates: Annotated[tuple[CandidateStatus, ...], Field(max_length=64)] = ()
    """Every candidate with its workload, or why it was refused."""


ChangeOutcome = Literal["InProgress", "Applied", "Refused", "RolledBack", "Interrupted"]
Actuator = Literal["InPlace", "Reload", "Rollout"]


class BatchingChange(ApiType):
    """One change of the batching configuration: when, what, why, how, and what came of it."""

    time: Time
    """When the change was decided."""
    before: Batching
    """The configuration until then."""
    after: Batching
    """The configuration from then on."""
    actuator: Actuator
    """How it was made, cheapest first: InPlace, Reload, Rollout."""
    reason: ReasonWord
    """Why, in one word."""
    message: Message
    """Why, for people."""
    outcome: ChangeOutcome
    """What came of it."""
    generation: Annotated[int, Field(ge=0)] = 0
    """``metadata.generation`` of the specification that the change was decided for."""


class BatchingStatus(ApiType):
    """What is applied and how it came about."""

    applied: Batching | None = None
    """The configuration that the pods are to have in force."""
    last_good: Batching | None = None
    """The last configuration that served a whole window without failures."""
    recommended: Batching | None = None
    """With mode Recommend: what Auto would apply."""
    reason: ReasonWord = ""
    """The latest decision in one word."""
    message: Message = ""
    """The latest decision for people."""
    changes: Annotated[tuple[BatchingChange, ...], Field(max_length=10)] = ()
    """The latest changes, newest first."""
    recent_reloads: Annotated[tuple[Time, ...], Field(max_length=128)] = ()
    """RFC 3339 times of the last hour's reloads: what the budget counts."""


class ObservedStatus(ApiType):
    """The last window with traffic, quantised so that noise causes no writes."""

    latency_milliseconds: float | None = None
    """The objective's percentile (99 without one) of Triton's request duration."""
    latency_estimated: bool = False
    """True while Triton's own percentile still describes an earlier configuration."""
    mean_latency_milliseconds: float | None = None
    """The mean of Triton's request duration."""
    inferences_per_second: float = 0.0
    """Summed over all replicas."""
    mean_batch_size: float | None = None
    """Inferences per execution."""
    failed_requests: int = 0
    """Failures that Triton reported in the window."""


class InferenceModelStatus(ApiType):
    """What the operator reports."""

    observed_generation: int = 0
    """The generation of the spec that this status is about."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=keyed_by("type"))
    ] = ()
    """Ready, Placed, ModelLoaded, ObjectivesMet, Reconciling and Stalled."""
    replicas: int = 0
    """Triton pods that exist."""
    ready_replicas: int = 0
    """Triton pods that are ready."""
    selector: Annotated[str, Field(max_length=512)] = ""
    """The pods of the model, as a label selector: what an autoscaler asks for."""
    url: Annotated[str, Field(max_length=512)] | None = None
    """Where clients send requests (KServe v2 protocol over HTTP)."""
    target: Annotated[str, Field(max_length=128)] = ""
    """The objectives in one short phrase, for the TARGET column."""
    placement: PlacementStatus | None = None
    batching: BatchingStatus = BatchingStatus()
    observed: ObservedStatus | None = None


class InferenceModel(ApiType):
    """A model served by Triton on the best node type, tuned until its objectives are met."""

    resource: ClassVar[Resource] = resources.INFERENCE_MODEL

    metadata: Metadata
    spec: InferenceModelSpec
    status: InferenceModelStatus = InferenceModelStatus()

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.metadata.namespace or "", self.metadata.name

    @property
    def triton_name(self) -> str:
        """The model's name inside Triton."""
        return self.metadata.name

    def source_for(self, processor: str) -> ModelSource:
        """Return the model's source with the variant of a processor class laid over it."""
        return self.spec.model.for_processor(processor)
