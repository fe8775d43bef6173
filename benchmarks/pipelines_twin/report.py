"""The figures of the pipelines benchmark as a section in Markdown."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

Found = dict[str, Any]
#: A share of the optimum from which on it is the optimum, but for rounding.
OPTIMAL: Final = 1 - 1e-9
#: The twin counts whole rounds; a rate within this share of the best is the best.
OPTIMAL_ON_THE_TWIN: Final = 0.995
#: Simpler splits: what each gives a step, so that every path keeps the budget.
CONTENDERS: Final = {
    "even": "even",
    "even_by_path": "even, by the longest path through each step",
    "proportional": "in proportion to service times",
    "proportional_by_path": "in proportion, by the longest path through each step",
}
_P99: Final = 99


def section(results: Found) -> str:
    """Return the figures as a section in Markdown."""
    host = results["machine"]
    return f"""## Pipelines on the digital twin

`make bench-pipelines-twin` on {results["date"]}, {host["cores"]} cores ({host["cpu"]}). Random
graphs of two to eight steps: chains, forks, joins and what is none of them. What is drawn stands in
`benchmarks/pipelines_twin/graphs.py`; the searches that try everything, in `oracles.py` beside it,
share no code with the balancer. Times are CPU time of one solve, the quickest of three. Raw
results: `benchmarks/results/`.

**Instances per step** ({len(results["throughput"]):,} graphs, memory and processors limited):

{_throughput(results["throughput"])}

{_twin(results["twin"])}

**The split of a latency budget** (cost is the number of instances; the budget is 1.2 to 3 times the
quickest way):

{_latency(results["latency"])}

**The live balancer**, from one instance of each step, {_live_words()}:

{_live(results)}

{_drawn(results["drawn"])}

An OCR pipeline on processors that its steps share (8 clients). The best is that of all assignments
of its two large steps on the twin; no more than K over the sum of v·p can be served:

{_processors(results["processors"])}"""


def _throughput(found: Sequence[Found]) -> str:
    shares = [each["share"] for each in found]
    times = [each["ms"] for each in found]
    optimal = sum(share >= OPTIMAL for share in shares) / len(shares)
    wrong = sum(not each["fits"] for each in found)
    return _table(
        (
            "exactly optimal",
            "worst share",
            "feasibility misjudged",
            "median ms",
            "p99 ms",
            "most ms",
        ),
        [(f"{optimal:.1%}", f"{min(shares):.4f}", str(wrong), *_times(times))],
    )


def _twin(found: Sequence[Found]) -> str:
    shares = [each["share"] for each in found]
    optimal = sum(share >= OPTIMAL_ON_THE_TWIN for share in shares) / len(shares)
    return (
        f"Of {len(found)} graphs of up to {max(each['steps'] for each in found)} steps every "
        f"assignment was run on the twin, where requests never ran out: ours is the best of them, "
        f"or within half a percent, in {optimal:.1%}; the worst share is {min(shares):.4f}."
    )


def _latency(shapes: Mapping[str, Sequence[Found]]) -> str:
    exact = _table(
        (
            *("shape", "splits", "all choices tried", "cheapest of all", "worst / cheapest"),
            *("proves that it is", "median ms", "p99 ms", "most ms"),
        ),
        [_exactness(shape, found) for shape, found in shapes.items()],
    )
    cheaper = _table(
        ("shape", "against a split", "saved, mean", "its cost / ours, mean", "most", "has none"),
        [
            (shape, words, *_against(found, key))
            for shape, found in shapes.items()
            for key, words in CONTENDERS.items()
        ],
    )
    return f"""{exact}

{cheaper}

*Has none*: the share of pipelines for which the simpler split leaves some step too little time for
a batch of one; they are in no mean. Where ours is the cheapest of all, nothing saves more."""


def _exactness(shape: str, found: Sequence[Found]) -> tuple[str, ...]:
    known = [each for each in found if each["cost"] is not None]
    tried = [each for each in known if each["best"] is not None]
    ratios = [each["cost"] / each["best"] for each in tried]
    proved = sum(each["cost"] <= each["at_least"] * (2 - OPTIMAL) for each in known)
    return (
        shape,
        str(len(known)),
        str(len(tried)),
        f"{sum(ratio <= 2 - OPTIMAL for ratio in ratios) / len(tried):.1%}",
        f"{max(ratios):.4f}",
        f"{proved / len(known):.1%}",
        *_times([each["ms"] for each in found]),
    )


def _against(found: Sequence[Found], key: str) -> tuple[str, str, str, str]:
    known = [each for each in found if each["cost"] is not None]
    both = [each for each in known if each[key] is not None]
    if not both:
        return "-", "-", "-", "100.0%"
    saved = statistics.mean(1 - each["cost"] / each[key] for each in both)
    ratios = [each[key] / each["cost"] for each in both]
    return (
        f"{saved:.1%}",
        f"{statistics.mean(ratios):.2f}",
        f"{max(ratios):.2f}",
        f"{1 - len(both) / len(known):.1%}",
    )


def _live_words() -> str:
    return (
        "40 clients that wait for each\nanswer, no reloads. The share is of the best assignment, "
        "of all that fit, from two windows on"
    )


def _live(results: Found) -> str:
    return _table(
        (
            *("pipeline", "instances", "windows it took", "share"),
            *("a step three times slower: instances", "windows it took", "share"),
        ),
        [
            (
                name,
                *_adapted(found),
                *_adapted(results["slower"][name]),
            )
            for name, found in results["pipelines"].items()
        ],
    )


def _adapted(found: Found) -> tuple[str, str, str]:
    return _list(found["instances"]), str(found["windows"]), f"{found['share']:.3f}"


def _drawn(found: Sequence[Found]) -> str:
    shares = [each["share"] for each in found]
    return (
        f"Of {len(found)} pipelines drawn at random, of {min(each['steps'] for each in found)} to "
        f"{max(each['steps'] for each in found)} steps that are unequal by 3 to 10, the share "
        f"from two windows on is {statistics.median(shares):.3f} (median), "
        f"{min(shares):.3f} (least)."
    )


def _processors(found: Sequence[Found]) -> str:
    return _table(
        (
            "K",
            "processor time",
            "requests/s",
            "share of the best",
            "K / Σ v·p",
            "instances",
            "taken back",
        ),
        [
            (
                f"{each['processors']:g}",
                "known" if each["known"] else "unknown",
                f"{each['served_per_s']:.2f}",
                f"{each['share']:.3f}",
                f"{each['bound']:.2f}",
                _list(each["instances"]),
                str(each["taken_back"]),
            )
            for each in found
        ],
    )


def _times(times: Sequence[float]) -> tuple[str, str, str]:
    return (
        f"{statistics.median(times):.2f}",
        f"{float(np.percentile(times, _P99)):.2f}",
        f"{max(times):.2f}",
    )


def _list(counts: Iterable[int]) -> str:
    return ", ".join(map(str, counts))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (columns, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(columns)}", *lines[1:]])
