"""``InferenceRuntime``: how Triton runs on each processor class; owned by the cluster's admin."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from ferryman.api import resources, rules
from ferryman.api.base import ApiType, Metadata
from ferryman.api.crd import Resource, keyed_by, matches
from ferryman.api.crd import rules as carry
from ferryman.api.inference_model import ResourceRequirements
from ferryman.api.model_source import FormatName, ModelSource
from ferryman.api.pods.pod_settings import Environment, PodSettings
from ferryman.api.pods.scheduling import Tolerations
from ferryman.api.scalars import ProcessorClass

Image = Annotated[
    str, Field(min_length=1, max_length=512, json_schema_extra=carry(rules.IMAGE_RULE))
]
Argument = Annotated[
    str, Field(min_length=1, max_length=1024, json_schema_extra=carry(*rules.ARGUMENT))
]


FilePath = Annotated[
    str,
    Field(
        max_length=512,
        **matches(
            r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$",
            "must be the absolute path of a file, of letters, digits and ._- only",
        ),
    ),
]


class RuntimeLiveCap(ApiType):
    """The library through which a serving pod's batch size bound changes without a reload."""

    library: FilePath
    """The library's path in the runtime's image, or in ``image``."""
    image: Image | None = None
    """The image to copy it from, where the runtime's own lacks it; it must have ``cp``."""


class RuntimeDrain(ApiType):
    """How clients that keep their connections leave a serving pod before it ends.

    Each part is stated where it was tested with the image; what is left out is said in the
    status of the models.
    """

    library: FilePath | None = None
    """The drain library, for HTTP: its path in the runtime's image, or in ``image``."""
    image: Image | None = None
    """The image to copy it from, where the runtime's own lacks it; it must have ``cp``."""
    grpc_connection_age_seconds: Annotated[int, Field(ge=1, le=3_600)] | None = None
    """For gRPC: connections are renewed when they are so old, and so leave a pod that ends. The
    image's tritonserver must know ``--grpc-max-connection-age``. A pod's end takes a tenth
    longer than this."""


class RuntimeProcessor(ApiType):
    """Triton for one processor class: its own image, parameters and environment."""

    processor_class: Annotated[ProcessorClass, Field(alias="class")]
    """The processor class, for example cpu, gpu or npu."""
    image: Image
    """The Triton image, best pinned by digest."""
    backends: Annotated[
        dict[FormatName, Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=8)
    ]
    """Triton's backend for each model format that this class serves."""
    instance_kind: Literal["KIND_AUTO", "KIND_CPU", "KIND_GPU", "KIND_MODEL"] = "KIND_AUTO"
    """Triton's instance group kind."""
    resource_name: (
        Annotated[
            str,
            Field(min_length=1, max_length=253, json_schema_extra=carry(*rules.EXTENDED_RESOURCE)),
        ]
        | None
    ) = None
    """The extended resource of one device, for example ``nvidia.com/gpu``; absent for CPUs."""
    resources: ResourceRequirements = ResourceRequirements()
    """Requests and limits of the Triton container, unless the model states its own."""
    env: Environment = ()
    """Environment of the Triton container."""
    args: Annotated[tuple[Argument, ...], Field(max_length=64)] = ()
    """Further arguments of tritonserver."""
    tolerations: Tolerations = ()
    """Taints of the nodes that have this class, for serving pods and for benchmarks."""
    allow_code: bool | None = None
    """Whether models may be programs, or bring libraries and scripts of their own, which then run
    in the pod. False refuses them: by the configuration, and by the files. Absent: true where a
    backend's models are code in any case (python, pytorch and others), else false."""
    live_cap: RuntimeLiveCap | None = None
    """Absent: every change of the batch size bound is a reload."""
    drain: RuntimeDrain | None = None
    """Absent: a pod that ends may fail requests of clients that keep their connections."""


class ReferenceBenchmark(ApiType):
    """The reference model (ResNet50) that measures every node type under this runtime."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.REFERENCE_MODEL))

    model: ModelSource
    """The reference model's files."""
    max_batch_size: Annotated[int, Field(ge=1, le=1024)] = 32
    """The largest batch size that is measured; the sizes are powers of two up to it."""
    time_limit_seconds: Annotated[int, Field(ge=10, le=3_600)] = 300
    """The measurement is given up after this."""


class InferenceRuntimeSpec(ApiType):
    """The processor classes that the runtime serves."""

    processors: Annotated[
        tuple[RuntimeProcessor, ...],
        Field(min_length=1, max_length=16, json_schema_extra=keyed_by("class")),
    ]
    """Triton per processor class; one entry each."""
    benchmark: ReferenceBenchmark | None = None
    """Absent: node types are not measured under this runtime and are no candidates for it."""
    pod: PodSettings = Field(default_factory=PodSettings)
    """For the pods of every model that the runtime serves. Benchmarks take labels, annotations and
    security context of it."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the node pulls Triton's image and model images."""


class InferenceRuntime(ApiType):
    """Triton's image, backends, arguments and resources per processor class."""

    resource: ClassVar[Resource] = resources.INFERENCE_RUNTIME

    metadata: Metadata
    spec: InferenceRuntimeSpec

    @property
    def name(self) -> str:
        """The runtime's name."""
        return self.metadata.name

    def processor(self, processor_class: str) -> RuntimeProcessor | None:
        """Return the entry of a processor class, or None."""
        return next((p for p in self.spec.processors if p.processor_class == processor_class), None)
