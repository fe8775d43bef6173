"""Objects that the API server must refuse, each with the field and the words it must answer.

A case changes a valid object: dotted path -> value (`ABSENT` removes the field). The answer
must contain the field's path and the words that tell a person what to do.
"""

import copy
import re
from dataclasses import dataclass, field
from typing import Any, Final

from ferryman.api import names

ABSENT: Final = object()
LONG: Final = "a" * 1000


@dataclass(frozen=True)
class Case:
    """One invalid object: what is wrong with it, and what the answer must say."""

    title: str
    change: dict[str, Any]
    path: str
    words: str
    base: dict[str, Any] = field(repr=False)

    def document(self) -> dict[str, Any]:
        """Return the base with the change applied."""
        return changed(self.base, self.change)


def changed(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return a deep copy of an object with values set by their dotted paths (digits index)."""
    document = copy.deepcopy(base)
    for path, value in change.items():
        *parents, last = path.split("/")
        place: Any = document
        for step in parents:
            listed = isinstance(place, list)
            place = place[int(step)] if listed else place.setdefault(step, {})
        if value is ABSENT:
            del place[last]
        elif isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    return document


def _object(kind: str, name: str, **parts: object) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": {"name": name},
        **parts,
    }


MODEL: Final = _object(
    "InferenceModel",
    "resnet50",
    spec={
        "model": {
            "storageUri": "oci://registry.example/models/resnet50:1",
            "modelFormat": {"name": "onnx"},
        },
        "runtimeRef": {"name": "triton"},
        "objectives": {"latency": {"targetMilliseconds": 50}},
    },
)

RUNTIME: Final = _object(
    "InferenceRuntime",
    "triton",
    spec={
        "processors": [
            {
                "class": "gpu",
                "image": "registry.example/tritonserver:26.08",
                "backends": {"onnx": "onnxruntime"},
                "resourceName": "nvidia.com/gpu",
            }
        ]
    },
)

PIPELINE: Final = _object(
    "InferencePipeline",
    "ocr",
    spec={
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, 3]}],
        "steps": [
            {
                "name": "detect",
                "model": {
                    "storageUri": "oci://registry.example/models/detect:1",
                    "modelFormat": {"name": "onnx"},
                },
                "inputMap": {"x": "image"},
            },
            {"name": "read", "modelRef": {"name": "reader"}, "inputMap": {"x": "detect.y.0"}},
        ],
        "outputs": [{"name": "text", "from": "read.text"}],
        "runtimeRef": {"name": "triton"},
        "objectives": {"latency": {"targetMilliseconds": 800}},
    },
)

PROFILE: Final = _object(
    "NodeProfile",
    "worker-1",
    status={
        "nodeType": "gpu-h200",
        "heartbeatTime": "2026-11-21T13:00:00Z",
        "hardware": {
            "architecture": "amd64",
            "cpuModel": "Example 9",
            "cpuMillicores": 16000,
            "memoryBytes": 2**36,
            "devices": ["gpu H200 143771"],
        },
        "processors": [{"class": "gpu", "product": "H200", "count": 1, "utilisation": 0.25}],
        "benchmarks": [
            {
                "class": "gpu",
                "runtime": "triton",
                "image": "registry.example/tritonserver:26.08",
                "nodeType": "gpu-h200",
                "measuredOn": "worker-1",
                "measuredAt": "2026-11-21T13:00:00Z",
                "points": [
                    {
                        "batchSize": 8,
                        "imagesPerSecond": 3500.5,
                        "latencyP50Milliseconds": 2.1,
                        "latencyP99Milliseconds": 2.9,
                        "imagesPerSecondHalfWidth": 42.5,
                        "rounds": 3,
                        "ended": "Stable",
                    }
                ],
            }
        ],
    },
)


#: Of `spec.pod` in models and runtimes: title, change, value, path, words.
POD: Final[tuple[tuple[str, str, Any, str, str], ...]] = (
    (
        "a label of Ferryman's",
        "labels",
        {"serving.ferryman.dev/model": "other"},
        "labels",
        "choose other keys",
    ),
    (
        "a label by which Ferryman is found",
        "labels",
        {"app.kubernetes.io/name": "other"},
        "labels",
        "labels of serving.ferryman.dev/ and app.kubernetes.io/",
    ),
    (
        "a label of the Deployment's controller",
        "labels",
        {"pod-template-hash": "0"},
        "labels",
        "pod-template-hash are set by Ferryman and Kubernetes",
    ),
    ("a key that no label can have", "labels", {"a key": "x"}, "labels", "must be labels' keys"),
    ("a value that no label can have", "labels", {"a": "x y"}, "labels[a]", "label's value"),
    (
        "too many labels",
        "labels",
        {f"l{number}": "" for number in range(17)},
        "labels",
        "at most 16 items",
    ),
    (
        "an annotation of Ferryman's",
        "annotations",
        {"serving.ferryman.dev/max-batch-size": "9"},
        "annotations",
        "annotations of serving.ferryman.dev/",
    ),
    (
        "a key that no annotation can have",
        "annotations",
        {"a/b/c": ""},
        "annotations",
        "must be annotations' keys",
    ),
    (
        "an annotation that is too long",
        "annotations",
        {"a": "x" * 4097},
        "annotations.a",
        "4096",
    ),
    (
        "an account that no object can be called",
        "serviceAccountName",
        "Vision_Team",
        "serviceAccountName",
        "must be an object's name",
    ),
    (
        "a pull secret twice",
        "imagePullSecrets",
        [{"name": "a"}, {"name": "a"}],
        "imagePullSecrets[1]",
        "Duplicate value",
    ),
    ("a priority without a name", "priorityClassName", "", "priorityClassName", "at least 1"),
    (
        "root",
        "securityContext",
        {"runAsUser": 0},
        "securityContext.runAsUser",
        "greater than or equal to 1",
    ),
    (
        "a user where the namespace assigns one",
        "securityContext",
        {"user": "Namespace", "runAsUser": 1000},
        "securityContext.user",
        "or state user Fixed",
    ),
    (
        "a policy for a group that is not stated",
        "securityContext",
        {"fsGroupChangePolicy": "Always"},
        "securityContext.fsGroupChangePolicy",
        "state fsGroup",
    ),
    (
        "a capability",
        "securityContext",
        {"privileged": True},
        "securityContext.privileged",
        "unknown field",
    ),
    (
        "a variable of Ferryman's",
        "env",
        [{"name": "FERRYMAN_CONTROL_KEY", "value": "mine"}],
        "env[0].name",
        "Ferryman's own: choose another",
    ),
    ("a variable's name with a dash", "env", [{"name": "A-B"}], "env[0].name", "digits and '_'"),
)


def _model(title: str, change: dict[str, Any], path: str, words: str) -> Case:
    return Case(title, change, path, words, MODEL)


def _uri(title: str, uri: str, words: str) -> Case:
    return _model(title, {"spec/model/storageUri": uri}, "spec.model.storageUri", words)


def _name(title: str, name: str, words: str = "must be at most 50 characters") -> Case:
    return _model(title, {"metadata/name": name}, "metadata.name", words)


def _bound(path: str, value: object, words: str) -> Case:
    dotted = path.replace("/", ".")
    return _model(f"{dotted} of {value} is out of bounds", {path: value}, dotted, words)


def _parallel(title: str, change: dict[str, Any], path: str, words: str) -> Case:
    return _model(title, {"spec/parallelism": {"devices": 4}, **change}, path, words)


_DIGEST = "sha256:" + "0" * 64
_BATCH = "spec/batching/limits/maxBatchSize"
_VARIANT = {"processor": "cpu", "storageUri": "pvc://models/resnet50-int8"}
_USE = "storageUri must begin with oci:// (an image), pvc:// (a volume claim), s3://"

_PARALLEL: Final = (
    _model(
        "no device", {"spec/parallelism": {"devices": 0}}, "spec.parallelism.devices", "equal to 1"
    ),
    _model(
        "devices without a number", {"spec/parallelism": {}}, "spec.parallelism.devices", "Required"
    ),
    _parallel(
        "two instances at least on several devices",
        {"spec/batching/limits/instances/min": 2},
        "spec.batching.limits.instances.min",
        "set batching.limits.instances.min to 1, and add replicas instead",
    ),
    _parallel(
        "two instances to begin with on several devices",
        {"spec/batching/initial": {"maxBatchSize": 8, "instances": 2}},
        "spec.batching.initial.instances",
        "set batching.initial.instances to 1, and add replicas instead",
    ),
    _parallel(
        "devices stated twice",
        {"spec/resources": {"limits": {"cpu": "2", "nvidia.com/gpu": 2}}},
        "spec.resources.limits",
        "remove the device from resources.limits",
    ),
    _parallel(
        "devices requested twice",
        {"spec/resources": {"requests": {"nvidia.com/gpu": 4}}},
        "spec.resources.requests",
        "remove the device from resources.requests",
    ),
    _model(
        "an interconnect without values",
        {
            "spec/parallelism": {
                "devices": 4,
                "interconnect": [{"key": "nvidia.com/gpu.product", "operator": "In"}],
            }
        },
        "spec.parallelism.interconnect[0].values",
        "values go with In and NotIn",
    ),
)
_SCALED: Final = (
    _model(
        "scaling without a largest number",
        {"spec/scaling": {"minReplicas": 1}},
        "spec.scaling.maxReplicas",
        "Required",
    ),
    _model(
        "scaling to fewer at most than at least",
        {"spec/scaling": {"minReplicas": 3, "maxReplicas": 2}},
        "spec.scaling.minReplicas",
        "scaling.minReplicas must not exceed scaling.maxReplicas: lower minReplicas or raise",
    ),
    _model(
        "scaling to none",
        {"spec/scaling": {"minReplicas": 0, "maxReplicas": 2}},
        "spec.scaling.minReplicas",
        "greater than or equal to 1",
    ),
    _model(
        "scaling to more than are ever asked for",
        {"spec/scaling": {"maxReplicas": 101}},
        "spec.scaling.maxReplicas",
        "less than or equal to 100",
    ),
    _model(
        "scaling down without a wait",
        {"spec/scaling": {"maxReplicas": 2, "scaleDownStabilizationSeconds": 0}},
        "spec.scaling.scaleDownStabilizationSeconds",
        "greater than or equal to 30",
    ),
    _model(
        "scaling of what is only recommended",
        {"spec/scaling": {"maxReplicas": 2}, "spec/batching/mode": "Recommend"},
        "spec.scaling",
        "scaling needs batching.mode Auto, because batching comes first",
    ),
    _model(
        "scaling by what says no number",
        {"spec/scaling": {"maxReplicas": 2}, "spec/batching/algorithm": "Trend"},
        "spec.scaling",
        "scaling needs batching.algorithm Guarded",
    ),
)


def _fetch(title: str, uri: str, fetch: dict[str, Any], path: str, words: str) -> Case:
    change = {"spec/model/storageUri": uri, "spec/model/fetch": fetch}
    return _model(title, change, f"spec.model.fetch{path}", words)


_S3: Final = "s3://bucket/x"
_FETCHES: Final = (
    _fetch("fetching an image", "oci://a/b", {}, "", "fetch is for s3://"),
    _fetch("any Secret", _S3, {"secretName": "db"}, ".secretName", "begin with model-source-"),
    _fetch("a pin too short", _S3, {"sha256": "00"}, ".sha256", "64 hexadecimal digits"),
    _fetch("no size", _S3, {"sizeLimit": 0}, ".sizeLimit", "bytes above 0"),
    _fetch("half a size", _S3, {"sizeLimit": "500m"}, ".sizeLimit", "bytes above 0"),
    _fetch(
        "a cache without a digest", _S3, {"cache": {"claimName": "c"}}, ".cache", "state sha256"
    ),
    _fetch(
        "a cache of no size",
        _S3,
        {"sha256": "a" * 64, "cache": {"claimName": "c", "sizeLimit": 0}},
        ".cache.sizeLimit",
        "bytes above 0",
    ),
    _fetch("a size in no unit", _S3, {"sizeLimit": "5ki"}, ".sizeLimit", "bytes above 0"),
    _fetch("no port", _S3, {"endpoint": "https://h:65536"}, ".endpoint", "a server's address"),
    _fetch("no time", _S3, {"deadlineSeconds": 1}, ".deadlineSeconds", "equal to 10"),
    _fetch(
        "an endpoint with a path", _S3, {"endpoint": "https://a/b"}, ".endpoint", "without a path"
    ),
    _fetch(
        "an endpoint of a file",
        "https://host/x",
        {"endpoint": "https://a"},
        ".endpoint",
        "is for s3://",
    ),
    _fetch(
        "a hub without TLS",
        "hf://org/repo",
        {"endpoint": "http://a"},
        ".endpoint",
        "with https:// alone",
    ),
    _model(
        "a variant that fetches nothing of its own",
        {"spec/model/variants": [{"processor": "cpu", "config": {}, "fetch": {}}]},
        "spec.model.variants[0].fetch",
        "state one, or remove fetch",
    ),
)
MODELS: Final = (
    *_PARALLEL,
    *_SCALED,
    _name("a name of 51 characters", "a" * 51),
    _name("a name of 1,000 characters", LONG, "no more than"),
    _name("a name that begins with a digit", "3d-unet", "because a Service is named after it"),
    _name("a name with dots", "resnet.50", "lower-case letters, digits and '-'"),
    _name("a name that ends with a hyphen", "resnet-", "alphanumeric character"),
    _name("a name in another alphabet", "мodel", "lower case alphanumeric characters"),
    _uri("weights behind plain HTTP", "http://host/model.onnx", _USE),
    _uri("weights without a bucket", "s3:///resnet50", "followed by a bucket"),
    _uri("a bucket in capitals", "gs://Bucket/resnet50", "followed by a bucket"),
    _uri("a prefix that climbs out", "s3://bucket/a/../b", "must not contain . or .."),
    _uri("a repository without an organisation", "hf://resnet50", "followed by ORG/REPO"),
    _uri("a revision that is a path", "hf://org/repo@a/../b", "must not contain . or .."),
    _uri("an address with a password", "https://me:secret@host/m.onnx", "no place for a secret"),
    _uri("an address with a query", "https://host/m.onnx?token=x", "no place for a secret"),
    _uri("an address without a file", "https://host", "the path of a file"),
    *_FETCHES,
    _uri("weights in a host's file", "file:///etc/shadow", _USE),
    _uri("weights without a scheme", "/models/resnet50", _USE),
    _uri("a scheme in capitals", "OCI://registry.example/resnet50", _USE),
    _uri("an image name in capitals", "oci://host/ResNet50", "image reference in lower case"),
    _uri("an image without a name", "oci://:latest", "image reference in lower case"),
    _uri("an image with a space", "oci://registry.example/a b", "image reference in lower case"),
    _uri("an image with a short digest", "oci://a/b@sha256:12", "image reference in lower case"),
    _uri("a claim that climbs out", "pvc://models/../../etc", "must not contain . or .."),
    _uri("a claim with a dot folder", "pvc://models/./resnet50", "must not contain . or .."),
    _uri("a claim without a name", "pvc:///resnet50", "followed by a claim's name"),
    _uri("a claim with an empty folder", "pvc://models//resnet50", "followed by a claim's name"),
    _uri("a claim in capitals", "pvc://Models/resnet50", "followed by a claim's name"),
    _uri("a path in another alphabet", "pvc://models/モデル", "followed by a claim's name"),
    _uri("a storage URI too long", f"oci://{'a' * 1024}", "may not be more than 1024"),
    _uri("an empty storage URI", "", "at least 7"),
    _model(
        "an unknown model format",
        {"spec/model/modelFormat/name": "onxx"},
        "spec.model.modelFormat.name",
        'supported values: "onnx"',
    ),
    _model(
        "an overlay that renames the model",
        {"spec/model/config": {"name": "other"}},
        "spec.model.config",
        "config must not set name: in Triton a model is named after metadata.name; remove it",
    ),
    _model(
        "an overlay that is a list",
        {"spec/model/config": ["name"]},
        "spec.model.config",
        "must be of type object",
    ),
    _model(
        "an overlay with an unknown field",
        {"spec/model/config": {"no_such_field": 0}},
        "spec.model.config",
        'unknown field "spec.model.config.no_such_field"',
    ),
    _model(
        "a variant's overlay that renames the model",
        {"spec/model/variants": [{"processor": "cpu", "config": {"name": "other"}}]},
        "spec.model.variants[0].config",
        "config must not set name",
    ),
    _model(
        "two variants for one processor",
        {"spec/model/variants": [_VARIANT, _VARIANT]},
        "spec.model.variants[1]",
        'Duplicate value: {"processor":"cpu"}',
    ),
    _model(
        "a variant that changes nothing",
        {"spec/model/variants": [{"processor": "cpu"}]},
        "spec.model.variants[0]",
        "set storageUri, modelFormat or config, or remove the variant",
    ),
    _model(
        "a variant on an FTP server",
        {"spec/model/variants": [{"processor": "cpu", "storageUri": "ftp://bucket/x"}]},
        "spec.model.variants[0].storageUri",
        _USE,
    ),
    _model(
        "a runtime's name in capitals",
        {"spec/runtimeRef/name": "Triton"},
        "spec.runtimeRef.name",
        "lower-case letters, digits and '-'",
    ),
    _model(
        "a runtime's name too long",
        {"spec/runtimeRef/name": LONG},
        "spec.runtimeRef.name",
        "may not be more than 63",
    ),
    _model(
        "no objective",
        {"spec/objectives": {}},
        "spec.objectives",
        "objectives must state at least one",
    ),
    _model("no objectives field", {"spec/objectives": ABSENT}, "spec.objectives", "Required value"),
    _model(
        "a latency objective without a target",
        {"spec/objectives/latency": {"percentile": 99}},
        "spec.objectives.latency.targetMilliseconds",
        "Required value",
    ),
    _model(
        "a percentile that Triton does not measure",
        {"spec/objectives/latency/percentile": 97},
        "spec.objectives.latency.percentile",
        'supported values: "50", "90", "95", "99"',
    ),
    _bound("spec/objectives/latency/targetMilliseconds", 0, "greater than or equal to 1"),
    _bound("spec/objectives/latency/targetMilliseconds", -5, "greater than or equal to 1"),
    _bound("spec/objectives/latency/targetMilliseconds", 600_001, "less than or equal to 600000"),
    _bound("spec/objectives/latency/targetMilliseconds", 12.5, "must be of type integer"),
    _bound("spec/objectives/latency/targetMilliseconds", 1e308, "must be of type integer"),
    _bound("spec/objectives/latency/targetMilliseconds", "50", "must be of type integer"),
    _bound("spec/objectives/throughput/minPerSecond", 0, "greater than or equal to 1"),
    _model(
        "an unknown policy",
        {"spec/placement/policy": "Random"},
        "spec.placement.policy",
        'supported values: "LeastWorkload", "BestFit", "Cheapest"',
    ),
    _model(
        "rebalancing by utilisation alone",
        {"spec/placement/rebalance": {"mode": "Auto"}},
        "spec.placement",
        "rebalance.mode Auto needs the policy BestFit or Cheapest",
    ),
    _model(
        "rebalancing of a model on several node types",
        {
            "spec/placement/policy": "BestFit",
            "spec/placement/rebalance": {"mode": "Auto"},
            "spec/placement/spread": "NodeTypes",
        },
        "spec.placement",
        "rebalance.mode Auto needs spread Nodes",
    ),
    _bound("spec/placement/rebalance/minImprovementPercent", 0, "greater than or equal to 1"),
    _bound("spec/placement/rebalance/minImprovementPercent", 101, "less than or equal to 100"),
    _model(
        "the same processor twice",
        {"spec/placement/processors": ["gpu", "gpu"]},
        "spec.placement.processors[1]",
        'Duplicate value: "gpu"',
    ),
    _model(
        "a processor class in capitals",
        {"spec/placement/processors": ["GPU"]},
        "spec.placement.processors[0]",
        "must be a processor class such as cpu, gpu or npu",
    ),
    _model(
        "all weights 0",
        {"spec/placement/weights": {"benchmark": 0, "memory": 0, "utilisation": 0}},
        "spec.placement.weights",
        "give benchmark, memory or utilisation a weight of at least 1",
    ),
    _bound("spec/placement/weights/benchmark", -1, "greater than or equal to 0"),
    _model(
        "a selector by a key that no label can have",
        {"spec/placement/nodeSelector": {"a key": "x"}},
        "spec.placement.nodeSelector",
        "keys must be labels' keys, for example topology.kubernetes.io/zone",
    ),
    _model(
        "a selector by a value that no label can have",
        {"spec/placement/nodeSelector": {"zone": "a b"}},
        "spec.placement.nodeSelector[zone]",
        "must be a label's value",
    ),
    _model(
        "a requirement on a key that no label can have",
        {"spec/placement/nodeAffinity": [{"key": "a key", "operator": "Exists"}]},
        "spec.placement.nodeAffinity[0].key",
        "must be a label's key, for example topology.kubernetes.io/zone",
    ),
    _model(
        "In without values",
        {"spec/placement/nodeAffinity": [{"key": "zone", "operator": "In"}]},
        "spec.placement.nodeAffinity[0].values",
        "values go with In and NotIn, which need at least one",
    ),
    _model(
        "Exists with values",
        {"spec/placement/nodeAffinity": [{"key": "z", "operator": "Exists", "values": ["a"]}]},
        "spec.placement.nodeAffinity[0].values",
        "Exists and DoesNotExist take none",
    ),
    _model(
        "Gt with a word",
        {"spec/placement/nodeAffinity": [{"key": "z", "operator": "Gt", "values": ["many"]}]},
        "spec.placement.nodeAffinity[0].values",
        "Gt and Lt compare with one whole number",
    ),
    _model(
        "Lt with two numbers",
        {"spec/placement/nodeAffinity": [{"key": "z", "operator": "Lt", "values": ["1", "2"]}]},
        "spec.placement.nodeAffinity[0].values",
        "Gt and Lt compare with one whole number",
    ),
    _model(
        "a requirement by an operator that no label has",
        {"spec/placement/nodeAffinity": [{"key": "zone", "operator": "Near"}]},
        "spec.placement.nodeAffinity[0].operator",
        'supported values: "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"',
    ),
    _model(
        "a toleration without a key",
        {"spec/placement/tolerations": [{"operator": "Equal", "value": "x"}]},
        "spec.placement.tolerations[0].operator",
        "without a key the operator must be Exists",
    ),
    _model(
        "a toleration of any value, with one",
        {"spec/placement/tolerations": [{"key": "k", "operator": "Exists", "value": "x"}]},
        "spec.placement.tolerations[0].value",
        "a value goes with the operator Equal only",
    ),
    _model(
        "a toleration that ends, of a taint that never evicts",
        {
            "spec/placement/tolerations": [
                {"key": "k", "effect": "NoSchedule", "tolerationSeconds": 5}
            ]
        },
        "spec.placement.tolerations[0].tolerationSeconds",
        "tolerationSeconds goes with the effect NoExecute only",
    ),
    _bound("spec/replicas", -1, "greater than or equal to 0"),
    _bound("spec/replicas", 1001, "less than or equal to 1000"),
    _model(
        "a limit that is no quantity",
        {"spec/resources/limits": {"memory": "lots"}},
        "spec.resources.limits[memory]",
        "must be a quantity that is not negative, for example 500m, 2 or 4Gi",
    ),
    _model(
        "a negative request",
        {"spec/resources/requests": {"cpu": -1}},
        "spec.resources.requests[cpu]",
        "must be a quantity that is not negative",
    ),
    _model(
        "a negative request in words",
        {"spec/resources/requests": {"cpu": "-500m"}},
        "spec.resources.requests[cpu]",
        "must be a quantity that is not negative",
    ),
    _model(
        "a fractional number as a quantity",
        {"spec/resources/requests": {"cpu": 0.5}},
        "spec.resources.requests.cpu",
        "must be of type",
    ),
    _model(
        "a resource that no container has",
        {"spec/resources/requests": {"memroy": "1Gi"}},
        "spec.resources.requests",
        "resources may name cpu, memory",
    ),
    _model(
        "Fixed without a configuration",
        {"spec/batching": {"mode": "Fixed"}},
        "spec.batching",
        "batching.initial must be set with mode Fixed",
    ),
    _model(
        "a warm start of what is not tuned",
        {
            "spec/batching": {
                "mode": "Fixed",
                "initial": {"maxBatchSize": 8},
                "warmStart": "Benchmark",
            }
        },
        "spec.batching",
        "needs mode Auto or Recommend with algorithm Guarded",
    ),
    _model(
        "a warm start of an algorithm without service times",
        {"spec/batching": {"algorithm": "Trend", "warmStart": "Benchmark"}},
        "spec.batching",
        "set warmStart to Never",
    ),
    _model(
        "an unknown mode",
        {"spec/batching": {"mode": "Manual"}},
        "spec.batching.mode",
        'supported values: "Auto", "Recommend", "Fixed"',
    ),
    _model(
        "batch size limits the wrong way round",
        {_BATCH: {"min": 16, "max": 8}},
        "spec.batching.limits.maxBatchSize.min",
        "lower min or raise max",
    ),
    _model(
        "a least batch size above the default maximum",
        {_BATCH: {"min": 128}},
        "spec.batching.limits.maxBatchSize.min",
        "lower min or raise max",
    ),
    _model(
        "queue delay limits the wrong way round",
        {"spec/batching/limits/maxQueueDelayMicroseconds": {"min": 100, "max": 10}},
        "spec.batching.limits.maxQueueDelayMicroseconds.min",
        "lower min or raise max",
    ),
    _model(
        "instance limits the wrong way round",
        {"spec/batching/limits/instances": {"min": 3, "max": 2}},
        "spec.batching.limits.instances.min",
        "lower min or raise max",
    ),
    _model(
        "an initial batch size beyond the limits",
        {"spec/batching/initial": {"maxBatchSize": 65}},
        "spec.batching.initial.maxBatchSize",
        "change initial or widen the limits",
    ),
    _model(
        "an initial queue delay beyond the limits",
        {"spec/batching/initial": {"maxBatchSize": 8, "maxQueueDelayMicroseconds": 20_001}},
        "spec.batching.initial.maxQueueDelayMicroseconds",
        "change initial or widen the limits",
    ),
    _model(
        "initial instances beyond the limits",
        {"spec/batching/initial": {"maxBatchSize": 8, "instances": 5}},
        "spec.batching.initial.instances",
        "change initial or widen the limits",
    ),
    _model(
        "an initial preferred size beyond the bound",
        {"spec/batching/initial": {"maxBatchSize": 8, "preferredBatchSize": [4, 9]}},
        "spec.batching.initial.preferredBatchSize",
        "remove the larger sizes or raise maxBatchSize",
    ),
    _model(
        "initial preferred sizes out of order",
        {"spec/batching/initial": {"maxBatchSize": 8, "preferredBatchSize": [8, 4]}},
        "spec.batching.initial.preferredBatchSize",
        "must be ascending, each size once",
    ),
    _model(
        "an initial preferred size twice",
        {"spec/batching/initial": {"maxBatchSize": 8, "preferredBatchSize": [4, 4]}},
        "spec.batching.initial.preferredBatchSize",
        "must be ascending, each size once",
    ),
    _bound(
        "spec/batching/initial",
        {"maxBatchSize": 64, "preferredBatchSize": [*range(1, 66)]},
        "must have at most 64 items",
    ),
    _bound(
        "spec/batching/initial",
        {"maxBatchSize": 8, "defaultTimeoutMicroseconds": -1},
        "greater than or equal to 0",
    ),
    _model(
        "an unknown way out of overload",
        {"spec/batching/onOverload": "Drop"},
        "spec.batching.onOverload",
        'supported values: "Queue", "Reject"',
    ),
    _model(
        "an unknown preference",
        {"spec/batching/prefer": "Speed"},
        "spec.batching.prefer",
        'supported values: "Economy", "Latency"',
    ),
    _bound("spec/batching/initial", {"maxBatchSize": 0}, "greater than or equal to 1"),
    _bound("spec/batching/step", 0, "greater than or equal to 1"),
    _bound("spec/batching/trend/samples", 2, "greater than or equal to 3"),
    _bound("spec/batching/guardrails/maxReloadsPerHour", 121, "less than or equal to 120"),
    _model(
        "a window that must end before it may",
        {"spec/batching/window": {"minSeconds": 60, "maxSeconds": 30}},
        "spec.batching.window.minSeconds",
        "lower minSeconds or raise maxSeconds",
    ),
    _model(
        "a misspelt field",
        {"spec/bacthing": {"mode": "Auto"}},
        "spec.bacthing",
        "unknown field",
    ),
    *(
        _model(title, {f"spec/pod/{change}": value}, f"spec.pod.{path}", words)
        for title, change, value, path, words in POD
    ),
)


def _of_runtimes_pods(title: str, change: str, value: object, path: str, words: str) -> Case:
    return Case(title, {f"spec/pod/{change}": value}, f"spec.pod.{path}", words, RUNTIME)


def _runtime(title: str, change: dict[str, Any], path: str, words: str) -> Case:
    prefix = "spec/processors/0/"
    return Case(
        title,
        {f"{prefix}{key}": value for key, value in change.items()},
        f"spec.processors[0]{path}",
        words,
        RUNTIME,
    )


_GPU = RUNTIME["spec"]["processors"][0]
RUNTIMES: Final = (
    *(_of_runtimes_pods(*each) for each in POD if not each[1].startswith("env")),
    Case(
        "two entries for one class",
        {"spec/processors": [_GPU, _GPU]},
        "spec.processors[1]",
        'Duplicate value: {"class":"gpu"}',
        RUNTIME,
    ),
    Case("no processors", {"spec/processors": []}, "spec.processors", "at least 1 items", RUNTIME),
    Case(
        "a runtime's name with dots",
        {"metadata/name": "triton.v2"},
        "metadata.name",
        "lower-case letters, digits and '-'",
        RUNTIME,
    ),
    Case(
        "a reference model in S3",
        {"spec/benchmark": {"model": {**MODEL["spec"]["model"], "storageUri": "s3://bucket/x"}}},
        "spec.benchmark.model.storageUri",
        "it is mounted, not fetched",
        RUNTIME,
    ),
    _runtime("no image", {"image": ""}, ".image", "at least 1"),
    _runtime("an image with spaces", {"image": "a b"}, ".image", "must be an image reference"),
    _runtime(
        "an unknown format",
        {"backends": {"onxx": "x"}},
        ".backends",
        "unknown key: use onnx, tensorrt",
    ),
    _runtime("no backends", {"backends": {}}, ".backends", "at least 1"),
    _runtime(
        "a device without a domain",
        {"resourceName": "gpu"},
        ".resourceName",
        "leave it out for CPUs",
    ),
    _runtime(
        "a drain library that is not an absolute path",
        {"drain": {"library": "drain.so"}},
        ".drain.library",
        "must be the absolute path of a file",
    ),
    _runtime(
        "a connection that is renewed all the time",
        {"drain": {"grpcConnectionAgeSeconds": 0}},
        ".drain.grpcConnectionAgeSeconds",
        "should be greater than or equal to 1",
    ),
    _runtime("a live cap without a library", {"liveCap": {}}, ".liveCap.library", "Required value"),
    _runtime(
        "a live cap with a relative path",
        {"liveCap": {"library": "lib/batchstrategy.so"}},
        ".liveCap.library",
        "must be the absolute path of a file",
    ),
    _runtime(
        "a live cap with a path that climbs",
        {"liveCap": {"library": "/lib/../batchstrategy.so"}},
        ".liveCap.library",
        "must be the absolute path of a file",
    ),
    _runtime(
        "a live cap from an image with spaces",
        {"liveCap": {"library": "/lib.so", "image": "a b"}},
        ".liveCap.image",
        "must be an image reference",
    ),
    _runtime("an unknown kind", {"instanceKind": "GPU"}, ".instanceKind", '"KIND_AUTO"'),
    _runtime(
        "an argument that Ferryman sets",
        {"args": ["--model-control-mode=poll"]},
        ".args[0]",
        "Ferryman sets this argument of tritonserver itself: remove it",
    ),
    _runtime(
        "a variable of Ferryman's own",
        {"env": [{"name": "FERRYMAN_CONTROL_KEY", "value": "x"}]},
        ".env[0].name",
        "choose another",
    ),
    _runtime(
        "a variable's name with a hyphen",
        {"env": [{"name": "MY-VAR"}]},
        ".env[0].name",
        "letters, digits and '_'",
    ),
    _runtime(
        "a variable twice",
        {"env": [{"name": "A"}, {"name": "A"}]},
        ".env[1]",
        'Duplicate value: {"name":"A"}',
    ),
    _runtime(
        "a quantity without a number",
        {"resources": {"limits": {"memory": "Gi"}}},
        ".resources.limits[memory]",
        "for example 500m, 2 or 4Gi",
    ),
)


def _pipeline(title: str, path: str, value: object, words: str, at: str = "") -> Case:
    dotted = re.sub(r"/([0-9]+)", r"[\1]", path).replace("/", ".")
    return Case(title, {f"spec/{path}": value}, f"spec.{at or dotted}", words, PIPELINE)


def _wire(title: str, wire: str, words: str = "must be STEP.TENSOR") -> Case:
    return _pipeline(title, "steps/1/inputMap", {"x": wire}, words, "steps[1].inputMap[x]")


def _accuracy(title: str, figure: object, words: str = "a decimal from 0 to 1 in quotes") -> Case:
    return _pipeline(title, "accuracyFloor", figure, words)


def _step(title: str, change: dict[str, Any], at: str, words: str) -> Case:
    changes = {f"spec/steps/0/{path}": value for path, value in change.items()}
    return Case(title, changes, f"spec.steps[0]{at}", words, PIPELINE)


_INPUT = PIPELINE["spec"]["inputs"][0]
_STEP = PIPELINE["spec"]["steps"][0]
_INT8 = {"name": "int8", "storageUri": "pvc://models/int8", "accuracy": "0.97"}
PIPELINES: Final = (
    Case(
        "a pipeline's name that begins with a digit",
        {"metadata/name": "3d"},
        "metadata.name",
        "because a Service is named after it",
        PIPELINE,
    ),
    _step(
        "a step of two models",
        {"modelRef": {"name": "other"}},
        "",
        "exactly one of model (its files) and modelRef",
    ),
    _step("a step without a model", {"model": ABSENT}, "", "add one or remove the other"),
    _step("a step in capitals", {"name": "Detect"}, ".name", "must be a step's name"),
    _step("a step with a dot", {"name": "de.tect"}, ".name", "must be a step's name"),
    _step("a step of 41 characters", {"name": "a" * 41}, ".name", "may not be more than 40"),
    _step("a step that reads nothing", {"inputMap": {}}, ".inputMap", "at least 1"),
    _step("a step without a map", {"inputMap": ABSENT}, ".inputMap", "Required value"),
    _step(
        "a step's overlay that renames its model",
        {"model/config": {"name": "other"}},
        ".model.config",
        "config must not set name",
    ),
    _step(
        "a variant twice", {"variants": [_INT8, _INT8]}, ".variants[1]", 'value: {"name":"int8"}'
    ),
    _step(
        "a variant of no known accuracy",
        {"variants": [{key: _INT8[key] for key in ("name", "storageUri")}]},
        ".variants[0].accuracy",
        "Required value",
    ),
    _step(
        "a variant in per cent",
        {"variants": [_INT8 | {"accuracy": "97%"}]},
        ".variants[0].accuracy",
        "must be a decimal from 0 to 1 in quotes",
    ),
    _step(
        "a variant's speed in words",
        {"variants": [_INT8 | {"speeds": [{"processor": "cpu", "speedup": "fast"}]}]},
        ".variants[0].speeds[0].speedup",
        "must be a decimal in quotes",
    ),
    _step(
        "a variant's speed on one class twice",
        {"variants": [_INT8 | {"speeds": [{"processor": "cpu", "speedup": "2"}] * 2}]},
        ".variants[0].speeds[1]",
        'value: {"processor":"cpu"}',
    ),
    _step(
        "a variant on an FTP server",
        {"variants": [_INT8 | {"storageUri": "ftp://bucket/x"}]},
        ".variants[0].storageUri",
        _USE,
    ),
    _step(
        "a step on several devices with two instances at least",
        {"parallelism": {"devices": 4}, "limits": {"instances": {"min": 2, "max": 4}}},
        ".limits.instances.min",
        "with several devices a step has one instance in each pod: set limits.instances.min to 1",
    ),
    _step(
        "a step on several devices that begins with two instances",
        {"parallelism": {"devices": 4}, "initial": {"instances": 2}},
        ".initial.instances",
        "with several devices a step has one instance in each pod: set initial.instances to 1",
    ),
    _step("no instances", {"initial": {"instances": 0}}, ".initial.instances", "equal to 1"),
    _step("65 instances", {"initial": {"instances": 65}}, ".initial.instances", "equal to 64"),
    _step(
        "a step's limits in the wrong order",
        {"limits": {"instances": {"min": 5, "max": 2}}},
        ".limits.instances.min",
        "limits.instances.min must not exceed limits.instances.max",
    ),
    _step(
        "more instances than the step's limits",
        {"initial": {"instances": 5}, "limits": {"instances": {"max": 2}}},
        ".initial.instances",
        "within the step's limits.instances: change initial or widen",
    ),
    _step(
        "larger batches than the step's limits",
        {"initial": {"maxBatchSize": 5}, "limits": {"maxBatchSize": {"max": 2}}},
        ".initial.maxBatchSize",
        "within the step's limits.maxBatchSize: change initial or widen",
    ),
    Case(
        "more instances than the pipeline's limits",
        {"spec/steps/0/initial": {"instances": 5}},
        "spec.steps",
        "initial.instances must lie within balancing.limits.instances",
        PIPELINE,
    ),
    Case(
        "larger batches than the pipeline's limits",
        {"spec/steps/0/initial": {"maxBatchSize": 65}},
        "spec.steps",
        "initial.maxBatchSize must lie within balancing.limits.maxBatchSize",
        PIPELINE,
    ),
    _step(
        "a processor class in capitals",
        {"placement": {"processors": ["GPU"]}},
        ".placement.processors[0]",
        "must be a processor class",
    ),
    _pipeline(
        "two steps of one name", "steps", [_STEP, _STEP], 'value: {"name":"detect"}', "steps[1]"
    ),
    _pipeline("no steps", "steps", [], "at least 1"),
    _pipeline(
        "33 steps", "steps", [_STEP | {"name": f"s{n}"} for n in range(33)], "at most 32 items"
    ),
    _pipeline("an input twice", "inputs", [_INPUT, _INPUT], 'value: {"name":"image"}', "inputs[1]"),
    _pipeline("no inputs", "inputs", [], "at least 1"),
    _pipeline("an input with a dot", "inputs/0/name", "a.b", "must be a tensor's name"),
    _pipeline("an input of Triton's type", "inputs/0/datatype", "TYPE_UINT8", "supported values"),
    _pipeline("an input of no size", "inputs/0/shape", [0, 3], "a size of at least 1, or -1"),
    _pipeline(
        "a size of -2", "inputs/0/shape", [-2], "greater than or equal to -1", "inputs[0].shape[0]"
    ),
    _pipeline("an input without dimensions", "inputs/0/shape", [], "at least 1"),
    _pipeline("no outputs", "outputs", [], "at least 1"),
    _pipeline(
        "an output from nowhere", "outputs/0/from", "image", "the output of one of the steps"
    ),
    _pipeline("an output with a dot", "outputs/0/name", "a.b", "must be a tensor's name"),
    _wire("a wire with a space", "detect. y"),
    _wire("a wire without a tensor", "detect."),
    _wire("a wire without a step", ".y"),
    _wire("a wire to a step in capitals", "Detect.y"),
    _wire("an empty wire", ""),
    _accuracy("an accuracy in per cent", "95%"),
    _accuracy("an accuracy over 1", "1.01"),
    _accuracy("an accuracy below 0", "-0.5"),
    _accuracy("an accuracy without a leading 0", ".95"),
    _accuracy("an accuracy of seven digits", "0.1234567", "may not be more than 8"),
    _accuracy("an accuracy that is a number", 0.95, "must be of type string"),
    _pipeline(
        "an unknown execution",
        "execution",
        {"mode": "Remote"},
        "supported values",
        "execution.mode",
    ),
    _pipeline(
        "an unknown balancing", "balancing", {"mode": "Even"}, "supported values", "balancing.mode"
    ),
    _pipeline(
        "what is fixed is not said",
        "balancing",
        {"mode": "Fixed"},
        "add steps[].initial.instances, or choose mode Auto",
        "balancing.mode",
    ),
    _pipeline(
        "a window in the wrong order",
        "balancing",
        {"window": {"minSeconds": 60}},
        "window.minSeconds must not exceed window.maxSeconds",
        "balancing.window.minSeconds",
    ),
    _pipeline(
        "a pipeline that is to be moved",
        "placement",
        {"policy": "Cheapest", "rebalance": {"mode": "Auto"}},
        "remove placement.rebalance",
        "placement.rebalance.mode",
    ),
    _pipeline("no objective", "objectives", {}, "objectives must state at least one"),
    _pipeline("1,001 replicas", "replicas", 1001, "less than or equal to 1000"),
)


def _profile(title: str, path: str, value: object, words: str) -> Case:
    dotted = path.replace("/0", "[0]").replace("/", ".")
    return Case(title, {f"status/{path}": value}, f"status.{dotted}", words, PROFILE)


def _point(title: str, key: str, value: object, words: str) -> Case:
    return _profile(title, f"benchmarks/0/points/0/{key}", value, words)


_BENCHMARK = PROFILE["status"]["benchmarks"][0]
PROFILES: Final = (
    _point("no throughput", "imagesPerSecond", 0, "should be greater than 0"),
    _point("a negative throughput", "imagesPerSecond", -1, "should be greater than 0"),
    _point("a huge throughput", "imagesPerSecond", 1e308, "less than or equal to 1e+07"),
    _point("no latency", "latencyP99Milliseconds", 0, "should be greater than 0"),
    _point("a huge latency", "latencyP50Milliseconds", 1e308, "less than or equal to 1e+07"),
    _point("a batch of none", "batchSize", 0, "greater than or equal to 1"),
    _point("half a batch", "batchSize", 1.5, "must be of type integer"),
    _point("an end of no kind", "ended", "Bored", "supported values"),
    _point("a negative interval", "imagesPerSecondHalfWidth", -1, "greater than or equal to 0"),
    _profile("an endless driver", "benchmarks/0/driver", "5" * 129, "may not be more than 128"),
    _profile("utilisation over 1", "processors/0/utilisation", 1.01, "less than or equal to 1"),
    _profile("utilisation below 0", "processors/0/utilisation", -0.1, "greater than or equal to 0"),
    _profile("utilisation 1e308", "processors/0/utilisation", 1e308, "less than or equal to 1"),
    _profile("no processors of a class", "processors/0/count", 0, "greater than or equal to 1"),
    _profile("memory below 0", "processors/0/memoryBytes", -1, "greater than or equal to 0"),
    _profile("a node without CPU", "hardware/cpuMillicores", 0, "greater than or equal to 1"),
    _profile("a time in words", "heartbeatTime", "yesterday", "must be of type date-time"),
    _profile("a long product", "processors/0/product", LONG, "may not be more than 256"),
    _profile("a node type that no label holds", "nodeType", "gpu h200", "as a label's value"),
    Case(
        "two tables for one class and runtime",
        {"status/benchmarks": [_BENCHMARK, _BENCHMARK]},
        "status.benchmarks[1]",
        'Duplicate value: {"class":"gpu","runtime":"triton"}',
        PROFILE,
    ),
)

#: Storage URIs that must be accepted.
GOOD_URIS: Final = (
    "oci://resnet50",
    "oci://localhost:5000/resnet50",
    "oci://Registry.Example:443/team/models/resnet50:1.0_b-2",
    f"oci://registry.example/models/resnet50@{_DIGEST}",
    f"oci://registry.example/models/resnet50:1@{_DIGEST}",
    "pvc://models",
    "pvc://models/",
    "pvc://models/vision/resnet50",
    "pvc://models.team-a/ResNet_50/v1.0@x..y",
)
