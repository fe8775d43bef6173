"""Write the scenario benchmark's tables into docs/benchmarks.md, and its plots beside it."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks import common
from benchmarks.arena import criteria, plan, store, tables
from benchmarks.arena.criteria import LARGEST, OURS, Results
from benchmarks.arena.plan import ORACLE
from benchmarks.contenders.registry import BY_NAME, CONTENDERS
from ferryman.core.simulator.scenario import Scenario

NAMES: Final = (ORACLE, *(contender.name for contender in CONTENDERS))
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
    tables.PLOTS.mkdir(exist_ok=True)
    for name in scenarios:
        chart = tables.plot(name, loaded[name], results[name], (ORACLE, *PLOTTED))
        (tables.PLOTS / f"{name}.svg").write_text(chart, encoding="utf-8")


def _results(scenarios: Sequence[str]) -> Results:
    return {
        scenario: {
            name: store.read(scenario, name, plan.inputs(scenario, name))
            for name in (ORACLE, *BY_NAME)
        }
        for scenario in scenarios
    }


def _text(results: Results, scenarios: Mapping[str, Scenario]) -> Iterator[str]:
    origin = store.origin()
    machine = origin["machine"]
    counts = sorted({len(found[ORACLE]) for found in results.values()})
    plural = "" if counts == [1] else "s"
    seeds = f"{' to '.join(map(str, counts))} seed{plural}, 300 windows each"
    yield HEAD.format(date=origin["date"], cores=machine["cores"], cpu=machine["cpu"], seeds=seeds)
    yield "### What was promised of Guarded\n"
    yield from tables.promises(criteria.rows(results, scenarios))
    yield from _lost(results)
    yield from _ablations(results)
    for name, found in results.items():
        yield from _scenario(name, found)


def _lost(results: Results) -> Iterator[str]:
    yield "\n### Where Guarded loses\n"
    lines = list(tables.losses(results, NAMES, BETTER))
    yield from lines or ["Nowhere by more than 0.5 % of goodput, the oracle included."]


def _ablations(results: Results) -> Iterator[str]:
    parts = [contender for contender in BY_NAME.values() if contender.part]
    if not any(found.get(part.name) for part in parts for found in results.values()):
        return
    yield "\n### Guarded less one of its parts\n"
    seeds = max(len(found[part.name]) for part in parts for found in results.values())
    median_of = f"in the median of {seeds} seeds"
    yield f"Goodput by that of the whole, where it differs by more than 0.5 % {median_of}.\n"
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
    yield from tables.comment(plan.path_of(name))
    yield f"\n![goodput by window](benchmarks/{name}.svg)\n"
    yield "| contender | goodput | after | attainment | p99, ms | reached | busy | changes |"
    yield "|---|---|---|---|---|---|---|---|"
    for contender in NAMES:
        if found.get(contender):
            cells = tables.cells(contender, found[contender], found.get(LARGEST, {}))
            yield f"| {' | '.join(cells)} |"
