"""The Job that measures a node type: Triton with the reference model, our client beside it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any, Final

from pydantic import TypeAdapter

from ferryman.api import names, quantity
from ferryman.api.inference_runtime import InferenceRuntime, ReferenceBenchmark, RuntimeProcessor
from ferryman.core.benchmark.schedule import CLIENT_MIB, CLIENT_MILLICORES, Measurement
from ferryman.core.fetching.task import is_fetched
from ferryman.core.manifests import Manifest
from ferryman.core.render import pod, settings
from ferryman.core.render.slots import ServedModel

#: Carries the measurement as JSON: what the Job's result belongs to.
ANNOTATION_MEASUREMENT: Final = f"{names.GROUP}/measurement"
_MEASUREMENT: Final = TypeAdapter(Measurement)
#: The reference model's name inside Triton.
MODEL_NAME: Final = "reference"
CONTAINER_BENCHMARK: Final = "benchmark"
#: Where the measurement's CPU is bounded, the client's share of it: a tenth, but no more than …
MAX_CLIENT_MILLICORES: Final = 1_000
#: A sidecar of a mesh would keep the Job from ending, and take of what is measured. Istio reads the
#: label, and before 1.10 the annotation.
ISTIO_INJECT: Final[Mapping[str, str]] = {"sidecar.istio.io/inject": "false"}
LINKERD_INJECT: Final[Mapping[str, str]] = {"linkerd.io/inject": "disabled"}
#: Pulling Triton's image and the model may take this much longer than measuring.
PULL_SLACK_S: Final = 900
#: A finished Job stays so long for a person to look at it.
KEEP_FINISHED_S: Final = 3600


def job(
    measurement: Measurement,
    runtime: InferenceRuntime,
    *,
    namespace: str,
    image: str,
    encode: Callable[[Mapping[str, Any]], str],
) -> Manifest:
    """Return the Job of a measurement; ``image`` is Ferryman's own.

    ``encode`` writes a Triton configuration as protobuf text. Raises ValueError when the
    runtime has no benchmark, does not serve the class or has no backend for the reference
    model on it: ``benchmark_result.failed`` then records why the class is not measured.
    """
    entry, benchmark = runtime.processor(measurement.processor), runtime.spec.benchmark
    if entry is None or benchmark is None:
        raise ValueError(f"runtime {runtime.name} measures nothing on {measurement.processor}")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(measurement),
            "namespace": namespace,
            "labels": _labels(measurement),
            "annotations": {ANNOTATION_MEASUREMENT: json.dumps(asdict(measurement))},
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": benchmark.time_limit_seconds + PULL_SLACK_S,
            "ttlSecondsAfterFinished": KEEP_FINISHED_S,
            "template": {
                "metadata": settings.metadata(
                    runtime.spec.pod,
                    {**_labels(measurement), **ISTIO_INJECT},
                    {**ISTIO_INJECT, **LINKERD_INJECT},
                ),
                "spec": _pod(
                    measurement,
                    entry,
                    benchmark,
                    image=image,
                    pull_policy=runtime.spec.image_pull_policy,
                    config=encode(_config(benchmark, entry)),
                    security=pod.pod_security(runtime.spec.pod.security_context),
                ),
            },
        },
    }


def job_name(measurement: Measurement) -> str:
    """Return a name that is the same for the same subject and image.

    So a second Job of a measurement cannot be created while the first exists.
    """
    identity = "/".join((*measurement.subject, measurement.image))
    return f"ferryman-benchmark-{sha256(identity.encode()).hexdigest()[:12]}"


def describe(manifest: Mapping[str, Any]) -> Measurement:
    """Return the measurement of a Job that ``job`` made. Raises ValueError for any other."""
    metadata = manifest.get("metadata", {})
    text = metadata.get("annotations", {}).get(ANNOTATION_MEASUREMENT, "")
    try:
        return _MEASUREMENT.validate_json(text, strict=True)
    except ValueError as error:
        name = metadata.get("name", "")
        raise ValueError(f"Job {name} has no readable {ANNOTATION_MEASUREMENT}") from error


def _labels(measurement: Measurement) -> dict[str, str]:
    return {
        names.LABEL_NAME: "ferryman",
        names.LABEL_COMPONENT: "benchmark",
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_BENCHMARK: measurement.runtime,
        names.LABEL_NODE_TYPE: measurement.node_type,
    }


def _pod(
    measurement: Measurement,
    entry: RuntimeProcessor,
    benchmark: ReferenceBenchmark,
    *,
    image: str,
    pull_policy: str,
    config: str,
    security: Manifest,
) -> Manifest:
    source = benchmark.model.for_processor(measurement.processor)
    if is_fetched(source.storage_uri):
        raise ValueError(f"the reference model {source.storage_uri} would be fetched, not mounted")
    models = (ServedModel(MODEL_NAME, source.storage_uri),)
    layout = pod.layout_container(models, entry, pull_policy=pull_policy, inline_config=config)
    triton = pod.triton_container(models, entry, pull_policy=pull_policy)
    triton_limit, client_limit = _cpu_limits(measurement.cpu_limit_millicores)
    return {
        "restartPolicy": "Never",
        # It has the installation's pull secrets, and no rights.
        "serviceAccountName": names.SERVICE_ACCOUNT_BENCHMARK,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": security,
        "nodeSelector": {names.LABEL_OS: names.OS},
        "affinity": _only_on(measurement.node),
        **pod.tolerations(entry.tolerations),
        "initContainers": [layout, _bounded(_sidecar(triton), triton_limit)],
        "containers": [_bounded(_client(benchmark, image, pull_policy), client_limit)],
        "volumes": pod.volumes(models, pull_policy=pull_policy),
    }


def _config(benchmark: ReferenceBenchmark, entry: RuntimeProcessor) -> Manifest:
    """Return the reference model's configuration: as for serving, without a queue delay."""
    source = benchmark.model.for_processor(entry.processor_class)
    model_format = source.model_format.name
    if model_format not in entry.backends:
        raise ValueError(f"{entry.processor_class} has no backend for {model_format}")
    return {
        **source.config,
        "name": MODEL_NAME,
        "backend": entry.backends[model_format],
        "max_batch_size": benchmark.max_batch_size,
        "dynamic_batching": {"max_queue_delay_microseconds": 0},
        "instance_group": [{"count": 1, "kind": entry.instance_kind}],
    }


def _sidecar(triton: Manifest) -> Manifest:
    """Return Triton as a native sidecar that listens inside the pod alone.

    Its model control is open, so no other pod may reach it. That rules out the kubelet's
    probes: the client waits for readiness itself.
    """
    left_out = {"startupProbe", "livenessProbe", "readinessProbe", "ports"}
    kept = {key: value for key, value in triton.items() if key not in left_out}
    loopback = [f"--{api}-address=127.0.0.1" for api in ("http", "grpc", "metrics")]
    return {**kept, "args": [*kept["args"], *loopback], "restartPolicy": "Always"}


def _cpu_limits(whole: int) -> tuple[int, int]:
    """Divide what serving models leave (millicores; 0: no bound) between Triton and the client."""
    if not whole:
        return 0, 0
    client = min(MAX_CLIENT_MILLICORES, max(CLIENT_MILLICORES, whole // 10))
    return whole - client, client


def _bounded(container: Manifest, limit: int) -> Manifest:
    """Return the container with a CPU limit in millicores: never below its request.

    A stricter limit of its own stays; 0 bounds nothing.
    """
    resources = container["resources"]
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    if not limit:
        return container
    bound = max(limit, quantity.to_millicores(requests.get("cpu", 0)))
    if "cpu" in limits:
        bound = min(bound, quantity.to_millicores(limits["cpu"]))
    return {**container, "resources": {**resources, "limits": {**limits, "cpu": f"{bound}m"}}}


def _client(benchmark: ReferenceBenchmark, image: str, pull_policy: str) -> Manifest:
    return {
        "name": CONTAINER_BENCHMARK,
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": [
            "agent",
            "benchmark",
            f"--url=127.0.0.1:{names.PORT_HTTP}",
            f"--model={MODEL_NAME}",
            f"--max-batch-size={benchmark.max_batch_size}",
            f"--time-limit-seconds={benchmark.time_limit_seconds}",
        ],
        "resources": {
            "requests": {"cpu": f"{CLIENT_MILLICORES}m", "memory": f"{CLIENT_MIB}Mi"},
            "limits": {"memory": "1Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        # The result is the termination message; of a client that fails, the end of its log.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _only_on(node: str) -> Manifest:
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = [{"matchFields": [field]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"nodeAffinity": required}
