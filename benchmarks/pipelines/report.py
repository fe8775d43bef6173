"""The tables of the benchmark of pipelines: medians of the rounds, and the worst."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.pipelines import balanced, changes, founding, ocr, overload, proxied

Rounds = Sequence[Mapping[str, Any]]


def section(report: Mapping[str, Any]) -> str:
    """Return the figures as a section in Markdown; medians of the rounds, and the worst."""
    host, rounds = report["machine"], report["rounds"]
    parts = [name for name in BLOCKS if name in rounds[0]]
    title, command = "Pipelines", "make bench-pipelines"
    if len(parts) < len(BLOCKS):
        title = f"{title}: {', '.join(parts)}"
        command = f"python -m benchmarks.pipelines.run --only {' '.join(parts)}"
    return f"""## {title}

`{command}` on {report["date"]}, {host["cores"]} cores ({host["cpu"]}): ensembles
as Ferryman makes them, on a real tritonserver, of steps that sleep. The median of all rounds (here
{len(rounds)}), and the worst in brackets. Raw results: `benchmarks/results/`.

{"".join(block(rounds) for name, block in BLOCKS.items() if name in rounds[0])}"""


def _founding_block(rounds: Rounds) -> str:
    return f"""
| the founding examples | measured | ideal |
|---|---|---|
{_founding(rounds)}
"""


def _transfers_block(rounds: Rounds) -> str:
    return f"""
| 4.9 MB through three steps that do nothing | p50 ms |
|---|---|
{_transfers(rounds)}
"""


def _proxy_block(rounds: Rounds) -> str:
    ways = (proxied.WHOLE, proxied.PROXY, proxied.ORCHESTRATOR)
    return f"""
Three steps that do nothing, the second on a server of its own; p50 ms of one client, the ways in
turns. Added is what the cut adds to the ensemble on one server:

| | {" | ".join(ways)} | proxy / orchestrator | added |
|---|---|---|---|---|---|
{_proxy(rounds)}
"""


def _proxy(rounds: Rounds) -> str:
    rows = []
    for size in proxied.SIZES:
        runs = [one["proxy"][size] for one in rounds]
        cells = [
            _worst([run[way] for run in runs], "")
            for way in (proxied.WHOLE, proxied.PROXY, proxied.ORCHESTRATOR)
        ]
        share = _worst([run[proxied.PROXY] / run[proxied.ORCHESTRATOR] for run in runs], "")
        added = _worst([run[proxied.PROXY] - run[proxied.WHOLE] for run in runs], "")
        rows.append(f"| {' | '.join([size, *cells, share, added])} |")
    return "\n".join(rows)


def _balanced_block(rounds: Rounds) -> str:
    return f"""
Balanced live, from one worker for each step; {balanced.WORKERS} workers in all, and
{balanced.CLIENTS} requests always under way. The best assignment is found by trying all. What it
came to is served in turns with it on the same server, {balanced.DUELS} times
{balanced.DUEL_S:g} s each; where both are the same, their share is 1. Beside it what was served of
what the steps' sleeps leave room for, which no server reaches:

| pipeline | workers | best | requests/s / those of the best | … / what sleeps allow | windows |
|---|---|---|---|---|---|
{_balanced(rounds)}

A window takes {balanced.WINDOW_S:g} s. {_totals(rounds)}
"""


def _overload_block(rounds: Rounds) -> str:
    def of(figure: str) -> list[float]:
        return [one["overload"][figure] for one in rounds]

    target_ms = overload.TARGET_MS
    return f"""
{overload.OVERLOAD:g} times what can be answered, for {overload.OVERLOADED_S:g} s, with a latency
target of {target_ms} ms:

| | measured | wanted |
|---|---|---|
| accepted, p99 | {_worst(of("p99_ms"), "ms")} | {1.05 * target_ms:g} ms |
| accepted, of what can be answered | {_worst(of("goodput_share"), "", least=True)} | 0.9 |
| requests | {sum(of("sent")):,.0f} | |
| neither answered nor rejected | {sum(of("otherwise")):,.0f} | 0 |
"""


def _ocr_block(rounds: Rounds) -> str:
    runs = [one["ocr"] for one in rounds]
    last = runs[-1]
    requests, failed, reloads = (
        sum(each[key] for each in runs) for key in ("all_requests", "all_failed", "reloads")
    )
    ceilings = [
        median(duel["best_per_s"] for duel in each["duels"]) / each["ceiling_per_s"]
        for each in runs
    ]
    after = [windows for each in runs for windows in ocr.withdrawn_after(each)]
    rows = (
        (
            "requests/s / those of the best assignment",
            _worst([balanced.share(run["duels"]) for run in runs], "", least=True),
        ),
        ("the best assignment's / K / Σ v·p, which no assignment exceeds", _worst(ceilings, "")),
        ("workers chosen", _workers(last["workers"])),
        ("the best of all that were tried", _workers(last["best"])),
        ("workers that did not help are withdrawn after, windows", _windows(after)),
        (
            "character accuracy while all this was changed",
            _worst([each["character_accuracy"] for each in runs], "", least=True),
        ),
    )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"""
OCR with trained networks (`hack/models/ocr`), {ocr.OcrLive.clients} requests always under way,
{last["cores"]} processors, balanced live from one worker for each step. Texts are held against
those that the same steps read in one process, on {last["pages"]} pages:

| OCR | measured |
|---|---|
{table}

{requests:,} pages, {failed} failed or read otherwise than in one process, {reloads} reloads.
"""


def _changes_block(rounds: Rounds) -> str:
    runs = [one["changes"] for one in rounds]
    rows = []
    for kind in changes.KINDS:
        own = [run["kinds"][kind] for run in runs]
        outcomes = sum((Counter(each["outcomes"]) for each in own), Counter())
        cells = (
            kind,
            str(sum(each["changes"] for each in own)),
            ", ".join(f"{count} {name}" for name, count in outcomes.items()),
            f"{max(each['longest_away_s'] for each in own):.2f} s",
            str(sum(each["failed"] for each in own)),
        )
        rows.append(f"| {' | '.join(cells)} |")
    table = "\n".join(rows)
    return f"""
Changes of steps, drawn at random and carried out by the operator's actuator under load; the
ensemble is asked every {1e3 * changes.PROBED_EVERY_S:g} ms whether it is ready:

| change | number | outcomes | ensemble away, at most | requests failed |
|---|---|---|---|---|
{table}

{sum(run["requests"] for run in runs):,} requests.
"""


def _workers(workers: Mapping[str, int]) -> str:
    return " ".join(f"{name}={count}" for name, count in workers.items())


def _windows(after: Sequence[int]) -> str:
    return " ".join(map(str, after)) if after else "none were added"


BLOCKS: Final = {
    "founding": _founding_block,
    "transfers": _transfers_block,
    "proxy": _proxy_block,
    "balanced": _balanced_block,
    "overload": _overload_block,
    "ocr": _ocr_block,
    "changes": _changes_block,
}


def _founding(rounds: Rounds) -> str:
    def of(example: str, figure: str) -> list[float]:
        return [one["founding"][example][figure] for one in rounds]

    speedup = [
        many / one
        for many, one in zip(of("three workers", "per_s"), of("one worker", "per_s"), strict=True)
    ]
    count, step_ms = founding.ITEMS, 1e3 * founding.STEP_S
    whole_s = count * founding.STEPS * founding.STEP_S
    rows = (
        (
            f"{count} items, {founding.STEPS} steps of {step_ms:g} ms",
            _worst(of("items", "took_s"), "s"),
            f"{(count + founding.STEPS - 1) * founding.STEP_S:.2f} s",
        ),
        ("… one by one", _worst(of("one after the other", "took_s"), "s"), f"{whole_s:.2f} s"),
        ("produce 1, process 3: three workers / one", _worst(speedup, "", least=True), "3"),
        (
            "… a result waits for a worker, of the producer's period",
            _worst([100 * share for share in of("three workers", "waits_share")], "%"),
            "0 %",
        ),
        (
            "… the first result after",
            _worst(of("three workers", "first_s"), "s"),
            f"{founding.PRODUCE_S + founding.PROCESS_S:.2f} s",
        ),
        (
            f"branches of {_ms(founding.BRANCHES_S)}",
            _worst([1e3 * p50 for p50 in of("branches", "p50_s")], "ms"),
            f"{1e3 * max(founding.BRANCHES_S):g} ms",
        ),
        (
            f"at home: {_ms([m * founding.MINUTE_S for m in founding.HOME_MIN])} for minutes",
            _worst([1e3 * p50 for p50 in of("home", "p50_s")], "ms"),
            f"{1e3 * max(founding.HOME_MIN) * founding.MINUTE_S:g} ms",
        ),
    )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _ms(seconds: Sequence[float]) -> str:
    return " and ".join(f"{1e3 * each:g}" for each in seconds) + " ms"


def _worst(values: Sequence[float], unit: str, *, least: bool = False) -> str:
    worst = min(values) if least else max(values)
    return f"{median(values):.2f} {unit} ({worst:.2f})".replace("  ", " ")


def _transfers(rounds: Rounds) -> str:
    ways = rounds[0]["transfers"]
    return "\n".join(
        f"| {way} | {_worst([one['transfers'][way] for one in rounds], '')} |" for way in ways
    )


def _balanced(rounds: Rounds) -> str:
    rows = []
    for name in rounds[0]["balanced"]:
        runs = [one["balanced"][name] for one in rounds]
        shares = [balanced.share(each["balanced"]["duels"]) for each in runs]
        of_sleeps = [balanced.of_sleeps(each) for each in runs]
        windows = max(each["balanced"]["windows_to_settle"] for each in runs)
        last = runs[-1]
        workers = _counts(last["balanced"]["workers"].values())
        cells = [
            name,
            workers,
            _counts(last["best"].values()),
            _worst(shares, "", least=True),
            _worst(of_sleeps, "", least=True),
            str(windows),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _counts(workers: Any) -> str:  # noqa: ANN401
    return " ".join(map(str, workers))


def _totals(rounds: Rounds) -> str:
    each = [balanced.totals([*one["balanced"].values()]) for one in rounds]
    requests, failed, reloads = (sum(column) for column in zip(*each, strict=True))
    return f"{requests:,} requests, {failed} failed, {reloads} reloads."
