"""Where a model's files are, and what they are: per processor class if need be."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ferryman.api import rules
from ferryman.api.base import ApiType
from ferryman.api.crd import MESSAGE, keyed_by
from ferryman.api.crd import rules as carry
from ferryman.api.model_fetch import FetchSpec
from ferryman.api.scalars import ProcessorClass

StorageUri = Annotated[
    str, Field(min_length=7, max_length=1024, json_schema_extra=carry(*rules.STORAGE_URI))
]


TritonConfig = Annotated[
    dict[str, Any],
    Field(
        max_length=64,
        json_schema_extra={
            MESSAGE: "ModelConfig",
            # Said here, because CEL and the reference see it.
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


FormatName = Literal["onnx", "tensorrt", "pytorch", "tensorflow", "openvino", "python", "vllm"]


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
    """Other weights, as ``storageUri`` of the model states its own."""
    fetch: FetchSpec | None = None
    """Likewise; absent: as the model's, without its ``sha256`` and ``cache`` where the weights are
    others."""
    model_format: ModelFormat | None = None
    """Their format, where it differs."""
    config: TritonConfig | None = None
    """Overlay on the generated Triton ModelConfig, instead of the model's own overlay."""


class ModelSource(ApiType):
    """Where the model's files are and what they are."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.SOURCE))

    storage_uri: StorageUri
    """``oci://IMAGE`` (mounted as an image volume) or ``pvc://CLAIM/PATH``; or what each pod
    fetches before it serves: ``s3://BUCKET/PREFIX``, ``gs://BUCKET/PREFIX``, ``hf://ORG/REPO@REVISION/PATH``
    or ``https://HOST/FILE``, of which archives (tar, zip) are unpacked."""
    fetch: FetchSpec | None = None
    """How files are fetched; absent: without credentials, within the default bounds."""
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
        storage_uri = variant.storage_uri or self.storage_uri
        return ModelSource(
            storage_uri=storage_uri,
            fetch=variant.fetch or self.fetch_for(storage_uri),
            model_format=variant.model_format or self.model_format,
            config=self.config if variant.config is None else variant.config,
        )

    def fetch_for(self, storage_uri: str) -> FetchSpec | None:
        """Return how other weights of the model are fetched where nothing is said of it."""
        if self.fetch is None or storage_uri == self.storage_uri:
            return self.fetch
        return self.fetch.with_(sha256=None, cache=None)
