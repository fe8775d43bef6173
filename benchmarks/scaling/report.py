"""The figures of the scaling benchmark as a section in Markdown."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, Final

Found = Mapping[str, Any]
HEAD: Final = (
    *("load", "runs", "scaled by", "up", "down", "turns", "windows missed", "otherwise"),
    *("in time", "pods", "least"),
)


def section(results: Found) -> str:
    """Return the figures as a section in Markdown."""
    host, runs = results["machine"], results["runs"]
    return f"""## Scaling

`make bench-scaling` on {results["date"]}, {host["cores"]} cores ({host["cpu"]}): models of which
one pod's capacity within the latency target is known, and loads in multiples of it, on the digital
twin; loads, models and what a pod's start takes stand in `benchmarks/scaling/cases.py`. Ferryman
scales itself, or an HPA follows `ferryman_model_desired_replicas`, with the tolerance and the
stabilisation that Kubernetes documents. Raw results, with each change: `benchmarks/results/`.

{_table(runs)}

*Turns*: there were more again after there were fewer. *Windows missed*: of all windows of 30 s, by
the arrival of requests, those of which p99 exceeds the target, on average; *otherwise*: those that
are not within a minute of a rise and of its pods' start. *In time*: the share of all requests.
*Least*: the pods that capacity alone asks for, on average, of whoever knows each window's load
beforehand and starts pods in no time. Numbers of changes are the mean, and the most of a run."""


def _table(runs: Sequence[Found]) -> str:
    rows = [HEAD, tuple("---" for _ in HEAD)]
    for load in dict.fromkeys(run["load"] for run in runs):
        for contender in dict.fromkeys(run["contender"] for run in runs):
            own = [run for run in runs if (run["load"], run["contender"]) == (load, contender)]
            rows.append(_row(load, contender, own))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(load: str, contender: str, runs: Sequence[Found]) -> tuple[str, ...]:
    def average(name: str) -> float:
        return float(mean(run[name] for run in runs))

    def count(name: str) -> str:
        most = max(run[name] for run in runs)
        return str(most) if len(runs) == 1 else f"{average(name):.1f} ({most})"

    return (
        *(load, str(len(runs)), contender, count("ups"), count("downs"), count("turns")),
        f"{average('missed'):.1f} of {average('windows'):.0f}",
        f"{average('missed_otherwise'):.1f}",
        f"{average('attainment'):.1%}",
        f"{average('pods'):.2f}",
        f"{average('least_pods'):.2f}",
    )
