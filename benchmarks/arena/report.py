"""Write the scenario benchmark's tables into docs/benchmarks.md, and its plots beside it."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks import common
from benchmarks.arena import criteria, plan, store, svg
from benchmarks.arena.criteria import LARGEST, OURS, Results
from benchmarks.arena.job import PLOTTED_SEED
from benchmarks.arena.plan import ORACLE
from benchmarks.contenders.registry import BY_NAME, CONTENDERS
from ferryman.core.twin.scenario import Scenario

PLOTS: Final = common.ROOT / "docs" / "benchmarks"
PLOTTED: Final = (LARGEST, "hill-climb", "trend", OURS)
#: A contender that has this much more goodput than ours is named.
BETTER: Final = 1.005

HEAD: Final = """\
## Scenarios on the digital twin

`make bench` on {date}, {cores} cores ({cpu}); the figures do not depend on the machine. Every
contender meets the same arrivals, window by window, with what a Triton server shows and nothing
else. {seeds}. Shown are the median over the seeds and, in brackets, the least and the most.
The scenarios are in `benchmarks/scenarios`, the contenders in `benchmarks/contenders`, each with
its source; docs/scenario-format.md tells what is simulated. Reload interval and budget bind
Ferryman's own algorithms only: the others may reload as often as they like.

- *goodput*: completions within the latency target, by the oracle's, over the whole run;
- *after*: the same from the window on in which 95 % of the oracle's goodput is reached, and kept;
- *reached*: after how many windows that is (- for never);
- *busy*: device time, by that of bound 128 with delay 0.

The oracle is the configuration of a full grid that turns out best and never changes.
"""


def write(scenarios: Sequence[str]) -> None:
    """Write the section and the plots from the results that are up to date."""
    loaded = {name: plan.load(name)[0] for name in scenarios}
    results = _results(scenarios)
    text = "\n".join(_text(results, loaded))
    common.write_section("scenarios", text)
    PLOTS.mkdir(exist_ok=True)
    for name in scenarios:
        chart = _plot(name, loaded[name], results[name])
        (PLOTS / f"{name}.svg").write_text(chart, encoding="utf-8")


def _results(scenarios: Sequence[str]) -> Results:
    return {
        scenario: {
            name: store.read(scenario, name, plan.inputs(scenario, name))
            for name in (ORACLE, *BY_NAME)
        }
        for scenario in scenarios
    }


def _text(results: Results, scenarios: Mapping[str, Scenario]) -> Iterator[str]:
    machine = common.machine()
    counts = sorted({len(found[ORACLE]) for found in results.values()})
    plural = "" if counts == [1] else "s"
    seeds = f"{' to '.join(map(str, counts))} seed{plural}, 300 windows each"
    yield HEAD.format(date=common.today(), cores=machine["cores"], cpu=machine["cpu"], seeds=seeds)
    yield from _promises(results, scenarios)
    yield from _lost(results)
    yield from _ablations(results)
    for name, found in results.items():
        yield from _scenario(name, found)


def _promises(results: Results, scenarios: Mapping[str, Scenario]) -> Iterator[str]:
    yield "### What was promised of Guarded\n"
    yield "| promise | target | found | held |"
    yield "|---|---|---|---|"
    for row in criteria.rows(results, scenarios):
        held = "yes" if row.held else "**no**"
        yield f"| {row.promise} | {row.target} | {row.found} | {held} |"


def _lost(results: Results) -> Iterator[str]:
    """Name every contender with clearly more goodput than ours: median over the seeds."""
    yield "\n### Where Guarded loses\n"
    lines = list(_losses(results))
    yield from lines or ["Nowhere by more than 0.5 % of goodput, the oracle included."]


def _losses(results: Results) -> Iterator[str]:
    for scenario, found in results.items():
        ours = _median(found.get(OURS, {}), "goodput")
        if ours is None:
            continue
        for name in (ORACLE, *(contender.name for contender in CONTENDERS)):
            theirs = _median(found.get(name, {}), "goodput")
            if theirs is not None and theirs > max(BETTER * ours, ours + 0.5):
                share = "" if ours == 0 else f" ({theirs / ours - 1:+.1%})"
                beside = f"{_title(name)} has {theirs:.1f}/s, Guarded {ours:.1f}/s"
                yield f"- {scenario}: {beside}{share}"


def _ablations(results: Results) -> Iterator[str]:
    parts = [contender for contender in BY_NAME.values() if contender.part]
    if not any(found.get(part.name) for part in parts for found in results.values()):
        return
    yield "\n### Guarded less one of its parts\n"
    yield "Goodput by that of the whole, where it differs by more than 0.5 % in the median.\n"
    yield "| without | scenarios that get worse | scenarios that get better |"
    yield "|---|---|---|"
    for part in parts:
        shares = {
            name: median(
                found[part.name][seed]["goodput"] / found[OURS][seed]["goodput"] for seed in both
            )
            for name, found in results.items()
            if (both := [s for s in found[part.name] if found[OURS].get(s, {}).get("goodput")])
        }
        worse = [f"{n} {s:.3f}" for n, s in shares.items() if s < 1 / BETTER]
        better = [f"{n} {s:.3f}" for n, s in shares.items() if s > BETTER]
        yield f"| {part.part} | {', '.join(worse) or 'none'} | {', '.join(better) or 'none'} |"


def _scenario(name: str, found: Mapping[str, Mapping[int, dict[str, Any]]]) -> Iterator[str]:
    yield f"\n### {name}\n"
    yield from _comment(name)
    yield f"\n![goodput by window](benchmarks/{name}.svg)\n"
    yield "| contender | goodput | after | attainment | p99, ms | reached | busy | changes |"
    yield "|---|---|---|---|---|---|---|---|"
    for contender in (ORACLE, *(contender.name for contender in CONTENDERS)):
        seeds = found.get(contender, {})
        if seeds:
            largest = found.get(LARGEST, {})
            yield f"| {' | '.join(_cells(contender, list(seeds.values()), seeds, largest))} |"


def _comment(name: str) -> Iterator[str]:
    """Return what the scenario's file says at its head."""
    for line in plan.path_of(name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            return
        yield line.removeprefix("# ")


def _cells(
    name: str,
    runs: Sequence[dict[str, Any]],
    seeds: Mapping[int, dict[str, Any]],
    largest: Mapping[int, dict[str, Any]],
) -> Iterator[str]:
    yield _title(name)
    yield _spread([run["ratio"] for run in runs], "{:.3f}")
    yield _spread([run["ratioAfter"] for run in runs], "{:.3f}")
    yield _spread([run["attainment"] for run in runs], "{:.3f}")
    yield _spread([run["p99"] for run in runs], "{:.0f}")
    yield _spread([run["reached"] for run in runs], "{:.0f}")
    yield _spread(
        [run["busy"] / largest[seed]["busy"] for seed, run in seeds.items() if seed in largest],
        "{:.2f}",
    )
    yield _changes(runs)


def _changes(runs: Sequence[dict[str, Any]]) -> str:
    actuators = sorted({actuator for run in runs for actuator in run["byActuator"]})
    if not actuators:
        return "none"
    return ", ".join(
        f"{actuator} {_spread([run['byActuator'].get(actuator, 0) for run in runs], '{:.0f}')}"
        for actuator in actuators
    )


def _spread(values: Sequence[float | None], form: str) -> str:
    """Return the median with the least and the most; what is absent counts as the worst."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return "-"
    if len(known) < len(values):
        return f"{form.format(known[0])} to never in {len(values) - len(known)} of {len(values)}"
    least, middle, most = (form.format(v) for v in (known[0], median(known), known[-1]))
    return middle if least == most else f"{middle} ({least} to {most})"


def _median(seeds: Mapping[int, dict[str, Any]], field: str) -> float | None:
    values = [result[field] for result in seeds.values()]
    return median(values) if values else None


def _title(name: str) -> str:
    return "oracle" if name == ORACLE else BY_NAME[name].title


def _plot(name: str, scenario: Scenario, found: Mapping[str, Mapping[int, dict[str, Any]]]) -> str:
    lines = {
        _title(contender): found[contender][PLOTTED_SEED]["series"]
        for contender in (ORACLE, *PLOTTED)
        if PLOTTED_SEED in found.get(contender, {})
    }
    unit = f"goodput per second in windows of {scenario.window_seconds} s, first seed"
    return svg.chart(name, lines, unit)
