"""What the reports of the twin and of the real Triton have in common: cells, lists and plots."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import common
from benchmarks.arena import svg
from benchmarks.arena.criteria import OURS, Results, Row
from benchmarks.arena.job import PLOTTED_SEED
from benchmarks.arena.plan import ORACLE
from benchmarks.contenders.registry import BY_NAME
from ferryman.core.simulator.scenario import Scenario

PLOTS: Final = common.ROOT / "docs" / "benchmarks"
#: A goodput that is higher by less, per second, is not named.
WORTH_NAMING_PER_S: Final = 0.5

#: Contender -> seed -> result.
Found = Mapping[str, Mapping[int, dict[str, Any]]]


def title(name: str) -> str:
    """Return a contender's name for people."""
    return "oracle" if name == ORACLE else BY_NAME[name].title


def promises(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the table of what was promised and what was found."""
    yield "| promise | target | found | held |"
    yield "|---|---|---|---|"
    for row in rows:
        held = "yes" if row.held else "**no**"
        yield f"| {row.promise} | {row.target} | {row.found} | {held} |"


def losses(results: Results, names: Sequence[str], better: float) -> Iterator[str]:
    """Yield every contender with clearly more goodput than ours: median over the seeds.

    ``better`` is how many times ours that is.
    """
    for scenario, found in results.items():
        ours = _goodput(found.get(OURS, {}))
        if ours is None:
            continue
        for name in names:
            theirs = _goodput(found.get(name, {}))
            if theirs is not None and theirs > max(better * ours, ours + WORTH_NAMING_PER_S):
                share = "" if ours == 0 else f" ({theirs / ours - 1:+.1%})"
                beside = f"{title(name)} has {theirs:.1f}/s, Guarded {ours:.1f}/s"
                yield f"- {scenario}: {beside}{share}"


def comment(scenario_file: Path) -> Iterator[str]:
    """Yield what a scenario's file says at its head."""
    for line in scenario_file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            return
        yield line.removeprefix("# ")


def cells(
    name: str, seeds: Mapping[int, dict[str, Any]], largest: Mapping[int, dict[str, Any]]
) -> Iterator[str]:
    """Yield a contender's row: goodput, after, attainment, p99, reached, busy, changes.

    ``largest`` are the results by seed whose device time is 1.
    """
    runs = list(seeds.values())
    yield title(name)
    for field, form in (
        ("ratio", "{:.3f}"),
        ("ratioAfter", "{:.3f}"),
        ("attainment", "{:.3f}"),
        ("p99", "{:.0f}"),
        ("reached", "{:.0f}"),
    ):
        yield spread([run[field] for run in runs], form)
    shares = [run["busy"] / largest[seed]["busy"] for seed, run in seeds.items() if seed in largest]
    yield spread(shares, "{:.2f}")
    yield _changes(runs)


def spread(values: Sequence[float | None], form: str) -> str:
    """Return the median with the least and the most; what is absent counts as the worst."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return "-"
    if len(known) < len(values):
        return f"{form.format(known[0])} to never in {len(values) - len(known)} of {len(values)}"
    least, middle, most = (form.format(v) for v in (known[0], median(known), known[-1]))
    return middle if least == most else f"{middle} ({least} to {most})"


def plot(heading: str, scenario: Scenario, found: Found, names: Sequence[str]) -> str:
    """Return a chart of goodput by window, of the first seed."""
    lines = {
        title(name): found[name][PLOTTED_SEED]["series"]
        for name in names
        if PLOTTED_SEED in found.get(name, {})
    }
    unit = f"goodput per second in windows of {scenario.window_seconds} s, first seed"
    return svg.chart(heading, lines, unit)


def _changes(runs: Sequence[dict[str, Any]]) -> str:
    actuators = sorted({actuator for run in runs for actuator in run["byActuator"]})
    counts = (
        f"{each} {spread([run['byActuator'].get(each, 0) for run in runs], '{:.0f}')}"
        for each in actuators
    )
    return ", ".join(counts) or "none"


def _goodput(seeds: Mapping[int, dict[str, Any]]) -> float | None:
    values = [result["goodput"] for result in seeds.values()]
    return median(values) if values else None
