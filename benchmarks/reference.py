"""How well the reference benchmark repeats, and whether it tells an unlike node.

``make bench-reference`` takes the test cluster, or makes it, installs Ferryman, and has each node
measured again and again, as ``ferryman benchmark NODE`` does, in turns: the nodes are containers of
one machine and would disturb each other. It fails where the runs on one node differ by more than
10 %, or where the node with half a core does not come out below 0.75 of the other. Figures go to
benchmarks/results and docs/benchmarks.md. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks import common
from hack import installation
from hack.cluster import Cluster, ensure_up, shell
from hack.installation import peak

NAME: Final = "reference"
ROUNDS: Final = 4
#: The whole range of the runs on one node, as a share of their median.
LARGEST_RANGE: Final = 0.10
LARGEST_RATIO: Final = 0.75
TIMEOUT_S: Final = 900


def measure_once(cluster: Cluster, node: str) -> dict[str, Any]:
    """Have a node measured as a person would; return its table."""
    command = (sys.executable, "-m", "ferryman.cli.main", "benchmark", node)
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    told = shell.run(*command, "--wait", "-o", "json", env=environment, timeout_s=TIMEOUT_S)
    [table] = json.loads(told)["benchmarks"]
    return dict(table)


def spread(peaks: Sequence[float]) -> float:
    """Return the range of the runs, as a share of their median."""
    return (max(peaks) - min(peaks)) / median(peaks)


def run(cluster: Cluster, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of each node, in the order in which they were measured."""
    tables: dict[str, list[dict[str, Any]]] = {node: [] for node in sorted(cluster.nodes)}
    for number in range(rounds):
        for node, own in tables.items():
            own.append(measure_once(cluster, node))
            print(f"round {number + 1} of {rounds}, {node}: {peak(own[-1]):g} images/s", flush=True)
    return tables


def summary(tables: Mapping[str, Sequence[Mapping[str, Any]]], slow: str) -> dict[str, Any]:
    """Return the runs of each node, how much they differ, and the ratio of the medians."""
    peaks = {node: [peak(table) for table in own] for node, own in tables.items()}
    others = [median(own) for node, own in peaks.items() if node != slow]
    return {
        "peaks": peaks,
        "spread": {node: round(spread(own), 4) for node, own in peaks.items()},
        "slow": slow,
        "ratio": round(median(peaks[slow]) / min(others), 4),
    }


def is_good(found: Mapping[str, Any]) -> bool:
    """Whether the runs agree and the slow node is told."""
    agree = all(each <= LARGEST_RANGE for each in found["spread"].values())
    return agree and bool(found["ratio"] <= LARGEST_RATIO)


def section(report: Mapping[str, Any]) -> str:
    """Return the figures as a section in Markdown."""
    found, host = report["summary"], report["machine"]
    rows = "\n".join(
        f"| {node} | {', '.join(f'{each:.1f}' for each in own)} | {found['spread'][node]:.1%} |"
        for node, own in found["peaks"].items()
    )
    return f"""## The reference benchmark, repeated

`make bench-reference` on {report["date"]}, {host["cores"]} cores ({host["cpu"]}): ResNet50 on the
two nodes of the test cluster, one after the other, of which `{found["slow"]}` has half a core. Raw
results: `benchmarks/results/`.

| node | images/s at the best batch size, by run | range / median (target: at most 10 %) |
|---|---|---|
{rows}

The slow node has {found["ratio"]:.2f} of the other's throughput (target: below 0.75).
"""


def main() -> int:
    """Measure, write the results, and fail where a promise is broken."""
    parser = argparse.ArgumentParser(prog="make bench-reference", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    cluster = ensure_up(None)
    if cluster.slow_node is None:
        raise RuntimeError("the cluster has no node that is known to be slow")
    installation.load_images(cluster)
    installation.install(cluster, "runtimes.triton-cpu.benchmark.timeLimitSeconds=120")
    installation.wait_for_benchmarks(cluster)
    tables = run(cluster, args.rounds)
    report: dict[str, Any] = {
        "date": common.today(),
        "machine": common.machine(),
        "summary": summary(tables, cluster.slow_node),
        "tables": tables,
    }
    common.write_results(NAME, report)
    common.write_section(NAME, section(report))
    print(section(report))
    return 0 if is_good(report["summary"]) else 1


if __name__ == "__main__":
    sys.exit(main())
