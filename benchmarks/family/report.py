"""The family's tables: promises, contenders, groups of scenarios, and the worst of them."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Final

from benchmarks import common
from benchmarks.contenders.registry import BY_NAME
from benchmarks.family import generator, plan, store
from benchmarks.family.measures import PROMISES, Ratios, ratios
from benchmarks.family.plan import LARGEST, ORACLE

GUARDED: Final = "guarded"
_INTRODUCTION: Final = """## Models that nobody wrote a scenario for

`make bench-family`: random models, loads and limits (`benchmarks/family/generator.py` tells what
is drawn). The development half has the seeds 0, 1, 2, …; those of the validation half are drawn
from the commit that was measured, {}. *Goodput* and *device time* are by those of the best
configuration that never changes. The *ceiling* is what that configuration is worth when it comes
into force after the first window, by the scenario's own actuators: an algorithm that must look
before it acts can do little better."""


def ran(half: str, seeds: Sequence[int], contenders: Sequence[str]) -> list[int]:
    """Return the seeds of which the oracle and all contenders have run."""
    every = [store.read(half, name, plan.inputs(name)) for name in (ORACLE, LARGEST, *contenders)]
    keys = {seed: store.key(generator.draw(seed).scenario) for seed in seeds}
    return [seed for seed, key in keys.items() if all(key in found for found in every)]


def compared(half: str, seeds: Sequence[int], contender: str) -> dict[int, Ratios]:
    """Return the ratios of a contender by seed; it must have run with all of them."""
    read = {
        name: store.read(half, name, plan.inputs(name)) for name in (ORACLE, LARGEST, contender)
    }
    keys = {seed: store.key(generator.draw(seed).scenario) for seed in seeds}
    return {
        seed: ratios(read[contender][key], read[ORACLE][key], read[LARGEST][key])
        for seed, key in keys.items()
    }


def write(seeds: Mapping[str, Sequence[int]], contenders: Sequence[str], measured: str) -> None:
    """Write the section of docs/benchmarks.md: both halves apart, for all contenders."""
    halves = [told(half, chosen, contenders, worst=0) for half, chosen in seeds.items()]
    common.write_section("family", "\n\n".join([_INTRODUCTION.format(measured), *halves]))


def told(half: str, seeds: Sequence[int], contenders: Sequence[str], *, worst: int) -> str:
    """Return the table of a half as text, of what has run so far, and Guarded's worst scenarios."""
    asked, seeds = len(seeds), ran(half, seeds, contenders)
    if not seeds:
        return f"{half}: none of {asked} scenarios has run yet"
    head = f"| {half}: {len(seeds)} of {asked} scenarios | wanted | "
    lines = [head + " | ".join(contenders) + " |"]
    lines.append("|---|---|" + "---|" * len(contenders))
    every = {name: list(compared(half, seeds, name).values()) for name in contenders}
    for promise in PROMISES:
        sign = "≤" if promise.at_most else "≥"
        cells = [f"{promise.of(every[name]):.3f}" for name in contenders]
        lines.append(f"| {promise.title} | {sign} {promise.wanted} | " + " | ".join(cells) + " |")
    if GUARDED in contenders:
        lines += ["", *_without(every)] if any(BY_NAME[name].part for name in contenders) else []
        lines += ["", *_worst(half, seeds, worst)] if worst else []
    return "\n".join(lines)


def _without(every: Mapping[str, Sequence[Ratios]]) -> Iterator[str]:
    """Yield a table of what Guarded loses without a part, where it makes a difference at all."""
    yield "| without | differs in | goodput of the whole run | device time in the second half |"
    yield "|---|---|---|---|"
    for name, found in every.items():
        pairs = [
            (mine, other)
            for mine, other in zip(every[GUARDED], found, strict=True)
            if BY_NAME[name].part and mine != other
        ]
        if pairs:
            cells = [
                f"{_mean(field, [mine for mine, _ in pairs]):.3f} → "
                f"{_mean(field, [other for _, other in pairs]):.3f}"
                for field in ("whole", "busy")
            ]
            yield f"| {BY_NAME[name].part} | {len(pairs)} | {cells[0]} | {cells[1]} |"


def _mean(field: str, every: Sequence[Ratios]) -> float:
    return fmean(value for each in every if (value := getattr(each, field)) is not None)


def _worst(half: str, seeds: Sequence[int], count: int) -> list[str]:
    found = compared(half, seeds, GUARDED)
    records = store.read(half, GUARDED, plan.inputs(GUARDED))
    best = store.read(half, ORACLE, plan.inputs(ORACLE))
    lines: list[str] = []
    for seed in sorted(found, key=lambda seed: found[seed].whole or 1.0)[:count]:
        drawn = generator.draw(seed)
        key, each = store.key(drawn.scenario), found[seed]
        lines.append(f"{seed}: {each} {dict(drawn.traits)} target {drawn.scenario.target_ms}")
        lines.append(f"    oracle {best[key]['final']} {best[key]['attainment']}")
        lines += [f"    {change}" for change in records[key]["changes"]]
    return lines
