"""Write the tables of the real runs into docs/benchmarks.md, and their plots beside it."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks import common
from benchmarks.arena import criteria, tables
from benchmarks.arena.criteria import LARGEST, OURS, Results
from benchmarks.arena.plan import ORACLE
from benchmarks.contenders.registry import BY_NAME
from benchmarks.real import plan
from ferryman.core.simulator.scenario import Scenario

__all__ = ["Results", "text", "write"]

SECTION: Final = "scenarios-real"
NAMES: Final = (ORACLE, *BY_NAME)
#: A contender that has this much more goodput than ours is named: noise is larger than this.
BETTER: Final = 1.01
#: What was promised of goodput after convergence on a real Triton.
AFTER: Final = 0.97

HEAD: Final = """\
## Scenarios on a real Triton

`make bench-triton` on {date}, {cores} cores ({cpu}),
Triton 2.51 on loopback; what is compared ran on one machine. The model sleeps for the scenario's
service time; that of `digits` computes (ONNX on the CPU), and the oracle is found with service
times measured before. {seeds}, {least} to {most} s a run; for one scenario and seed,
one contender after the other on a fresh server, under the same arrivals. Open loop, latency from
the intended send time, the load sent from a process of its own. The noise floor, latency less
service time on an idle server: p50 {p50} ms, p99 {p99} ms (medians). The scenarios are in
`benchmarks/scenarios_real`; every figure of every run is in `benchmarks/results/real`.

Shown are the median over the seeds and, in brackets, the least and the most; the columns are
those of the digital twin's tables. The oracle is the static configuration that turns out best by
full grid on the twin, run here like the others. *busy* comes from Triton's own compute counters;
what was promised of it with slack counts from Guarded's last change on.
*failed* are requests without a correct answer within 5 s, over all seeds; those that the queue
policy rejected are not among them. {failures}
"""


def write(scenarios: Mapping[str, Scenario], results: Results) -> None:
    """Write the section and the plots; nothing where there is no result."""
    if not results:
        return
    common.write_section(SECTION, text(scenarios, results))
    tables.PLOTS.mkdir(exist_ok=True)
    for name, found in results.items():
        chart = tables.plot(f"{name}, on a real Triton", scenarios[name], found, NAMES)
        (tables.PLOTS / f"real-{name}.svg").write_text(chart, "utf-8")


def text(scenarios: Mapping[str, Scenario], results: Results) -> str:
    """Return the section; empty without any result."""
    return "\n".join(_text(scenarios, results)) if results else ""


def _text(scenarios: Mapping[str, Scenario], results: Results) -> Iterator[str]:
    yield _head(scenarios, results)
    yield "### What was promised of Guarded on a real Triton\n"
    rows = criteria.rows(results, scenarios, whole=None, after=AFTER)
    yield from tables.promises((*rows, *_failed_row(results)))
    yield "\n### Where Guarded loses on a real Triton\n"
    lines = list(tables.losses(results, NAMES, BETTER))
    yield from lines or ["Nowhere by more than 1 % of goodput, the oracle included."]
    for name, found in results.items():
        yield from _scenario(name, found)


def _head(scenarios: Mapping[str, Scenario], results: Results) -> str:
    runs = list(_all(results))
    host, durations = runs[0]["machine"], [scenarios[name].duration_s for name in results]
    counts = sorted({len(seeds) for found in results.values() for seeds in found.values()})
    noise = {
        key: median(run["machine"]["noise"][key] for run in runs) for key in ("p50Ms", "p99Ms")
    }
    return HEAD.format(
        date=" to ".join(sorted({min(run["date"] for run in runs), max(r["date"] for r in runs)})),
        cores=host["cores"],
        cpu=" or ".join(sorted({run["machine"]["cpu"] for run in runs})),
        seeds=f"{' to '.join(map(str, counts))} seed(s)",
        least=f"{min(durations):.0f}",
        most=f"{max(durations):.0f}",
        p50=noise["p50Ms"],
        p99=noise["p99Ms"],
        failures=_failures(runs),
    )


def _failures(runs: Sequence[dict[str, Any]]) -> str:
    """Name what failed other than for lack of time: that would be a fault of the server."""
    others = {
        words for run in runs for outcome, words in run["examples"].items() if outcome != "deadline"
    }
    if not others:
        return "None failed for any other reason than time."
    return f"Others than too late ones: {'; '.join(sorted(others))}."


def _failed_row(results: Results) -> Iterator[criteria.Row]:
    """Yield the promise that no request fails, apart from those that come too late."""
    ours = [run for found in results.values() for run in found.get(OURS, {}).values()]
    if not ours:
        return
    lost = sum(_faults(run) for run in ours)
    offered = sum(run["offered"] for run in ours)
    found = f"{lost} of {offered} in {len(ours)} runs"
    yield criteria.Row("failed requests, those apart that waited too long", "0", found, lost == 0)


def _faults(run: Mapping[str, Any]) -> int:
    return sum(count for outcome, count in run["failures"].items() if outcome != "deadline")


def _scenario(name: str, found: Mapping[str, Mapping[int, dict[str, Any]]]) -> Iterator[str]:
    yield f"\n### {name}, on a real Triton\n"
    yield from tables.comment(plan.path_of(name))
    yield f"\n![goodput by window](benchmarks/real-{name}.svg)\n"
    yield (
        "| contender | goodput | after | attainment | p99, ms | reached | busy | changes | failed |"
        " NeedsCapacity | at the end |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for contender in NAMES:
        if contender in found:
            cells = _cells(contender, found[contender], found.get(LARGEST, {}))
            yield f"| {' | '.join(cells)} |"


def _cells(
    name: str, seeds: Mapping[int, dict[str, Any]], largest: Mapping[int, dict[str, Any]]
) -> Iterator[str]:
    runs = list(seeds.values())
    yield from tables.cells(name, seeds, largest)
    late = sum(run["failures"].get("deadline", 0) for run in runs)
    faults = sum(map(_faults, runs))
    yield f"{late} late" + (f", **{faults} others**" if faults else "")
    yield _shortage(runs)
    searching = " (still searching)" if any(run["searching"] for run in runs) else ""
    yield ", ".join(dict.fromkeys(_batching(run["final"]) for run in runs)) + searching


def _shortage(runs: Sequence[dict[str, Any]]) -> str:
    windows = [run["shortage"]["window"] for run in runs if run["shortage"]]
    if not windows:
        return "-"
    return f"{len(windows)} of {len(runs)}, in window {tables.spread(windows, '{:.0f}')}"


def _batching(final: Mapping[str, Any]) -> str:
    """Return a configuration in short: bound, delay, timeout."""
    words = str(final["maxBatchSize"])
    for field, letter in (("maxQueueDelayMicroseconds", "d"), ("defaultTimeoutMicroseconds", "t")):
        if final.get(field):
            words += f" {letter}{final[field] / 1000:g}"
    return words


def _all(results: Results) -> Iterator[dict[str, Any]]:
    for found in results.values():
        for seeds in found.values():
            yield from seeds.values()
