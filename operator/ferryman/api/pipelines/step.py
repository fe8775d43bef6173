"""A step of a pipeline: which model it is, what it reads, and what is left to the balancer."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from ferryman.api import rules
from ferryman.api.base import ApiType
from ferryman.api.batching import InstanceLimits, MaxBatchSizeLimits
from ferryman.api.crd import keyed_by, matches, unique
from ferryman.api.crd import rules as carry
from ferryman.api.model_fetch import FetchSpec
from ferryman.api.model_source import ModelFormat, ModelSource, StorageUri
from ferryman.api.pods.parallelism import Parallelism
from ferryman.api.scalars import Name, ProcessorClass

#: The most steps, and inputs and outputs, of a pipeline, and the most inputs of a step.
MAX_STEPS: Final = 32
MAX_TENSORS: Final = 32
#: The longest shape; ONNX and Triton set no bound, people stay far below.
MAX_DIMENSIONS: Final = 16

#: The data types of the KServe v2 protocol.
Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BF16", "BYTES",
]  # fmt: skip

StepName = Annotated[
    str,
    Field(
        max_length=40,
        **matches(
            r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$",
            "must be a step's name: at most 40 lower-case letters, digits and '-', beginning with "
            "a letter and ending with a letter or digit",
        ),
    ),
]
#: Of a pipeline's own input or output. Without a dot, which tells a step from its tensor.
TensorName = Annotated[
    str,
    Field(
        max_length=63,
        **matches(
            r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$",
            "must be a tensor's name: at most 63 letters, digits, '_' and '-', beginning with a "
            "letter or '_'",
        ),
    ),
]
_STEP: Final = "[a-z]([-a-z0-9]{0,38}[a-z0-9])?"
#: What models call their tensors: anything but spaces, dots and colons included.
_MODELS_TENSOR: Final = "[^ \\t\\n]{1,128}"
Wire = Annotated[
    str,
    Field(
        max_length=169,
        **matches(
            rf"^([A-Za-z_][A-Za-z0-9_-]{{0,62}}|{_STEP}[.]{_MODELS_TENSOR})$",
            "must be STEP.TENSOR, the output of another step, or the bare name of an input of the "
            "pipeline",
        ),
    ),
]
StepOutput = Annotated[
    str,
    Field(
        max_length=169,
        **matches(
            rf"^{_STEP}[.]{_MODELS_TENSOR}$", "must be STEP.TENSOR, the output of one of the steps"
        ),
    ),
]
Accuracy = Annotated[
    str,
    Field(
        max_length=8,
        **matches(
            r"^(0([.][0-9]{1,6})?|1([.]0{1,6})?)$",
            "must be a decimal from 0 to 1 in quotes, with at most six digits, for example '0.97'",
        ),
    ),
]
Speedup = Annotated[
    str,
    Field(
        max_length=8,
        **matches(
            r"^(0|[1-9][0-9]{0,3})([.][0-9]{1,3})?$",
            "must be a decimal in quotes, with at most three digits after the point, for example "
            "'2.1'",
        ),
    ),
]
Shape = Annotated[
    tuple[Annotated[int, Field(ge=-1, le=2**31 - 1)], ...],
    Field(min_length=1, max_length=MAX_DIMENSIONS, json_schema_extra=carry(*rules.SHAPE)),
]


class ModelRef(ApiType):
    """An InferenceModel of the same namespace."""

    name: Name
    """The InferenceModel's name."""


class StepPlacement(ApiType):
    """Where a step may run."""

    processors: Annotated[
        tuple[ProcessorClass, ...], Field(max_length=16, json_schema_extra=unique())
    ] = ()
    """Allowed processor classes; empty allows those of the pipeline."""


class VariantSpeed(ApiType):
    """How fast a variant was on one processor class."""

    processor: ProcessorClass
    """The processor class on which it was measured."""
    speedup: Speedup
    """How many times as fast as the step's model it was at least."""


class StepVariant(ApiType):
    """Other weights for the same step: smaller or faster, at an accuracy that was measured."""

    name: Name
    """What the status calls it."""
    storage_uri: StorageUri
    """Where its files are, as ``storageUri`` of a model states it."""
    fetch: FetchSpec | None = None
    """How they are fetched; absent: as the step's model's, without its ``sha256``."""
    model_format: ModelFormat | None = None
    """Their format, where it differs from the step's model's."""
    accuracy: Accuracy
    """Its accuracy beside the step's model's, 0 to 1."""
    speeds: Annotated[
        tuple[VariantSpeed, ...], Field(max_length=16, json_schema_extra=keyed_by("processor"))
    ] = ()
    """Where it was measured, as ``ferryman compress`` prints it. On other processor classes its
    speed is unknown, and the step's model serves."""


class StepLimits(ApiType):
    """The space in which balancing may move a step."""

    instances: InstanceLimits = InstanceLimits()
    """Workers of the step in each pod."""
    max_batch_size: MaxBatchSizeLimits = MaxBatchSizeLimits()
    """Rows per batch. The largest is what Triton is told, once and for all; below it a live cap
    moves."""


class StepBalance(ApiType):
    """What balancing sets of a step."""

    instances: Annotated[int, Field(ge=1, le=64)] = 1
    """Workers of the step in each pod."""
    max_batch_size: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """The batch size bound; absent: the largest of the limits."""


class PipelineStep(ApiType):
    """One model of a pipeline: it runs as soon as what it reads is there."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.STEP))

    name: StepName
    """The step's name, which is also its model's name in Triton."""
    model: ModelSource | None = None
    """The model's files, as an InferenceModel states them."""
    model_ref: ModelRef | None = None
    """Instead: an InferenceModel of the namespace, whose files and configuration the step takes.
    It runs them in servers of the pipeline, unless ``execution.mode`` has the InferenceModel's own
    pods asked."""
    input_map: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=128)], Wire],
        Field(min_length=1, max_length=MAX_TENSORS),
    ]
    """For each input of the model where it comes from: ``STEP.TENSOR``, or the name of an input
    of the pipeline."""
    placement: StepPlacement = StepPlacement()
    parallelism: Parallelism | None = None
    """Several devices for the step, of which its server requests as many as the step that needs
    most. Absent: one device, whatever the InferenceModel states that its model is taken from."""
    variants: Annotated[
        tuple[StepVariant, ...], Field(max_length=8, json_schema_extra=keyed_by("name"))
    ] = ()
    """Other weights for the step. The fastest one that was measured and is as accurate as
    ``accuracyFloor`` asks is taken."""
    initial: StepBalance | None = None
    """Where balancing starts; with mode Fixed, what is applied and stays."""
    limits: StepLimits | None = None
    """Instead of ``balancing.limits``, as a whole."""
