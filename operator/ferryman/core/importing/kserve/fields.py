"""The fields of an InferenceService: which are read, and what to do instead of the others.

As of KServe 0.20 (pkg/apis/serving/v1beta1 of kserve/kserve). A field that stands in neither table
is said to be left out, too: nothing is dropped in silence.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from ferryman.core.importing.outcome import LeftOut

#: In the tables also for a framework's own field of old, such as ``predictor.onnx``.
_MODEL: Final = "model"
_PREDICTOR: Final = "spec.predictor"

#: Read, with all that is below; and what the API server or KServe itself writes.
_READ: Final = frozenset(
    {
        *("apiVersion", "kind", "status"),
        *(f"metadata.{key}" for key in ("name", "namespace", "labels", "annotations")),
        *(f"metadata.{key}" for key in ("uid", "resourceVersion", "generation", "managedFields")),
        *(f"metadata.{key}" for key in ("creationTimestamp", "finalizers", "selfLink")),
        *(f"{_PREDICTOR}.{key}" for key in ("minReplicas", "maxReplicas", "labels", "annotations")),
        *(f"{_PREDICTOR}.{key}" for key in ("nodeSelector", "tolerations", "serviceAccountName")),
        *(f"{_PREDICTOR}.{key}" for key in ("imagePullSecrets", "priorityClassName", "affinity")),
        *(f"{_PREDICTOR}.{key}" for key in ("securityContext", "hostUsers")),
        *(f"{_PREDICTOR}.model.{key}" for key in ("name", "storageUri", "resources", "env")),
        *(f"{_PREDICTOR}.model.{key}" for key in ("protocolVersion", "runtime", "storage")),
        f"{_PREDICTOR}.model.modelFormat.name",
    }
)
_NO_SPLIT: Final = "Ferryman splits no traffic: keep KServe where you need it"
_OF_RUNTIME: Final = "the InferenceRuntime says it for all its models"
_ITSELF: Final = "Ferryman sets it itself, for Triton"
_FOLLOWS: Final = "replicas follow the objectives, and a metric for autoscalers is there"
_NOT_SERVED: Final = "out of scope: keep KServe for it"
_ONE_MODEL: Final = "a pod has one Triton and its model: what else runs there stays outside"
_VOLUMES: Final = "the model's files are mounted by storageUri, and nothing else is"
_SPREAD: Final = "replicas are kept apart over nodes: spec.placement.spread"
#: Said of the field, or of what it begins.
_ADVICE: Final[Mapping[str, str]] = {
    "metadata.ownerReferences": "it belongs to nobody until somebody makes it theirs",
    "metadata.generateName": "state metadata.name",
    "spec.transformer": "it is a step of an InferencePipeline, as a model of format python",
    "spec.explainer": _NOT_SERVED,
    **{
        f"{_PREDICTOR}.{key}": words
        for key, words in {
            "canaryTrafficPercent": _NO_SPLIT,
            "canary": _NO_SPLIT,
            "workerSpec": "a model is on one node: spec.parallelism.devices spreads it over its "
            "devices",
            "batcher": "Triton batches, and what bounds it is tuned: spec.batching",
            "logger": _NOT_SERVED,
            "containerConcurrency": "requests wait in Triton's queue; "
            "spec.batching.onOverload: Reject bounds the wait",
            "timeout": "spec.longestRequestSeconds says how long requests may take, where that is "
            "more than two seconds",
            "scaleTarget": _FOLLOWS,
            "scaleMetric": _FOLLOWS,
            "scaleMetricType": _FOLLOWS,
            "autoScaling": _FOLLOWS,
            "deploymentStrategy": "old pods serve until new ones are ready, always",
            "containers": _ONE_MODEL,
            "initContainers": _ONE_MODEL,
            "volumes": _VOLUMES,
            "topologySpreadConstraints": _SPREAD,
            "schedulerName": "kube-scheduler binds the pods",
            "runtimeClassName": "the chart's runtimeClassName says it for GPUs",
            "terminationGracePeriodSeconds": "spec.longestRequestSeconds decides it",
            "hostNetwork": "serving pods have a network of their own, always",
            "hostIPC": "serving pods share nothing with the node",
            "hostPID": "serving pods share nothing with the node",
            "automountServiceAccountToken": "the token is never mounted",
        }.items()
    },
    **{
        f"{_PREDICTOR}.model.{key}": words
        for key, words in {
            "modelFormat.version": "the model's files say it",
            "runtimeVersion": f"the image's version: {_OF_RUNTIME}",
            "storageUris": "a model has one storageUri: put its files in one place",
            "args": f"arguments of the server: {_OF_RUNTIME}; what is Triton's own of the model "
            "goes into spec.model.config",
            "command": _ITSELF,
            "image": _OF_RUNTIME,
            "imagePullPolicy": _OF_RUNTIME,
            "ports": _ITSELF,
            "envFrom": "variables are literal: state them in spec.pod.env",
            "volumeMounts": _VOLUMES,
            "livenessProbe": _ITSELF,
            "readinessProbe": _ITSELF,
            "startupProbe": _ITSELF,
            "lifecycle": _ITSELF,
            "securityContext": "the container is locked down: spec.pod.securityContext says who it "
            "runs as",
            "workingDir": _ITSELF,
        }.items()
    },
}
_UNKNOWN: Final = "Ferryman has nothing of the kind"
_INSIDE: Final = frozenset(
    path.rsplit(".", up)[0] for path in (*_READ, *_ADVICE) for up in range(1, path.count(".") + 1)
)


def left_out(service: Mapping[str, object], framework: str) -> Iterator[LeftOut]:
    """Yield every field that is not read; ``framework`` is the predictor's field of the model."""
    yield from _below(service, "", "", framework)


def _below(
    value: Mapping[str, object], known: str, shown: str, framework: str
) -> Iterator[LeftOut]:
    for key, inner in value.items():
        name = str(key)
        step = _MODEL if known == _PREDICTOR and name == framework else name
        path, said = f"{known}.{step}".lstrip("."), f"{shown}.{name}".lstrip(".")
        if path in _READ or inner is None:
            continue
        if path in _ADVICE:
            yield LeftOut(said, _ADVICE[path])
        elif path in _INSIDE and isinstance(inner, Mapping):
            yield from _below(inner, path, said, framework)
        else:
            yield LeftOut(said, _UNKNOWN)
