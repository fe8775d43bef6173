"""Pipelines of steps that sleep, and how to look at them."""

from typing import Any

from hack import installation
from hack.cluster import Cluster
from tests.e2e import models

TENSOR = {"data_type": "TYPE_FP32", "dims": [1]}


def sleeping(milliseconds: float) -> dict[str, Any]:
    """Return a model that sleeps for so long, whatever the batch."""
    takes = {"fixed_us": round(milliseconds * 1000), "per_item_us": 0}
    return {
        "storageUri": installation.model_uri("sleeper"),
        "modelFormat": {"name": "python"},
        "config": {
            "input": [{"name": "input", **TENSOR}],
            "output": [{"name": "output", **TENSOR}],
            "parameters": {key: {"string_value": str(us)} for key, us in takes.items()},
        },
    }


def get(cluster: Cluster, name: str) -> dict[str, Any]:
    """Return the InferencePipeline as it is now."""
    return installation.get(cluster, "inferencepipeline", name, models.NAMESPACE)


def condition(cluster: Cluster, name: str, kind: str) -> dict[str, Any]:
    """Return one condition of a pipeline; empty before it is there."""
    return installation.condition(get(cluster, name), kind) or {}


def describe(cluster: Cluster, name: str) -> str:
    """Return what a person would look at."""
    where = f"--namespace={models.NAMESPACE}"
    return "\n".join(
        (
            cluster.kubectl("get", "inferencepipeline", name, where, "-o", "yaml"),
            cluster.kubectl("get", "pods,events", where, "-o", "wide"),
            cluster.kubectl(
                "logs", "--namespace=ferryman-system", "deploy/ferryman-operator", "--tail=30"
            ),
        )
    )


def wait_ready(cluster: Cluster, name: str) -> None:
    """Wait until a pipeline is Ready."""
    installation.wait_for(
        f"{name}: Ready",
        lambda: condition(cluster, name, "Ready").get("status") == "True",
        timeout_s=models.READY_TIMEOUT_S,
        explain=lambda: describe(cluster, name),
    )
