"""What clients that keep their connections lose when serving pods end.

``make bench-endings`` takes the test cluster, or makes it, installs Ferryman, and serves a small
model with two replicas under two open loads at once, over HTTP and over gRPC: several clients each,
connections kept, no retry policy. Pods are ended by rollouts, scale-downs, evictions, deletions
and drains of their node, and at last their node dies without a word. It fails where a request is
lost before that, or a server does not exit cleanly. Figures go to benchmarks/results and
docs/benchmarks.md.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import common
from ferryman.api import names
from hack import endings, installation, nodes
from hack.cluster import Cluster, ensure_up
from hack.demo import scenario
from hack.load_job import LoadJob, LoadSpec

NAME: Final = "endings"
MODEL: Final = "digits"
NAMESPACE: Final = "ferryman-endings"
#: Of each way: a rollout ends two pods, the others one.
ROUNDS: Final = 6
DEATHS: Final = 2
#: Answers that come in a second, as a share of those expected, for it to count as served.
SERVED_SHARE: Final = 0.5
RATE_PER_S: Final = 110.0
CLIENTS: Final = 4
#: Longer than all endings of a way take; the load is ended after the last.
LOAD_S: Final = 1_800
CALM_S: Final = 10
#: As docs/ending-pods.md recommends it: a connection to a node that died tells nothing by itself.
KEEPALIVE_S: Final = 10.0
#: How long a node stays dead: longer than a model may take to be served elsewhere.
DEAD_S: Final = 90
#: Most requests are as short as they are; what is slower than this is a failed request.
DEADLINE_MS: Final = 10_000
SCHEMES: Final = ("http", "grpc")
CLEAN: Final = "0"


def manifest() -> dict[str, Any]:
    """Return the model that is served."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceModel",
        "metadata": {"name": MODEL, "namespace": NAMESPACE},
        "spec": {
            "model": {
                "storageUri": installation.model_uri("digits"),
                "modelFormat": {"name": "onnx"},
            },
            "runtimeRef": {"name": "triton-cpu"},
            "objectives": {"latency": {"targetMilliseconds": 100}},
            "replicas": 2,
            **endings.PLACED,
            "batching": {
                "mode": "Fixed",
                "initial": {"maxBatchSize": 8, "maxQueueDelayMicroseconds": 0, "instances": 1},
            },
        },
    }


def run(cluster: Cluster, rounds: int, deaths: int) -> dict[str, Any]:
    """End pods in every way; return what became of the requests, by way, and at each death."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    installation.apply(cluster, namespace, manifest())
    model = endings.Model(cluster, MODEL, NAMESPACE)
    model.watch()
    try:
        model.settle(2)
        with tempfile.TemporaryDirectory() as folder:
            inputs = scenario.write_digits_input(Path(folder) / "digits.npz")
            ways = {way: run_way(model, way, rounds, inputs) for way in endings.WAYS}
            died = [run_death(model, number, inputs) for number in range(deaths)]
            return {"ways": ways, "deaths": died}
    finally:
        model.close()
        installation.delete(cluster, namespace)


def run_way(model: endings.Model, way: str, rounds: int, inputs: Path) -> dict[str, Any]:
    """End pods in one way under both loads."""
    jobs = {scheme: _load(model, scheme, way, inputs) for scheme in SCHEMES}
    for job in jobs.values():
        job.start()
    ended: list[str] = []
    for number in range(rounds):
        gone = endings.end(model, way)
        ended += gone
        print(f"{way} {number + 1} of {rounds}: {', '.join(gone)}", flush=True)
    loads = {scheme: job.end() for scheme, job in jobs.items()}
    for job in jobs.values():
        job.delete()
    exits = Counter(model.exits.get(pod, "unseen") for pod in ended)
    return {"endings": rounds, "pods": len(ended), "exits": dict(exits), "loads": loads}


def run_death(model: endings.Model, number: int, inputs: Path) -> dict[str, Any]:
    """Have the node of both pods die under both loads, and wait until requests are served again.

    The operator is elsewhere: what it needs to come back is not measured here.
    """
    model.restore(endings.AFTER)
    model.settle(endings.AFTER)
    (node,) = model.nodes()
    nodes.send_operator_away(model.cluster, node)
    jobs = {scheme: _load(model, scheme, f"death-{number}", inputs) for scheme in SCHEMES}
    for job in jobs.values():
        job.start()
    time.sleep(CALM_S)
    with nodes.dead(node) as died_s:
        time.sleep(DEAD_S)
    loads = {scheme: job.end() for scheme, job in jobs.items()}
    for scheme, job in jobs.items():
        loads[scheme]["unserved_s"] = unserved_s(job.seconds, died_s)
        job.delete()
    nodes.await_ready(model.cluster, node)
    return {"node": node, "loads": loads}


def unserved_s(seconds: Sequence[Mapping[str, Any]], died_s: float) -> float | None:
    """Return when after the death answers came as a matter of course; None if they never did."""
    served = (
        second["time"] - died_s
        for second in seconds
        # What was on its way when the node died is counted in the seconds after it.
        if second["time"] > died_s + 3 and second["ok"] >= SERVED_SHARE * RATE_PER_S
    )
    return next(served, None)


def _load(model: endings.Model, scheme: str, way: str, inputs: Path) -> LoadJob:
    spec = LoadSpec(
        MODEL,
        NAMESPACE,
        RATE_PER_S,
        LOAD_S,
        inputs,
        deadline_ms=DEADLINE_MS,
        scheme=scheme,
        clients=CLIENTS,
        keepalive_s=KEEPALIVE_S,
    )
    return LoadJob(model.cluster, spec, f"load-{way}-{scheme}")


def is_good(ways: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether no request was lost and every server exited cleanly."""
    lost = sum(load["failed"] for way in ways.values() for load in way["loads"].values())
    unclean = sum(n for way in ways.values() for code, n in way["exits"].items() if code != CLEAN)
    return bool(lost == unclean == 0)


def section(report: Mapping[str, Any]) -> str:
    """Return the figures as a section in Markdown."""
    host, ways, deaths = report["machine"], report["ways"], report["deaths"]
    died = "\n".join(map(_death_row, deaths))
    rows = "\n".join(_row(way, found) for way, found in ways.items())
    return f"""## Pods that end

`make bench-endings` on {report["date"]}, {host["cores"]} cores ({host["cpu"]}): `digits` with two
replicas on the test cluster, {RATE_PER_S:g} requests/s over HTTP and as many over gRPC at the same
time, {CLIENTS} clients each that keep their connections and have no retry policy (gRPC sends again
what no server has seen, as it does by default, and asks silent connections after {KEEPALIVE_S:g} s
whether they are alive). Lost is every request without a correct answer in
{DEADLINE_MS // 1000} s. A drain empties the only node of the type (`kubectl drain`), so that the
model goes to another. How it is done: [ending-pods.md](ending-pods.md). Raw results:
`benchmarks/results/`.

| | endings | pods | exits with 0 | lost over HTTP | p99 ms | lost over gRPC | p99 ms |
|---|---|---|---|---|---|---|---|
{rows}

A node that dies without a word loses what was on its way to it, and what comes until its model
serves elsewhere ([placement.md](placement.md#nodes-that-die)); under the same loads, both replicas
on the node that was stopped, for {DEAD_S} s:

| | lost over HTTP | served again after | lost over gRPC | served again after |
|---|---|---|---|---|
{died}
"""


def _death_row(found: Mapping[str, Any]) -> str:
    cells = []
    for scheme in SCHEMES:
        load = found["loads"][scheme]
        after = "never" if load["unserved_s"] is None else f"{load['unserved_s']:.0f} s"
        cells += [f"{load['failed']:,} of {load['sent']:,}", after]
    return f"| node gone | {' | '.join(cells)} |"


def _row(way: str, found: Mapping[str, Any]) -> str:
    cells = [way, found["endings"], found["pods"], found["exits"].get(CLEAN, 0)]
    for scheme in SCHEMES:
        load = found["loads"][scheme]
        p99 = "-" if load["p99_ms"] is None else f"{load['p99_ms']:.0f}"
        cells += [f"{load['failed']:,} of {load['sent']:,}", p99]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    """Measure, write the results, and fail where something was lost."""
    parser = argparse.ArgumentParser(prog="make bench-endings", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="endings of each way")
    parser.add_argument("--deaths", type=int, default=DEATHS, help="nodes that die")
    args = parser.parse_args()
    cluster = ensure_up(None)
    installation.load_images(cluster)
    installation.install(cluster)
    installation.wait_for_benchmarks(cluster)
    report: dict[str, Any] = {
        "date": common.today(),
        "machine": common.machine(),
        **run(cluster, args.rounds, args.deaths),
    }
    common.write_results(NAME, report)
    common.write_section(NAME, section(report))
    print(section(report))
    return 0 if is_good(report["ways"]) else 1


if __name__ == "__main__":
    sys.exit(main())
