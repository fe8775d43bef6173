"""The figures of the twin's validation as a section in Markdown."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any, Final

from benchmarks.twin_cases import DELAYS_US

WORST_SHOWN: Final = 5
Found = dict[str, Any]


def section(report: Found) -> str:
    """Return the figures as a section in Markdown."""
    cases, host = report["cases"], report["machine"]
    serving = [case for case in cases if not rejects(case)]
    rejecting = [case for case in cases if rejects(case)]
    worst = sorted(serving, key=lambda c: -abs(c["error"]["p99_ms"]))[:WORST_SHOWN]
    return f"""## The digital twin against Triton

`make bench-live` on {report["date"]}, {host["cores"]} cores ({host["cpu"]}), Triton 2.51. A model
that sleeps for a known time is served under {len(cases)} configurations of bound, queue delay,
preferred sizes, queue policy, instances and load, {report["measured_s"]:g} s each after
{report["warm_up_s"]:g} s of warm-up.
The twin serves the same arrivals with the service times that Triton counted, and adds
{report["overhead_ms"]:.2f} ms to each request: what an idle server takes beyond the service.
Shown are the errors, (twin - Triton) / Triton, of p50, p99 and mean batch size: the median of
their sizes, and the worst with its sign. Raw results: `benchmarks/results/`.

| queue delay | configurations | p50 | worst | p99 | worst | mean batch | worst |
|---|---|---|---|---|---|---|---|
{_lines(_row(name, group) for name, group in _groups(serving))}

Where the p99 is furthest off:

| configuration | Triton, ms | twin, ms | error |
|---|---|---|---|
{_lines(_worst_row(case) for case in worst)}

With queue policies: the share of the requests that was rejected, and latencies of the others.

| configuration | rejected by Triton | by the twin | p50, ms | twin | p99, ms | twin |
|---|---|---|---|---|---|---|
{_lines(_rejecting_row(case) for case in rejecting)}

Requests sent: {_sum(cases, "sent")}; failed, apart from those rejected: {_sum(cases, "failed")}.
"""


def _groups(serving: Sequence[Found]) -> Iterator[tuple[str, Sequence[Found]]]:
    """Group configurations without queue policy; groups without any are left out."""
    plain = [case for case in serving if "preferred_batch_size" not in case["batching"]]
    groups = {
        **{f"{us // 1000} ms": [c for c in plain if _delay_us(c) == us] for us in DELAYS_US},
        "preferred sizes": [case for case in serving if case not in plain],
        "all": serving,
    }
    return ((name, group) for name, group in groups.items() if group)


def rejects(case: Found) -> bool:
    """Say whether a configuration has a queue policy, which turns requests away."""
    return bool({"default_timeout_microseconds", "max_queue_size"} & case["batching"].keys())


def _delay_us(case: Found) -> int:
    return int(case["batching"]["max_queue_delay_microseconds"])


def _row(name: str, cases: Sequence[Found]) -> str:
    """Return a row: median and worst error of each figure over some configurations."""
    cells = [name, str(len(cases))]
    for figure in cases[0]["error"]:
        errors = [case["error"][figure] for case in cases]
        cells += [f"{statistics.median(map(abs, errors)):.1%}", f"{max(errors, key=abs):+.1%}"]
    return f"| {' | '.join(cells)} |"


def _worst_row(case: Found) -> str:
    figures = (case[side]["p99_ms"] for side in ("triton", "twin"))
    cells = " | ".join(f"{p99_ms:.1f}" for p99_ms in figures)
    return f"| {case['case']} | {cells} | {case['error']['p99_ms']:+.1%} |"


def _rejecting_row(case: Found) -> str:
    sides = case["triton"], case["twin"]
    cells = [f"{side['rejected']:.1%}" for side in sides]
    cells += [f"{side[key]:.1f}" for key in ("p50_ms", "p99_ms") for side in sides]
    return f"| {case['case']} | {' | '.join(cells)} |"


def _lines(rows: Iterator[str]) -> str:
    return "\n".join(rows)


def _sum(cases: Sequence[Found], what: str) -> int:
    return sum(case[what] for case in cases)
