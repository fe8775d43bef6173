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

STORAGE_URI: Final = (
    Rule(
        "!self.matches('^(s3|gs|hf)://')",
        "s3://, gs:// and hf:// are not yet supported: use oci://IMAGE or pvc://CLAIM/PATH",
    ),
    Rule(
        "self.matches('^(s3|gs|hf|oci|pvc)://')",
        "storageUri must begin with oci:// (an image) or pvc:// (a volume claim): "
        "use oci://IMAGE or pvc://CLAIM/PATH",
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
        "!self.startsWith('pvc://') || !self.matches('/[.]{1,2}(/|$)')",
        "the path must not contain . or .. : name the folder from the claim's root",
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
