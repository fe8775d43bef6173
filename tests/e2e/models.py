"""Models as users write them, and how to wait for what becomes of them."""

from typing import Any

from ferryman.api.names import API_VERSION
from hack import installation
from hack.cluster import Cluster
from hack.demo import scenario

NAMESPACE = "ferryman-e2e"
READY_TIMEOUT_S = 180

#: Guardrails and windows shortened, so that a test sees in seconds what takes minutes.
QUICK = {
    **scenario.QUICK,
    "guardrails": {"minSecondsBetweenReloads": 2, "maxReloadsPerHour": 120},
}


def model(name: str, *, namespace: str = NAMESPACE, uri: str | None = None, **spec: Any) -> dict:
    """Return an InferenceModel that serves digits unless told otherwise."""
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceModel",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {
                "storageUri": uri or installation.model_uri("digits"),
                "modelFormat": {"name": "onnx"},
            },
            "runtimeRef": {"name": "triton-cpu"},
            "objectives": {"latency": {"targetMilliseconds": 100}},
            **spec,
        },
    }


def fixed(bound: int, *, delay_us: int = 0, instances: int = 1) -> dict[str, Any]:
    """Return a batching that stays as it is given."""
    initial = {
        "maxBatchSize": bound,
        "maxQueueDelayMicroseconds": delay_us,
        "instances": instances,
    }
    return {**QUICK, "mode": "Fixed", "initial": initial}


def get(cluster: Cluster, name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    """Return the InferenceModel as it is now."""
    return installation.get(cluster, "inferencemodel", name, namespace)


def pods(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """Return the pods that serve a model."""
    listed = installation.get(cluster, "pods", namespace=NAMESPACE)["items"]
    label = "serving.ferryman.dev/model"
    return [pod for pod in listed if pod["metadata"]["labels"].get(label) == name]


def condition(cluster: Cluster, name: str, kind: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    """Return one condition of a model; empty before it is there."""
    return installation.condition(get(cluster, name, namespace), kind) or {}


def describe(cluster: Cluster, name: str, namespace: str = NAMESPACE) -> str:
    """Return what a person would look at."""
    where = f"--namespace={namespace}"
    return "\n".join(
        (
            cluster.kubectl("describe", "inferencemodel", name, where),
            cluster.kubectl("get", "pods,events", where, "-o", "wide"),
            cluster.kubectl(
                "logs", "--namespace=ferryman-system", "deploy/ferryman-operator", "--tail=30"
            ),
        )
    )


def wait_condition(
    cluster: Cluster,
    name: str,
    kind: str,
    *,
    status: str,
    reason: str | None = None,
    namespace: str = NAMESPACE,
    timeout_s: float = READY_TIMEOUT_S,
) -> dict[str, Any]:
    """Wait until a condition is as expected, of the current generation, and return it."""

    def reached() -> dict[str, Any] | None:
        seen = get(cluster, name, namespace)
        found = installation.condition(seen, kind)
        if not found or found["observedGeneration"] != seen["metadata"]["generation"]:
            return None
        right = found["status"] == status and reason in (None, found["reason"])
        return found if right else None

    return installation.wait_for(
        f"{name}: {kind}={status} {reason or ''}",
        reached,
        timeout_s=timeout_s,
        explain=lambda: describe(cluster, name, namespace),
    )


def wait_ready(cluster: Cluster, name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    """Wait until a model is Ready and return it."""
    wait_condition(cluster, name, "Ready", status="True", namespace=namespace)
    return get(cluster, name, namespace)


def wait_applied(cluster: Cluster, name: str, bound: int, timeout_s: float = 60) -> dict[str, Any]:
    """Wait until a batch size bound is in force and return the model."""

    def applied() -> dict[str, Any] | None:
        seen = get(cluster, name)
        now = seen["status"].get("batching", {}).get("applied", {}).get("maxBatchSize")
        return seen if now == bound else None

    return installation.wait_for(
        f"{name}: max_batch_size {bound}",
        applied,
        timeout_s=timeout_s,
        period_s=0.3,
        explain=lambda: describe(cluster, name),
    )
