"""The figures of the placement benchmark as a section in Markdown."""

import statistics
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from benchmarks import placement_decision

Found = dict[str, Any]
COLUMNS: Final = (
    *("types, models", "correlation", "contender", "all placed", "models"),
    *("gap, median", "p95", "worst", "misses", "faults", "CPU s"),
)
_P95: Final = 95


def section(report: Found) -> str:
    """Return the figures as a section in Markdown."""
    host, runs = report["machine"], report["runs"]
    nodes = sorted(each["nodes"] for each in runs)
    return f"""## Placement

`make bench-placement` on {report["date"]}, {host["cores"]} cores ({host["cpu"]}). Random fleets of
node types and models ({report["seeds"]} seeds for each size and correlation, {nodes[0]} to
{nodes[-1]} nodes) are placed by contenders that know the same: on which node types each model
would meet its objectives, with how many replicas, and what it would take of a node. The
correlation says how far models agree on which node type is fast. There is a placement of all
models for every fleet, and cheap node types are scarce. What is drawn stands in
`benchmarks/placement_fleets.py`, the rules in `benchmarks/placement_contenders.py`. Raw results:
`benchmarks/results/`.

- *all placed*: the share of the runs in which every model was placed; *models* is the share of
  the models that were, over all runs;
- *gap*: by how much the cost is above a bound that is proved, over the runs in which all were
  placed;
- *misses*: models whose replicas could not answer {report["surge"]:g} times their rate, or that are
  not placed;
- *faults*: nodes, or processors of a node that has several, that would give more than they have,
  added up by code that shares nothing with the solver;
- *CPU s*: of one core, the median and the most; the load average of the machine's {host["cores"]}
  cores was {host["load_average"]:g}, so that where it is above 1 other work made them longer.

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}
{_rows(runs)}

{_outcomes(runs)}{_large(report["large"])}{_decision(report["decision"])}"""


def _rows(runs: Sequence[Found]) -> str:
    groups: dict[tuple[str, str], list[Found]] = {}
    for each in runs:
        groups.setdefault((each["size"], each["correlation"]), []).append(each)
    return "\n".join(
        _row(size, correlation, name, [each["contenders"][name] for each in group])
        for (size, correlation), group in groups.items()
        for name in group[0]["contenders"]
    )


def _row(size: str, correlation: str, name: str, figures: Sequence[Found]) -> str:
    gaps = [each["gap"] for each in figures if each["gap"] is not None]
    seconds = [each["cpu_s"] for each in figures]
    cells = [
        *(size.replace("x", ", "), correlation, name),
        f"{len(gaps) / len(figures):.0%}",
        f"{statistics.mean(each['placed'] for each in figures):.1%}",
        *_gaps(gaps),
        f"{statistics.mean(each['misses'] for each in figures):.1%}",
        str(sum(each["faults"] for each in figures)),
        f"{statistics.median(seconds):.3f} ({max(seconds):.2f})",
    ]
    return f"| {' | '.join(cells)} |"


def _gaps(gaps: Sequence[float]) -> tuple[str, str, str]:
    if not gaps:
        return "-", "-", "-"
    return (
        f"{statistics.median(gaps):.2%}",
        f"{float(np.percentile(gaps, _P95)):.2%}",
        f"{max(gaps):.2%}",
    )


def _outcomes(runs: Sequence[Found]) -> str:
    gaps = [each["contenders"]["BestFit"]["gap"] for each in runs]
    known = [gap for gap in gaps if gap is not None]
    counts = {word: sum(each["outcome"] == word for each in runs) for word in _words(runs)}
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    median, p95, worst = _gaps(known)
    return (
        f"BestFit over all {len(runs)} runs: gap {median} (median), {p95} (p95), {worst} (worst); "
        f"outcomes: {told}.\n"
    )


def _words(runs: Sequence[Found]) -> list[str]:
    return sorted({each["outcome"] for each in runs})


def _large(found: Found | None) -> str:
    if found is None:
        return ""
    each_ms = found["one_more_ms"]
    return f"""
A fleet of {found["models"]:,} models, {found["nodes"]:,} nodes and {found["node_types"]} node types
is solved anew in {found["wall_s"]:.1f} s ({found["cpu_s"]:.1f} s of one core): {found["outcome"]},
{found["placed"]:,} models placed, gap {found["gap"]:.2%}, {found["faults"]} faults. One more model
into what is left of it takes {statistics.median(each_ms):.1f} ms (median), {max(each_ms):.1f} ms at
most.
"""


def _decision(found: Found | None) -> str:
    return "" if found is None else f"\n{placement_decision.told(found)}"
