"""How the kinds appear to ``kubectl``: names, scope, subresources and columns.

What a kind is called in paths, keys, labels and references is told here alone.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from ferryman.api import names
from ferryman.api.crd import AGE, DNS_LABEL, DNS_LABEL_WORDS, Column, Resource, name_rule


def _condition(kind: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


def _processor(kind: str, field: str) -> str:
    return f'.status.processors[?(@.class=="{kind}")].{field}'


#: Serving objects are named NAME-triton; a Service's name begins with a letter (DNS-1035).
MODEL_NAME: Final = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
MODEL_NAME_MAX: Final = 50
_SERVED_NAME: Final = name_rule(
    MODEL_NAME,
    MODEL_NAME_MAX,
    "lower-case letters, digits and '-', beginning with a letter and ending with a letter "
    "or digit, because a Service is named after it",
)

INFERENCE_MODEL: Final = Resource(
    kind="InferenceModel",
    plural="inferencemodels",
    short_names=("imodel",),
    scope="Namespaced",
    noun="model",
    owner_label=names.LABEL_MODEL,
    has_scale=True,
    name_rules=(_SERVED_NAME,),
    columns=(
        Column("Ready", _condition("Ready"), "Whether the model answers requests."),
        Column("Node Type", ".status.placement.nodeType", "The node type that serves the model."),
        Column(
            "Batch",
            ".status.batching.applied.maxBatchSize",
            "The batch size bound in force.",
            "integer",
        ),
        Column(
            "Latency",
            ".status.observed.latencyMilliseconds",
            "The objective's percentile of the last window with traffic, in milliseconds.",
            "number",
        ),
        Column("Target", ".status.target", "The objectives."),
        Column("Met", _condition("ObjectivesMet"), "Whether all objectives are met."),
        AGE,
        Column("Reason", _condition("Ready", "reason"), "Why it is ready or not.", priority=1),
        Column("Processor", ".status.placement.processor", "The processor class.", priority=1),
        Column("Up", ".status.readyReplicas", "Replicas that are ready.", "integer", 1),
        Column(
            "Desired", ".status.desiredReplicas", "Replicas that there are to be.", "integer", 1
        ),
        Column("Mode", ".spec.batching.mode", "Who chooses the batching.", priority=1),
        Column(
            "Delay us",
            ".status.batching.applied.maxQueueDelayMicroseconds",
            "The queue delay in force, in microseconds.",
            "integer",
            1,
        ),
        Column(
            "Instances",
            ".status.batching.applied.instances",
            "Triton instances per pod in force.",
            "integer",
            1,
        ),
        Column(
            "Per Second",
            ".status.observed.inferencesPerSecond",
            "Inferences per second over all replicas in the last window with traffic.",
            "number",
            1,
        ),
        Column(
            "Objectives",
            _condition("ObjectivesMet", "reason"),
            "Why the objectives are met or not.",
            priority=1,
        ),
        Column("Tuning", ".status.batching.reason", "The tuner's last decision.", priority=1),
        Column("URL", ".status.url", "Where clients send requests.", priority=1),
    ),
)

INFERENCE_PIPELINE: Final = Resource(
    kind="InferencePipeline",
    plural="inferencepipelines",
    short_names=("ipipe",),
    scope="Namespaced",
    noun="pipeline",
    owner_label=names.LABEL_PIPELINE,
    has_scale=True,
    name_rules=(_SERVED_NAME,),
    columns=(
        Column("Ready", _condition("Ready"), "Whether the pipeline answers requests."),
        Column("Workers", ".status.workers", "The workers of each step."),
        Column("Limiting", ".status.limitingStep", "The step that limits the throughput."),
        Column(
            "Per Second",
            ".status.observed.requestsPerSecond",
            "Requests per second over all replicas in the last window with traffic.",
            "number",
        ),
        Column(
            "Latency",
            ".status.observed.latencyMilliseconds",
            "The objective's percentile of the last window with traffic, in milliseconds.",
            "number",
        ),
        Column("Target", ".status.target", "The objectives."),
        Column("Met", _condition("ObjectivesMet"), "Whether all objectives are met."),
        AGE,
        Column("Reason", _condition("Ready", "reason"), "Why it is ready or not.", priority=1),
        Column("Execution", ".status.execution.mode", "On one server or several.", priority=1),
        Column(
            "Node Type", ".status.placement.nodeType", "Where clients' requests go.", priority=1
        ),
        Column("Up", ".status.readyReplicas", "Replicas that are ready.", "integer", 1),
        Column("Desired", ".spec.replicas", "Replicas asked for.", "integer", 1),
        Column("Mode", ".spec.balancing.mode", "Who spreads the workers.", priority=1),
        Column(
            "Objectives",
            _condition("ObjectivesMet", "reason"),
            "Why the objectives are met or not.",
            priority=1,
        ),
        Column("Balancing", ".status.balancing.reason", "Its last decision.", priority=1),
        Column("URL", ".status.url", "Where clients send requests.", priority=1),
    ),
)

INFERENCE_RUNTIME: Final = Resource(
    kind="InferenceRuntime",
    plural="inferenceruntimes",
    short_names=("iruntime",),
    scope="Cluster",
    has_status=False,
    name_rules=(name_rule(DNS_LABEL, 63, DNS_LABEL_WORDS),),
    columns=(
        Column(
            "CPU Image", '.spec.processors[?(@.class=="cpu")].image', "Triton's image for CPUs."
        ),
        Column(
            "GPU Image", '.spec.processors[?(@.class=="gpu")].image', "Triton's image for GPUs."
        ),
        AGE,
        Column(
            "Benchmark",
            ".spec.benchmark.model.storageUri",
            "The reference model; without one, node types are not measured.",
            priority=1,
        ),
        Column("Pull", ".spec.imagePullPolicy", "When images are pulled.", priority=1),
    ),
)

NODE_PROFILE: Final = Resource(
    kind="NodeProfile",
    plural="nodeprofiles",
    short_names=("nprofile",),
    scope="Cluster",
    columns=(
        Column("Node Type", ".status.nodeType", "The name of the hardware fingerprint."),
        Column("CPU", _processor("cpu", "utilisation"), "CPU in use, 0 to 1.", "number"),
        Column("GPU", _processor("gpu", "utilisation"), "GPU in use, 0 to 1.", "number"),
        Column("Heartbeat", ".status.heartbeatTime", "Age of the agent's last report.", "date"),
        AGE,
        Column("CPU Memory", _processor("cpu", "memoryUtilisation"), "0 to 1.", "number", 1),
        Column("GPU Memory", _processor("gpu", "memoryUtilisation"), "0 to 1.", "number", 1),
        Column("CPU Model", ".status.hardware.cpuModel", "The CPU's product name.", priority=1),
        Column("GPU Product", _processor("gpu", "product"), "The GPU's name.", priority=1),
        Column(
            "Millicores",
            ".status.hardware.cpuMillicores",
            "Allocatable CPU in thousandths of a core.",
            "integer",
            1,
        ),
        Column(
            "Benchmarked",
            ".status.benchmarks[0].measuredAt",
            "Age of the first load performance table.",
            "date",
            1,
        ),
        Column("Measured On", ".status.benchmarks[0].measuredOn", "Its node.", priority=1),
        Column("Note", ".status.notes[0]", "What the agent could not see.", priority=1),
    ),
)

ALL: Final = (INFERENCE_MODEL, INFERENCE_PIPELINE, INFERENCE_RUNTIME, NODE_PROFILE)
_BY_KIND: Final = {resource.kind: resource for resource in ALL}
#: Kind -> plural: ours, and those of Kubernetes that are written or watched.
PLURALS: Final[Mapping[str, str]] = {
    **{resource.kind: resource.plural for resource in ALL},
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "NetworkPolicy": "networkpolicies",
    "Node": "nodes",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Secret": "secrets",
    "Service": "services",
}


class Key(NamedTuple):
    """What an object of a namespaced kind of ours is known by."""

    kind: str
    namespace: str
    name: str

    @property
    def qualified_name(self) -> str:
        """Namespace and name, for people."""
        return f"{self.namespace}/{self.name}"

    def in_log(self) -> dict[str, str]:
        """Return what a line of the log says it is about."""
        return {_BY_KIND[self.kind].noun: self.qualified_name}


def model_key(namespace: str, name: str) -> Key:
    """Return the key of an InferenceModel."""
    return Key(INFERENCE_MODEL.kind, namespace, name)


def pipeline_key(namespace: str, name: str) -> Key:
    """Return the key of an InferencePipeline."""
    return Key(INFERENCE_PIPELINE.kind, namespace, name)


def owner_key(namespace: str, labels: Mapping[str, str]) -> Key | None:
    """Return whom an object with these labels serves; None for somebody else's."""
    for resource in ALL:
        name = labels.get(resource.owner_label) if resource.owner_label else None
        if name:
            return Key(resource.kind, namespace, name)
    return None


def owner_labels(key: Key) -> dict[str, str]:
    """Return the labels of what serves an object of ours, by which ``owner_key`` finds it."""
    return {_BY_KIND[key.kind].owner_label: key.name}


def owner_reference(key: Key, uid: str) -> dict[str, str | bool]:
    """Return the entry of ``ownerReferences`` for what goes with an object of ours."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": key.kind,
        "name": key.name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
