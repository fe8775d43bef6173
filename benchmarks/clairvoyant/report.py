"""The table of Guarded beside both oracles: its section of docs/benchmarks.md."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks import common

STATIC: Final = "static"
CLAIRVOYANT: Final = "clairvoyant"
LARGEST: Final = "largest"
GUARDED: Final = "guarded"
NAMES: Final = (STATIC, CLAIRVOYANT, LARGEST, GUARDED)
FOLDER: Final = common.RESULTS / "clairvoyant"

#: Guarded's attainment, by the clairvoyant's.
ATTAINED: Final = 0.99
#: Its device time at most, by the clairvoyant's and by the static oracle's.
BY_CLAIRVOYANT: Final = 1.15
BY_STATIC: Final = 0.85

_HEAD: Final = f"""## Guarded beside who knows the load

`make bench-clairvoyant`: loads that change (`benchmarks/scenarios_clairvoyant`), made so that it
pays to follow them: with short queue delays it does not. One seed. The *static*
oracle is the best configuration that never changes, the *clairvoyant* one the best configuration
of every phase, in force from the phase's first moment on without a reload
(`benchmarks/clairvoyant/schedule.py`); *largest* is the largest bound without delay. Device time is
by the static oracle's; *by the clairvoyant's* is Guarded's. Wanted of Guarded: attainment
≥ {ATTAINED} and device time ≤ {BY_CLAIRVOYANT} of the clairvoyant's, device time ≤ {BY_STATIC} of
the static oracle's. Where the clairvoyant itself stays above {BY_STATIC}, nobody can reach that.

| load | attainment: static | clairvoyant | largest | Guarded | device time: clairvoyant | largest \
| Guarded | by the clairvoyant's | held |
|---|---|---|---|---|---|---|---|---|---|"""

Result = Mapping[str, Any]


def write(scenarios: Sequence[str]) -> None:
    """Write the section for the scenarios that have all results."""
    common.write_section("clairvoyant", "\n".join([_HEAD, *lines(_results(scenarios))]))


def lines(results: Mapping[str, Mapping[str, Result]]) -> Iterator[str]:
    """Yield a line of the table for each scenario."""
    for name, found in results.items():
        attained = [f"{found[each]['attainment']:.4f}" for each in NAMES]
        static_s = found[STATIC]["busy"]
        busy = [f"{found[each]['busy'] / static_s:.3f}" for each in NAMES[1:]]
        beside = found[GUARDED]["busy"] / found[CLAIRVOYANT]["busy"]
        held = ", ".join(_held(found)) or "nothing"
        yield f"| {name} | {' | '.join([*attained, *busy])} | {beside:.3f} | {held} |"


def _held(found: Mapping[str, Result]) -> Iterator[str]:
    """Yield what Guarded holds of what is wanted."""
    ours, best = found[GUARDED], found[CLAIRVOYANT]
    if ours["attainment"] >= ATTAINED * best["attainment"]:
        yield "attainment"
    if ours["busy"] <= BY_CLAIRVOYANT * best["busy"]:
        yield "device time by the clairvoyant's"
    if ours["busy"] <= BY_STATIC * found[STATIC]["busy"]:
        yield "by the static one's"


def _results(scenarios: Sequence[str]) -> dict[str, dict[str, Result]]:
    """Return the results by scenario and contender, as far as all of them are there."""
    paths = {name: [FOLDER / name / f"{each}.json" for each in NAMES] for name in scenarios}
    return {
        name: {path.stem: _only(path.read_text(encoding="utf-8")) for path in each}
        for name, each in paths.items()
        if all(path.exists() for path in each)
    }


def _only(text: str) -> Result:
    [result] = json.loads(text)["results"].values()
    found: Result = result
    return found
