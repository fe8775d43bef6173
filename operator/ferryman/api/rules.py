"""The CEL rules of the kinds, in the order of their fields; each message names the remedy.

The API server adds the path of the field in front of the message. What CEL cannot see (the
inside of a free-form Triton config) is checked by the operator, which reports InvalidSpec.
"""

from typing import Final

from ferryman.api.crd import Rule

# The grammar of image references (OCI distribution specification, docker's reference format).
_HOST: Final = "[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]{1,5})?"
_PART: Final = "[a-z0-9]+([._-]+[a-z0-9]+)*"
_TAG: Final = "[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}"
_DIGEST: Final = "sha256:[0-9a-f]{64}"
IMAGE: Final = f"({_HOST}/)?{_PART}(/{_PART})*(:{_TAG})?(@{_DIGEST})?"
_CLAIM: Final = "[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"

IMAGE_RULE: Final = Rule(
    f"self.matches('^{IMAGE}$')",
    "must be an image reference, for example registry.example/team/triton:26.08 or NAME@sha256:…",
)

_SEGMENT: Final = "[A-Za-z0-9._@+=~:-]+"
_BUCKET: Final = "[a-z0-9]([a-z0-9._-]{1,61}[a-z0-9])"
_REPO: Final = "[A-Za-z0-9]([A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
#: A TCP port, with its colon.
PORT: Final = (
    "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
)
_SERVER: Final = f"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?{PORT}"
#: What a pod fetches, rather than mounts.
FETCHED: Final = "^(s3|gs|hf|https)://"

STORAGE_URI: Final = (
    Rule(
        "self.matches('^(oci|pvc|s3|gs|hf|https)://')",
        "storageUri must begin with oci:// (an image), pvc:// (a volume claim), s3://, gs://, "
        "hf:// or https://, for example oci://IMAGE or s3://BUCKET/PREFIX",
    ),
    Rule(
        f"!self.startsWith('oci://') || self.matches('^oci://{IMAGE}$')",
        "oci:// must be followed by an image reference in lower case, "
        "for example oci://registry.example/models/resnet50:1",
    ),
    Rule(
        f"!self.startsWith('pvc://') || self.matches('^pvc://{_CLAIM}(/[A-Za-z0-9._@+=-]+)*/?$')",
        "pvc:// must be followed by a claim's name and, if you like, a folder in it "
        "(letters, digits and ._@+=- only), for example pvc://models/vision/resnet50",
    ),
    Rule(
        f"!self.matches('^(s3|gs)://') || self.matches('^(s3|gs)://{_BUCKET}(/{_SEGMENT})*/?$')",
        "s3:// and gs:// must be followed by a bucket and, if you like, a prefix (letters, digits "
        "and ._@+=~:- only), for example s3://models/vision/resnet50",
    ),
    Rule(
        "!self.startsWith('hf://') || "
        f"self.matches('^hf://{_REPO}/{_REPO}(@[A-Za-z0-9._-]{{1,64}})?(/{_SEGMENT})*/?$')",
        "hf:// must be followed by ORG/REPO and, if you like, @REVISION and a folder, for example "
        "hf://onnx-community/resnet-50@main/onnx",
    ),
    Rule(
        f"!self.startsWith('https://') || self.matches('^https://{_SERVER}(/{_SEGMENT})+$')",
        "https:// must be followed by a host and the path of a file, without user, query or "
        "fragment, which are no place for a secret: state fetch.secretName instead",
    ),
    Rule(
        "self.startsWith('oci://') || !self.matches('/[.]{1,2}(/|$)')",
        "the path must not contain . or .. : name the folder from the root",
    ),
)

_BYTES: Final = (
    Rule(
        "type(self.sizeLimit) == int ? int(self.sizeLimit) > 0 : "
        "string(self.sizeLimit).matches('^[1-9][0-9]{0,18}(k|Ki|[MGTP]i?)?$')",
        "sizeLimit must be a whole number of bytes above 0, for example 20Gi",
        field_path=".sizeLimit",
    ),
)
FETCH_CACHE: Final = _BYTES
FETCH: Final = (
    *_BYTES,
    Rule(
        "!has(self.cache) || has(self.sha256)",
        "a cache holds files by their digest alone: state sha256, as status.source.digests shows "
        "it, or remove cache",
        field_path=".cache",
    ),
)

_FETCHED: Final = f"self.storageUri.matches('{FETCHED}')"
_WITHOUT_TLS: Final = "self.fetch.endpoint.startsWith('http://')"
_HAS_ENDPOINT: Final = "has(self.fetch) && has(self.fetch.endpoint)"
SOURCE: Final = (
    Rule(
        f"!has(self.fetch) || {_FETCHED} || (has(self.variants) && size(self.variants) > 0)",
        "fetch is for s3://, gs://, hf:// and https://: remove it, or name such a storageUri",
        field_path=".fetch",
    ),
    Rule(
        f"!({_HAS_ENDPOINT}) || self.storageUri.startsWith('s3://') || "
        f"(self.storageUri.startsWith('hf://') && !{_WITHOUT_TLS})",
        "fetch.endpoint is for s3:// and, with https:// alone, for hf://: remove it",
        field_path=".fetch.endpoint",
    ),
)

CONFIG: Final = (
    Rule(
        "!has(self.name)",
        "config must not set name: in Triton a model is named after metadata.name; remove it",
    ),
)

VARIANT: Final = (
    Rule(
        "has(self.storageUri) || has(self.modelFormat) || has(self.config)",
        "a variant must differ from the model: set storageUri, modelFormat or config, "
        "or remove the variant",
    ),
    Rule(
        f"!has(self.fetch) || (has(self.storageUri) && {_FETCHED})",
        "a variant's fetch goes with a storageUri of its own that is fetched (s3://, gs://, hf:// "
        "or https://): state one, or remove fetch",
        field_path=".fetch",
    ),
)

#: It runs in the operator's namespace, which has no credentials of models.
REFERENCE_MODEL: Final = (
    Rule(
        f"!{_FETCHED.replace('self.', 'self.model.')}",
        "the reference model must be oci://IMAGE or pvc://CLAIM/PATH: it is mounted, not fetched",
        field_path=".model.storageUri",
    ),
)

OBJECTIVES: Final = (
    Rule(
        "has(self.latency) || has(self.throughput)",
        "objectives must state at least one: add latency.targetMilliseconds "
        "or throughput.minPerSecond",
    ),
)

#: The policies with which models may be rebalanced; a test holds core's table to it.
REBALANCING: Final = ("BestFit", "Cheapest")
PLACEMENT: Final = (
    Rule(
        f"self.rebalance.mode != 'Auto' || self.policy in {list(REBALANCING)}",
        f"rebalance.mode Auto needs the policy {' or '.join(REBALANCING)}: utilisation alone, "
        "which LeastWorkload goes by, would move models back and forth",
    ),
)

SPREAD: Final = (
    Rule(
        "self.rebalance.mode != 'Auto' || self.spread == 'Nodes'",
        "rebalance.mode Auto needs spread Nodes: what a model costs is known of one node type, "
        "not of several at once",
    ),
)

WEIGHTS: Final = (
    Rule(
        "self.benchmark + self.memory + self.utilisation > 0",
        "weights must not all be 0: give benchmark, memory or utilisation a weight of at least 1",
    ),
)


def ordered(low: str, high: str, where: str) -> tuple[Rule, ...]:
    """Return the rule that one field of an object must not exceed another."""
    advice = f"lower {low} or raise {high}"
    return (
        Rule(
            f"self.{low} <= self.{high}",
            f"{where}.{low} must not exceed {where}.{high}: {advice}",
            field_path=f".{low}",
        ),
    )


def _initial_within(field: str) -> Rule:
    limits, initial = f"self.limits.{field}", f"self.initial.{field}"
    return Rule(
        f"!has(self.initial) || ({limits}.min <= {initial} && {initial} <= {limits}.max)",
        f"initial.{field} must lie within limits.{field}: change initial or widen the limits",
        field_path=f".initial.{field}",
    )


_PREFERRED: Final = "self.initial.preferredBatchSize"
_NONE_PREFERRED: Final = f"!has(self.initial) || !has({_PREFERRED})"
BATCHING: Final = (
    Rule(
        "self.mode != 'Fixed' || has(self.initial)",
        "batching.initial must be set with mode Fixed: state the configuration to serve with, "
        "or choose mode Auto",
    ),
    Rule(
        "self.warmStart == 'Never' || (self.mode != 'Fixed' && self.algorithm == 'Guarded')",
        "batching.warmStart: Benchmark needs mode Auto or Recommend with algorithm Guarded: "
        "nothing else makes use of service times; set warmStart to Never",
    ),
    *map(_initial_within, ("maxBatchSize", "maxQueueDelayMicroseconds", "instances")),
    Rule(
        f"{_NONE_PREFERRED} || {_PREFERRED}.all(n, n <= self.initial.maxBatchSize)",
        "initial.preferredBatchSize must not exceed initial.maxBatchSize: remove the larger "
        "sizes or raise maxBatchSize",
        field_path=".initial.preferredBatchSize",
    ),
    Rule(
        f"{_NONE_PREFERRED} || ({_PREFERRED}.isSorted()"
        f" && {_PREFERRED}.all(n, {_PREFERRED}.exists_one(m, m == n)))",
        "initial.preferredBatchSize must be ascending, each size once",
        field_path=".initial.preferredBatchSize",
    ),
)

QUANTITY: Final = (
    Rule(
        "type(self) == int ? int(self) >= 0 : string(self).matches("
        "'^[0-9]*[.]?[0-9]+([eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i)?$')",
        "must be a quantity that is not negative, for example 500m, 2 or 4Gi",
    ),
)

RESOURCE_NAMES: Final = (
    Rule(
        "self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'] || k.startsWith('hugepages-')"
        " || k.contains('/'))",
        "resources may name cpu, memory, ephemeral-storage, hugepages-SIZE or a device such as "
        "nvidia.com/gpu",
    ),
)

EXTENDED_RESOURCE: Final = (
    Rule(
        "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
        "resourceName must be a device's resource as the node reports it, for example "
        "nvidia.com/gpu; leave it out for CPUs",
    ),
)

#: Arguments through which Ferryman controls the server; a second value would undo its locks.
_OWN_ARGUMENTS: Final = (
    "model-repository", "model-control-mode", "load-model", "exit-on-error",
    "allow-vertex-ai", "allow-sagemaker", "allow-http", "allow-grpc", "allow-metrics",
    "http-port", "grpc-port", "metrics-port",
    "http-restricted-api", "grpc-restricted-protocol",
)  # fmt: skip
ARGUMENT: Final = (
    Rule(
        f"!(self.split('=')[0] in {[f'--{name}' for name in _OWN_ARGUMENTS]})",
        "Ferryman sets this argument of tritonserver itself: remove it",
    ),
)

ENVIRONMENT: Final = (
    Rule(
        "!self.name.startsWith('FERRYMAN_')",
        "names that begin with FERRYMAN_ are Ferryman's own: choose another",
        field_path=".name",
    ),
)

_ALONE: Final = "!has(self.parallelism) || self.parallelism.devices == 1"
PARALLEL: Final = (
    Rule(
        f"{_ALONE} || self.batching.limits.instances.min == 1",
        "with several devices the model has one instance in each pod: set "
        "batching.limits.instances.min to 1, and add replicas instead",
        field_path=".batching.limits.instances.min",
    ),
    Rule(
        f"{_ALONE} || !has(self.batching.initial) || self.batching.initial.instances == 1",
        "with several devices the model has one instance in each pod: set "
        "batching.initial.instances to 1, and add replicas instead",
        field_path=".batching.initial.instances",
    ),
    *(
        Rule(
            f"!has(self.parallelism) || !has(self.resources) || !has(self.resources.{kind}) || "
            f"self.resources.{kind}.all(k, !k.contains('/'))",
            "parallelism.devices says how many devices a pod requests: remove the device from "
            f"resources.{kind}",
            field_path=f".resources.{kind}",
        )
        for kind in ("requests", "limits")
    ),
)

#: What is needed to know how many replicas the objectives need.
SCALED: Final = (
    Rule(
        "!has(self.scaling) || self.batching.mode == 'Auto'",
        "scaling needs batching.mode Auto, because batching comes first: set mode Auto, or remove "
        "scaling",
        field_path=".scaling",
    ),
    Rule(
        "!has(self.scaling) || self.batching.algorithm == 'Guarded'",
        "scaling needs batching.algorithm Guarded, since Trend does not say how many replicas are "
        "needed: set algorithm Guarded, or remove scaling",
        field_path=".scaling",
    ),
)

SHAPE: Final = (
    Rule(
        "self.all(d, d != 0)",
        "each dimension must be a size of at least 1, or -1 for any size",
    ),
)


def _balanced_within(field: str, limits: str) -> str:
    """Return whether what a step begins with lies within limits, where it says so."""
    initial, bounds = f"s.initial.{field}", f"{limits}.{field}"
    within = f"({bounds}.min <= {initial} && {initial} <= {bounds}.max)"
    return f"!has(s.initial) || !has({initial}) || {within}"


_BALANCED: Final = ("instances", "maxBatchSize")
STEP: Final = (
    Rule(
        "has(self.model) != has(self.modelRef)",
        "a step must state exactly one of model (its files) and modelRef (an InferenceModel of "
        "this namespace): add one or remove the other",
    ),
    *(
        Rule(
            f"!has(self.limits) || [self].all(s, {_balanced_within(field, 's.limits')})",
            f"initial.{field} must lie within the step's limits.{field}: change initial or widen "
            "the limits",
            field_path=f".initial.{field}",
        )
        for field in _BALANCED
    ),
    Rule(
        f"{_ALONE} || !has(self.limits) || self.limits.instances.min == 1",
        "with several devices a step has one instance in each pod: set limits.instances.min to 1",
        field_path=".limits.instances.min",
    ),
    Rule(
        f"{_ALONE} || !has(self.initial) || self.initial.instances == 1",
        "with several devices a step has one instance in each pod: set initial.instances to 1",
        field_path=".initial.instances",
    ),
)

PIPELINE: Final = (
    Rule(
        "self.placement.rebalance.mode == 'Never'",
        "pipelines are not moved once they serve: remove placement.rebalance, or set its mode to "
        "Never",
        field_path=".placement.rebalance.mode",
    ),
    Rule(
        "self.balancing.mode != 'Fixed' || self.steps.all(s, has(s.initial))",
        "with balancing.mode Fixed every step must state initial: add steps[].initial.instances, "
        "or choose mode Auto",
        field_path=".balancing.mode",
    ),
    *(
        Rule(
            "self.steps.all(s, has(s.limits) || "
            f"{_balanced_within(field, 'self.balancing.limits')})",
            f"each step's initial.{field} must lie within balancing.limits.{field}: change it, "
            "widen the limits, or state limits of the step",
            field_path=".steps",
        )
        for field in _BALANCED
    ),
)
