"""Placement at scale: 1,000 simulated nodes, 500 models, and a real operator on a real API server.

``make bench-scale`` starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok
on loopback, creates nodes of eight types with the profiles that agents would write, starts the
operator as its ServiceAccount, waits until it knows the nodes, creates all models at once, and
waits until each is placed and its pods are bound. GPU nodes are tainted, as they are in real
fleets. It fails where placing takes longer than 60 s, where the models of a node type request more
than its nodes have, where models that go by load are piled on one node, or where pods found no
node. Figures go to benchmarks/results and
docs/benchmarks.md. Nothing else should run meanwhile.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from kubernetes import client, config

from benchmarks import common
from ferryman.api import names, quantity
from ferryman.api.resources import INFERENCE_MODEL, INFERENCE_RUNTIME, NODE_PROFILE
from tests.integration.controlplane import ControlPlane
from tests.integration.operator_process import NAMESPACE, Operator, install, now

NAME: Final = "scale"
SEED: Final = 5
PLACED_WITHIN_S: Final = 60.0
GIVE_UP_S: Final = 300.0
#: As large a share of all models on one node is a pile, by a policy that goes by load.
PILED: Final = 0.02
THREADS: Final = 16
POLL_S: Final = 2.0
CPU_IMAGE: Final = "ferryman.dev/triton-cpu:scale"
GPU_IMAGE: Final = "ferryman.dev/triton:scale"
TAINT: Final = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
_HEADER: Final = {"apiVersion": names.API_VERSION}


@dataclass(frozen=True, slots=True)
class Kind:
    """A node type: its share of the nodes, its size and its speed."""

    name: str
    share: float
    cpu: int
    memory_gib: int
    images_per_second: float
    gpus: int = 0


KINDS: Final = (
    Kind("cpu-4", 0.30, 4, 16, 20.0),
    Kind("cpu-8", 0.20, 8, 32, 45.0),
    Kind("cpu-16", 0.15, 16, 64, 80.0),
    Kind("cpu-32", 0.10, 32, 128, 150.0),
    Kind("gpu-t4", 0.10, 8, 32, 900.0, 1),
    Kind("gpu-a10", 0.08, 16, 64, 2_400.0, 2),
    Kind("gpu-l4", 0.05, 16, 64, 1_900.0, 4),
    Kind("gpu-h100", 0.02, 64, 512, 9_000.0, 8),
)


@dataclass(frozen=True, slots=True)
class Size:
    """How many of each."""

    nodes: int = 1_000
    models: int = 500


def nodes(size: Size) -> Iterator[tuple[str, Kind]]:
    """Yield the nodes by name, as many of each type as its share says."""
    counts = [int(size.nodes * kind.share) for kind in KINDS]
    counts[0] += size.nodes - sum(counts)
    for kind, count in zip(KINDS, counts, strict=True):
        for number in range(count):
            yield f"{kind.name}-{number:04}", kind


def node(name: str, kind: Kind) -> dict[str, Any]:
    """Return a Node that kwok takes care of."""
    amounts = {
        "cpu": str(kind.cpu),
        "memory": f"{kind.memory_gib}Gi",
        "pods": "110",
        **({"nvidia.com/gpu": str(kind.gpus)} if kind.gpus else {}),
    }
    labels = {
        "kubernetes.io/hostname": name,
        names.LABEL_OS: names.OS,
        names.LABEL_PRICE: f"{kind.cpu * 0.05:.2f}",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [TAINT]} if kind.gpus else {},
        "status": {"allocatable": amounts, "capacity": amounts},
    }


def profile(kind: Kind, busy: float) -> dict[str, Any]:
    """Return the status that an agent and the benchmarks would have written."""
    used = {"utilisation": round(busy, 2), "memoryUtilisation": round(busy / 2, 2)}
    cpu = {"class": "cpu", "product": f"CPU {kind.name}", **used}
    gpu = {"class": "gpu", "product": kind.name, "count": max(1, kind.gpus), **used}
    speeds = {"cpu": (CPU_IMAGE, kind.images_per_second / (30 if kind.gpus else 1))}
    if kind.gpus:
        speeds["gpu"] = (GPU_IMAGE, kind.images_per_second)
    return {
        "nodeType": kind.name,
        "heartbeatTime": now(),
        "processors": [cpu, gpu] if kind.gpus else [cpu],
        "benchmarks": [_table(kind, *each) for each in speeds.items()],
    }


def _table(kind: Kind, processor: str, speed: tuple[str, float]) -> dict[str, Any]:
    """Return the table that the operator has published to all nodes of a type."""
    image, images_per_second = speed
    points = [
        {
            "batchSize": size,
            "imagesPerSecond": images_per_second * share,
            "latencyP50Milliseconds": 1_000 * size / (images_per_second * share),
            "latencyP99Milliseconds": 1_200 * size / (images_per_second * share),
        }
        for size, share in ((1, 0.5), (4, 0.8), (16, 1.0))
    ]
    return {
        "class": processor,
        "runtime": "triton",
        "image": image,
        "nodeType": kind.name,
        "measuredOn": f"{kind.name}-0000",
        "measuredAt": "2026-01-01T00:00:00Z",
        "points": points,
    }


def runtime() -> dict[str, Any]:
    """Return the runtime of all models."""
    backends = {"onnx": "onnxruntime"}
    cpu = {"class": "cpu", "image": CPU_IMAGE, "backends": backends, "instanceKind": "KIND_CPU"}
    gpu = {"class": "gpu", "image": GPU_IMAGE, "backends": backends, "instanceKind": "KIND_GPU"}
    requests = {"requests": {"cpu": "1", "memory": "2Gi"}}
    processors = [
        {**cpu, "resources": requests},
        {
            **gpu,
            "resources": requests,
            "resourceName": "nvidia.com/gpu",
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        },
    ]
    return {
        **_HEADER,
        "kind": "InferenceRuntime",
        "metadata": {"name": "triton"},
        "spec": {"processors": processors},
    }


def model(number: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return a model; every third goes by another policy."""
    cpu = int(rng.choice([1, 2, 4]))
    return {
        **_HEADER,
        "kind": "InferenceModel",
        "metadata": {"name": f"model-{number:04}", "namespace": "default"},
        "spec": {
            "model": {
                "storageUri": "oci://ferryman.dev/models/digits:1",
                "modelFormat": {"name": "onnx"},
            },
            "runtimeRef": {"name": "triton"},
            "objectives": {"latency": {"targetMilliseconds": 100}},
            "placement": {"policy": ("LeastWorkload", "BestFit", "Cheapest")[number % 3]},
            "replicas": int(rng.integers(1, 4)),
            "resources": {"requests": {"cpu": str(cpu), "memory": f"{2 * cpu}Gi"}},
        },
    }


class Api:
    """The administrator's access, by many threads at once."""

    def __init__(self, kubeconfig: Path) -> None:
        api = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
        api.configuration.connection_pool_maxsize = THREADS
        self._api = api
        self._core = client.CoreV1Api(api)
        self._custom = client.CustomObjectsApi(api)

    def create_nodes(self, size: Size, rng: np.random.Generator) -> None:
        """Create all nodes and their profiles."""
        drawn = [(name, kind, float(rng.beta(2, 5))) for name, kind in nodes(size)]
        _each(drawn, lambda each: self._create_node(each[0], each[1]))
        _each(drawn, lambda each: self._create_profile(*each))

    def _create_node(self, name: str, kind: Kind) -> None:
        # The client takes plain values as well as its own.
        self._core.create_node(cast("Any", node(name, kind)))

    def _create_profile(self, name: str, kind: Kind, busy: float) -> None:
        where = (names.GROUP, names.VERSION, NODE_PROFILE.plural)
        header = {**_HEADER, "kind": "NodeProfile", "metadata": {"name": name}}
        self._custom.create_cluster_custom_object(*where, header)
        status = {"status": profile(kind, busy)}
        self._custom.patch_cluster_custom_object_status(*where, name, status)

    def labelled_nodes(self) -> int:
        """Return how many nodes have the label of their type, which is the operator's."""
        found = self._core.list_node(label_selector=names.LABEL_NODE_TYPE)
        return len(found.items)

    def create_runtime(self) -> None:
        """Create the runtime."""
        where = (names.GROUP, names.VERSION, INFERENCE_RUNTIME.plural)
        self._custom.create_cluster_custom_object(*where, runtime())

    def create_models(self, bodies: Sequence[dict[str, Any]]) -> None:
        """Create all models, as fast as the API server takes them."""
        where = (names.GROUP, names.VERSION, "default", INFERENCE_MODEL.plural)
        _each(bodies, lambda body: self._custom.create_namespaced_custom_object(*where, body))

    def models(self) -> list[dict[str, Any]]:
        """Return all models."""
        where = (names.GROUP, names.VERSION, "default", INFERENCE_MODEL.plural)
        found = cast("dict[str, Any]", self._custom.list_namespaced_custom_object(*where))
        return list(found["items"])

    def bound_pods(self) -> list[tuple[str, str | None]]:
        """Return (model, node) of each serving pod; no node where it is not bound."""
        found = self._core.list_namespaced_pod("default", label_selector=names.LABEL_MODEL)
        manifests = cast("list[Any]", self._api.sanitize_for_serialization(found.items))
        return [
            (pod["metadata"]["labels"][names.LABEL_MODEL], pod["spec"].get("nodeName"))
            for pod in manifests
        ]


def _each(items: Sequence[Any], act: Callable[[Any], object]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(act, items):
            pass


def placement_of(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return where a model is placed; None while it is not."""
    placement: dict[str, Any] = body.get("status", {}).get("placement", {})
    return placement if placement.get("nodeType") else None


def over_capacity(size: Size, models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the node types whose models request more than their nodes have."""
    counts = Counter(kind.name for _, kind in nodes(size))
    wanted: Counter[tuple[str, str]] = Counter()
    for body in models:
        placed, spec = placement_of(body), body["spec"]
        if placed is None:
            continue
        requests = spec["resources"]["requests"]
        where = placed["nodeType"]
        wanted[where, "cpu"] += spec["replicas"] * quantity.to_millicores(requests["cpu"])
        wanted[where, "memory"] += spec["replicas"] * quantity.to_units(requests["memory"])
        wanted[where, "gpu"] += spec["replicas"] * (placed["processor"] == "gpu")
    has = {
        (kind.name, resource): counts[kind.name] * amount
        for kind in KINDS
        for resource, amount in (
            ("cpu", 1_000 * kind.cpu),
            ("memory", 2**30 * kind.memory_gib),
            ("gpu", kind.gpus),
        )
    }
    return [f"{name} {what}" for (name, what), amount in wanted.items() if amount > has[name, what]]


def measure(plane: ControlPlane, folder: Path, size: Size) -> dict[str, Any]:
    """Place all models on all nodes; return every figure."""
    rng = np.random.default_rng(SEED)
    install(plane)
    api = Api(plane.kubeconfig)
    api.create_runtime()
    api.create_nodes(size, rng)
    token = plane.kubectl("create", "token", "ferryman-operator", "-n", NAMESPACE).strip()
    operator = Operator(plane.kubeconfig_for(token, "operator"), folder / "operator.log").start()
    try:
        known = _await(lambda: api.labelled_nodes() == size.nodes, time.monotonic())
        rss_before_mib = _rss_mib(operator.pid)
        bodies = [model(number, rng) for number in range(size.models)]
        began_s = time.monotonic()
        api.create_models(bodies)
        created_s = time.monotonic() - began_s
        placed = _await(lambda: _all_placed(api, size), began_s)
        bound = _await(lambda: _all_bound(api, bodies), began_s)
        models, pods = api.models(), api.bound_pods()
        rss_mib = _rss_mib(operator.pid)
    finally:
        operator.close()
    return {
        "known_s": known,
        "created_s": round(created_s, 1),
        "placed_s": placed,
        "bound_s": bound,
        "placed": sum(placement_of(body) is not None for body in models),
        "replicas": sum(body["spec"]["replicas"] for body in bodies),
        "bound": sum(node_name is not None for _, node_name in pods),
        "over_capacity": over_capacity(size, models),
        "models_by_type": dict(Counter(_type_of(body) for body in models)),
        "most_models_on_a_node": most_on_a_node(bodies, pods),
        "rss_before_mib": rss_before_mib,
        "rss_mib": rss_mib,
    }


def most_on_a_node(
    models: Sequence[Mapping[str, Any]], pods: Sequence[tuple[str, str | None]]
) -> dict[str, int]:
    """Return by policy how many of its models are on the node that has most of them.

    BestFit and Cheapest fill a node before the next, as far as there is room; LeastWorkload is to
    spread models, however late utilisation shows them.
    """
    policies = {each["metadata"]["name"]: _policy(each) for each in models}
    counts = Counter((policies[name], node) for name, node in set(pods) if node)
    most: dict[str, int] = dict.fromkeys(policies.values(), 0)
    for (policy, _), count in counts.items():
        most[policy] = max(most[policy], count)
    return most


def _policy(body: Mapping[str, Any]) -> str:
    return str(body["spec"]["placement"]["policy"])


def _type_of(body: Mapping[str, Any]) -> str:
    placed = placement_of(body)
    return "none" if placed is None else f"{placed['nodeType']} ({placed['processor']})"


def _all_placed(api: Api, size: Size) -> bool:
    return sum(placement_of(body) is not None for body in api.models()) == size.models


def _all_bound(api: Api, bodies: Sequence[Mapping[str, Any]]) -> bool:
    wanted = sum(body["spec"]["replicas"] for body in bodies)
    return sum(node_name is not None for _, node_name in api.bound_pods()) >= int(wanted)


def _await(question: Callable[[], bool], began_s: float) -> float | None:
    """Return how long it took from the beginning until the answer was yes; None: too long."""
    while time.monotonic() - began_s < GIVE_UP_S:
        if question():
            return round(time.monotonic() - began_s, 1)
        time.sleep(POLL_S)
    return None


def _rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (text,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return round(int(text) / 1024, 1)


def is_good(run: Mapping[str, Any], size: Size) -> bool:
    """Whether all was placed in time, within every capacity, spread, and every pod bound."""
    in_time = run["placed_s"] is not None and bool(run["placed_s"] <= PLACED_WITHIN_S)
    all_there = run["placed"] == size.models and run["bound"] == run["replicas"]
    spread = run["most_models_on_a_node"]["LeastWorkload"] <= PILED * size.models
    return bool(in_time and all_there and spread and not run["over_capacity"])


def table(report: Mapping[str, Any]) -> str:
    """Return the figures as a section in Markdown."""
    run, size, host = report["run"], report["size"], report["machine"]
    kinds = "\n".join(f"| {name} | {n} |" for name, n in sorted(run["models_by_type"].items()))
    over = ", ".join(run["over_capacity"]) or "none"
    most = ", ".join(f"{name} {count}" for name, count in run["most_models_on_a_node"].items())
    return f"""## Placement at scale

`make bench-scale` on {report["date"]}, {host["cores"]} cores ({host["cpu"]}), which also run the
API server, the scheduler and kwok: {size["nodes"]} simulated nodes of {len(KINDS)} types,
{size["models"]} InferenceModels with {run["replicas"]} replicas created at once (in
{run["created_s"]} s), a third for each policy. Raw results: `benchmarks/results/`.

- an operator that starts knows all nodes, and has labelled them, after {run["known_s"]} s;
- all models placed {run["placed_s"]} s after the first was created, all pods bound after
  {run["bound_s"]} s;
- node types over capacity: {over};
- most models on one node, by policy: {most};
- the operator's memory (RSS): {run["rss_before_mib"]} MiB with the nodes, {run["rss_mib"]} MiB at
  the end.

| node type | models |
|---|---|
{kinds}
"""


def main() -> int:
    """Measure, write the results, and fail where a promise is broken."""
    parser = argparse.ArgumentParser(prog="make bench-scale", description=__doc__)
    parser.add_argument("--nodes", type=int, default=Size().nodes)
    parser.add_argument("--models", type=int, default=Size().models)
    parser.add_argument("--try", action="store_true", dest="tried", help="nothing is written")
    args = parser.parse_args()
    size = Size(args.nodes, args.models)
    with (
        tempfile.TemporaryDirectory() as folder,
        ControlPlane.start(controllers=True, simulated_nodes=True) as plane,
    ):
        run = measure(plane, Path(folder), size)
    report = {
        "date": common.today(),
        "machine": common.machine(),
        "size": asdict(size),
        "run": run,
    }
    if not args.tried:
        common.write_results(NAME, report)
        common.write_section(NAME, table(report))
    print(table(report))
    return 0 if is_good(run, size) else 1


if __name__ == "__main__":
    common.end_on_signals()
    sys.exit(main())
