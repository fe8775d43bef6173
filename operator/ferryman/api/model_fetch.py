"""How a model's files are fetched from where no volume reaches: bounds, credentials, a pin."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from ferryman.api import rules
from ferryman.api.base import ApiType
from ferryman.api.crd import matches
from ferryman.api.crd import rules as carry
from ferryman.api.pods.pod_settings import ObjectName
from ferryman.api.scalars import Quantity

#: Secrets of other names are not mounted: who may make a model need not be allowed to read Secrets.
SECRET_PREFIX: Final = "model-source-"  # noqa: S105  a beginning of names

SourceSecretName = Annotated[
    str,
    Field(
        max_length=253,
        **matches(
            rf"^{SECRET_PREFIX}[a-z0-9]([-a-z0-9.]{{0,200}}[a-z0-9])?$",
            f"must begin with {SECRET_PREFIX}, by which a Secret's owner gives it to this use: "
            f"name the Secret so, for example {SECRET_PREFIX}minio",
        ),
    ),
]
Endpoint = Annotated[
    str,
    Field(
        max_length=256,
        **matches(
            rf"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?{rules.PORT}$",
            "must be a server's address without a path, for example https://minio.example:9000",
        ),
    ),
]
Sha256 = Annotated[
    str,
    Field(
        max_length=64,
        **matches(r"^[0-9a-f]{64}$", "must be a SHA-256: 64 hexadecimal digits in lower case"),
    ),
]


class FetchCache(ApiType):
    """A volume claim that keeps what was fetched, for the next pod."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.FETCH_CACHE))

    claim_name: ObjectName
    """Of the model's namespace, ReadWriteMany or on a single node. It must exist: Kubernetes starts
    no pod without it. Full, read-only or broken it costs no more than the time to fetch."""
    size_limit: Quantity = "100Gi"
    """What may lie there: beyond it the files that were used least recently go."""


class FetchSpec(ApiType):
    """How files of s3://, gs://, hf:// and https:// get into the pod, and within which bounds."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.FETCH))

    secret_name: SourceSecretName | None = None
    """A Secret of the model's namespace, which the fetching container alone mounts:
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and if need be AWS_SESSION_TOKEN (s3),
    gcloud-application-credentials.json (gs), HF_TOKEN (hf), username and password or token (https).
    Absent: the identity of ``spec.pod.serviceAccountName`` where the cloud gives it one, else
    none."""
    ca_config_map_name: ObjectName | None = None
    """A ConfigMap of the model's namespace whose ``ca.crt`` is trusted besides the public
    authorities."""
    endpoint: Endpoint | None = None
    """Of an S3 store that is not Amazon's, or of a mirror of Hugging Face's hub; http:// for S3
    alone."""
    region: Annotated[str, Field(max_length=32)] | None = None
    """Of the S3 store; absent: us-east-1, or what the service account's identity says."""
    size_limit: Quantity = "20Gi"
    """What may be fetched and unpacked, together; the pod's volume is bounded by it."""
    deadline_seconds: Annotated[int, Field(ge=10, le=86_400)] = 1800
    """After so long fetching is given up and begun anew."""
    sha256: Sha256 | None = None
    """What must have been fetched, as ``status.source.digests`` shows it: of a single file or
    archive its SHA-256, of several files that of their list, as ``sha256sum`` prints it in the
    order of their paths."""
    cache: FetchCache | None = None
    """Where files of this ``sha256`` are looked for first, and kept; absent: each pod fetches."""


Digest = Annotated[str, Field(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]


class SourceStatus(ApiType):
    """What pods fetched."""

    digests: Annotated[tuple[Digest, ...], Field(max_length=8)] = ()
    """Its digest, which ``fetch.sha256`` can state; several while pods serve different files."""
    revisions: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=8)] = ()
    """Of hf://, the commit, which ``storageUri`` can state behind an @."""
