"""Install Ferryman as users do, and take it away again: what the demo and the tests share."""

import json
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import yaml

from hack import images
from hack.cluster import Cluster, binaries
from hack.cluster.shell import run
from hack.manifests import NAMESPACE, ROOT

T = TypeVar("T")

RELEASE = "ferryman"
_OPERATOR = "ferryman-operator"
#: What README and quick start have people type after `helm install`; a test compares them.
CHART_ARGUMENTS = f"{RELEASE} charts/ferryman --namespace {NAMESPACE} --create-namespace"
#: What it adds for a cluster on this machine.
LOCAL_VALUES = "--values charts/ferryman/values-local.yaml"
INSTALL_TIMEOUT_S = 300
BENCHMARK_TIMEOUT_S = 600


def model_uri(name: str) -> str:
    """Return where a cluster finds a model that `make images` built.

    A given context finds its copies under ``FERRYMAN_MODELS``, for example oci://REGISTRY/models.
    """
    return f"{os.environ.get('FERRYMAN_MODELS', 'oci://ferryman.dev/models')}/{name}:1"


def load_images(cluster: Cluster, *names: str) -> None:
    """Build images and load them into the cluster's nodes; given contexts pull theirs.

    Without names (or groups of them) those that every use of the cluster needs.
    """
    if not cluster.kind:
        return
    for archive in images.build(*(names or ("cluster",))).values():
        cluster.load_archive(archive)


def install(cluster: Cluster, *values: str) -> None:
    """Install the chart by the pages' command (or upgrade by its like) and wait until it runs.

    A given context takes its images from ``FERRYMAN_VALUES`` (a Helm values file).
    Raises ClusterError with Helm's or kubectl's words when that does not succeed in time.
    """
    there = _is_installed(cluster)
    how = ("upgrade", "--install") if there else ("install",)
    settings = [f"--set={value}" for value in values]
    helm(cluster, *how, *shlex.split(CHART_ARGUMENTS), *_values(cluster), *settings)
    # The tag of a loaded image stays the same, whatever it stands for now.
    _await_workloads(cluster, restart=there and cluster.kind)


def _values(cluster: Cluster) -> list[str]:
    if cluster.kind:
        return shlex.split(LOCAL_VALUES)
    return [f"--values={file}"] if (file := os.environ.get("FERRYMAN_VALUES")) else []


def _is_installed(cluster: Cluster) -> bool:
    where = (f"--namespace={NAMESPACE}", f"--selector=owner=helm,name={RELEASE}")
    return bool(cluster.kubectl("get", "secrets", *where, "--output=name").strip())


def _await_workloads(cluster: Cluster, *, restart: bool) -> None:
    where = f"--namespace={NAMESPACE}"
    for workload in (f"deployment/{_OPERATOR}", "daemonset/ferryman-agent"):
        if restart:
            cluster.kubectl("rollout", "restart", workload, where)
        cluster.kubectl("rollout", "status", workload, where, timeout_s=INSTALL_TIMEOUT_S)


def uninstall(cluster: Cluster) -> None:
    """Remove the release; the CRDs, and with them all InferenceModels, stay."""
    where = f"--namespace={NAMESPACE}"
    helm(cluster, "uninstall", RELEASE, where, "--wait", "--ignore-not-found", "--timeout=120s")


def helm(cluster: Cluster, *arguments: str) -> str:
    """Run Helm against the cluster, in the repository, and return what it printed."""
    program = binaries.ensure("helm")["helm"]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    return run(program, *arguments, env=environment, cwd=ROOT, timeout_s=INSTALL_TIMEOUT_S)


def apply(cluster: Cluster, *objects: dict[str, Any], namespace: str | None = None) -> None:
    """Apply objects as a user would, with kubectl; raises ClusterError with its refusal."""
    kubectl = binaries.ensure("kubectl")["kubectl"]
    where = [f"--namespace={namespace}"] if namespace else []
    how = ["apply", "--server-side", "--field-manager=user", *where, "-f", "-"]
    run(kubectl, f"--kubeconfig={cluster.kubeconfig}", *how, stdin=yaml.safe_dump_all(objects))


def delete(cluster: Cluster, *objects: dict[str, Any]) -> None:
    """Delete objects and wait until they are gone."""
    kubectl = binaries.ensure("kubectl")["kubectl"]
    how = ["delete", "--ignore-not-found", "--wait", "-f", "-"]
    text = yaml.safe_dump_all(objects)
    run(kubectl, f"--kubeconfig={cluster.kubeconfig}", *how, stdin=text, timeout_s=180)


def get(
    cluster: Cluster, kind: str, name: str = "", namespace: str | None = None
) -> dict[str, Any]:
    """Return one object, or with no name the list of all."""
    where = [f"--namespace={namespace}"] if namespace else []
    found: dict[str, Any] = json.loads(
        cluster.kubectl("get", kind, *([name] if name else []), *where, "-o", "json")
    )
    return found


def wait_for(
    what: str,
    look: Callable[[], T | None],
    *,
    timeout_s: float,
    period_s: float = 1.0,
    explain: Callable[[], str] = lambda: "",
) -> T:
    """Look again and again until something is there and return it.

    Raises TimeoutError naming what was waited for, with what ``explain`` has to say.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s\n{explain()}")
        time.sleep(period_s)


def condition(model: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """Return one condition of an object, or None."""
    conditions: Sequence[dict[str, Any]] = model.get("status", {}).get("conditions", [])
    return next((entry for entry in conditions if entry["type"] == kind), None)


def peak(table: Mapping[str, Any]) -> float:
    """Return a load performance table's images per second at its best batch size."""
    return max(float(point["imagesPerSecond"]) for point in table["points"])


def benchmarked_nodes(cluster: Cluster, runtime: str = "triton-cpu") -> dict[str, float]:
    """Return the measured images per second at the peak, by node."""
    profiles = get(cluster, "nodeprofiles")["items"]
    return {
        profile["metadata"]["name"]: peak(table)
        for profile in profiles
        for table in profile.get("status", {}).get("benchmarks", [])
        if table["runtime"] == runtime and table.get("points")
    }


def wait_for_benchmarks(cluster: Cluster) -> dict[str, float]:
    """Wait until every worker has its benchmark; return peak images per second by node."""

    def measured() -> dict[str, float] | None:
        peaks = benchmarked_nodes(cluster)
        return peaks if set(cluster.nodes) <= set(peaks) else None

    return wait_for(
        "the benchmark of every node",
        measured,
        timeout_s=BENCHMARK_TIMEOUT_S,
        period_s=3,
        explain=lambda: cluster.kubectl("get", "nodeprofiles,jobs,pods", "-A", "-o", "wide"),
    )
