"""How well the digital twin foretells the latency of a real Triton.

``make bench`` loads 36 configurations of the dynamic batcher one after another and sends each a
Poisson stream, open loop, for 7 s. The model sleeps for tau(b) = fixed + per item * b, so that
its service time is known and CPU is no limit. The twin (core/queueing.py) then serves the same
arrivals, the times at which requests were due, with what an operator could know:

- the service times that Triton counted in this run for each executed batch size, interpolated
  where a size did not occur;
- one overhead per request, the same for all configurations: median latency less service time
  of requests that never wait. It holds the network, both HTTP ends and Triton's own work.

Compared are p50 and p99 of the latency from the due time, of requests due after the first
second, and the mean batch size of the whole run. An error is (twin - Triton) / Triton.

Not measured: models that compute (whose batches slow each other down on shared cores), models
with variable dimensions, preferred batch sizes, requests that carry batches of their own,
overload, and whether service times of one configuration hold for another.

It takes six minutes, writes one JSON file with every figure to benchmarks/results and the table
to docs/benchmarks.md. It fails only if a request did. Nothing else should run meanwhile.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import common
from ferryman.api.batching import Batching
from ferryman.clients import load, load_inputs
from ferryman.clients.load import LoadResult, LoadSettings
from ferryman.clients.load_report import nearest_rank
from ferryman.core import counters, queueing
from ferryman.core.counters import Totals
from ferryman.core.queueing import Batcher
from hack.models import sleeper
from tests.integration.tritonserver import TritonServer

NAME: Final = "twin-validation"
SEED: Final = 2_051
WARM_UP_S: Final = 1.0
MEASURED_S: Final = 6.0
#: Triton counts a batch shortly after it has answered.
SETTLE_S: Final = 0.2
IDLE_RATE_PER_S: Final = 20
DELAYS_US: Final = (0, 5_000, 20_000)
PERCENTILES: Final = (50, 99)
WORST_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Service:
    """A sleeper: tau(b) = fixed_us + per_item_us * b microseconds."""

    name: str
    fixed_us: int
    per_item_us: int

    def capacity_per_s(self, batching: Batching) -> float:
        """Return how many requests a second full batches on all instances serve."""
        bound = batching.max_batch_size
        return batching.instances * bound * 1e6 / (self.fixed_us + self.per_item_us * bound)


@dataclass(frozen=True, slots=True)
class Case:
    """One configuration, and the share of its capacity that is offered."""

    service: Service
    batching: Batching
    load: float

    @property
    def rate_per_s(self) -> float:
        """Offered requests per second."""
        return self.load * self.service.capacity_per_s(self.batching)

    def __str__(self) -> str:
        batching = self.batching
        return (
            f"{self.service.name}, bound {batching.max_batch_size}, "
            f"delay {batching.max_queue_delay_microseconds // 1000} ms, "
            f"{batching.instances} instance(s), load {self.load}"
        )


QUICK: Final = Service("quick", 8_000, 1_000)
FLAT: Final = Service("flat", 20_000, 500)
SLOW: Final = Service("slow", 40_000, 4_000)
SERVICES: Final = (QUICK, FLAT, SLOW)
#: Service, bound, instances, and the load at each of the delays. Rates stay below 250/s, so
#: that the generator and Triton are far from the limits of two cores.
ROWS: Final = (
    (QUICK, 1, 1, (0.5, 0.85, 0.7)),
    (QUICK, 2, 2, (0.3, 0.6, 0.45)),
    (QUICK, 4, 1, (0.45, 0.7, 0.6)),
    (QUICK, 16, 1, (0.35, 0.3, 0.35)),
    (FLAT, 1, 2, (0.85, 0.3, 0.6)),
    (FLAT, 2, 1, (0.7, 0.5, 0.85)),
    (FLAT, 4, 2, (0.6, 0.3, 0.5)),
    (FLAT, 8, 1, (0.6, 0.3, 0.7)),
    (SLOW, 8, 2, (0.85, 0.5, 0.7)),
    (SLOW, 16, 2, (0.5, 0.7, 0.3)),
    (SLOW, 32, 1, (0.85, 0.3, 0.6)),
    (SLOW, 32, 2, (0.3, 0.45, 0.6)),
)
CASES: Final = tuple(
    Case(
        service,
        Batching(max_batch_size=bound, max_queue_delay_microseconds=delay_us, instances=instances),
        share,
    )
    for service, bound, instances, shares in ROWS
    for delay_us, share in zip(DELAYS_US, shares, strict=True)
)
IDLE: Final = Case(
    QUICK, Batching(max_batch_size=1), IDLE_RATE_PER_S * (QUICK.fixed_us + QUICK.per_item_us) / 1e6
)


@dataclass(frozen=True, slots=True)
class Run:
    """What one configuration did on Triton: every request, and Triton's own counters."""

    result: LoadResult
    totals: Totals

    @property
    def due_s(self) -> list[float]:
        """When requests were due, in seconds from the start, ascending."""
        return sorted(record.due_s for record in self.result.records)

    @property
    def latencies_ms(self) -> list[float]:
        """Ascending latencies of what was due after the warm-up and was answered."""
        return sorted(
            record.latency_ms
            for record in self.result.records
            if record.due_s >= WARM_UP_S and record.latency_ms is not None
        )


def write_models(repository: Path) -> None:
    """Write one sleeper for each service time into a model repository."""
    for service in SERVICES:
        text = sleeper.config(fixed_us=service.fixed_us, per_item_us=service.per_item_us)
        sleeper.write(repository / service.name, text)


async def observe(server: TritonServer, case: Case, settings: LoadSettings) -> Run:
    """Put a configuration in force, send it requests, and return what it did."""
    url, model = f"http://{server.http_url}", case.service.name
    async with common.connected(server, model) as client:
        await client.apply_batching(case.batching)
        requests = load_inputs.random_requests(await load.signature_of(url, model), 1, SEED)
        before = await client.statistics()
        result = await load.run(url, model, requests, settings)
        await asyncio.sleep(SETTLE_S)
        return Run(result, counters.increase(before, await client.statistics()))


async def idle_overhead_ms(server: TritonServer) -> float:
    """Return what a request costs besides its service, in milliseconds, where none waits."""
    lasts_s = WARM_UP_S + MEASURED_S
    run = await observe(server, IDLE, LoadSettings(IDLE_RATE_PER_S, lasts_s, arrivals="constant"))
    (service_s,) = service_times_s(run.totals.batches, 1)
    return statistics.median(run.latencies_ms) - service_s * 1e3


def service_times_s(batches: Mapping[int, tuple[int, int]], bound: int) -> tuple[float, ...]:
    """Return tau(b) in seconds of b = 1 to the bound, from (executions, nanoseconds) by size.

    Sizes between those executed are interpolated. Those beyond lie on the line of least squares
    through the executions, but not below the shortest time measured. Raises ValueError when
    nothing was executed.
    """
    if not batches:
        raise ValueError("no batch was executed")
    known = np.array(sorted(batches))
    times_s = np.array([batches[size][1] / batches[size][0] / 1e9 for size in known])
    sizes = np.arange(1, bound + 1)
    found = np.interp(sizes, known, times_s)
    if known.size > 1:
        weights = np.sqrt([batches[size][0] for size in known])
        line = np.polyval(np.polyfit(known, times_s, 1, w=weights), sizes)
        outside = (sizes < known[0]) | (sizes > known[-1])
        found[outside] = np.maximum(line[outside], times_s.min())
    return tuple(found.tolist())


def compare(case: Case, run: Run, overhead_ms: float) -> dict[str, Any]:
    """Return all figures of a configuration, on Triton and by the twin on the same arrivals."""
    totals = run.totals
    service_s = service_times_s(totals.batches, case.batching.max_batch_size)
    real = _figures(run.latencies_ms, totals.inferences / max(1, totals.executions))
    twin = foretell(run.due_s, Batcher(case.batching, service_s), overhead_ms)
    return {
        "case": str(case),
        "service": asdict(case.service),
        "batching": case.batching.model_dump(),
        "load": case.load,
        "rate_per_s": round(case.rate_per_s, 2),
        "triton": real,
        "twin": twin,
        "error": {key: round((twin[key] - real[key]) / real[key], 4) for key in real},
        "service_ms": [round(time_s * 1e3, 3) for time_s in service_s],
        "executions": {size: count for size, (count, _) in sorted(totals.batches.items())},
        "summary": run.result.summary.as_dict(),
    }


def foretell(due_s: list[float], batcher: Batcher, overhead_ms: float) -> dict[str, float]:
    """Return the figures by the twin, of what is due after the warm-up, on given arrivals."""
    outcome = queueing.simulate(due_s, batcher)
    latencies_ms = outcome.latencies_s[np.array(due_s) >= WARM_UP_S] * 1e3 + overhead_ms
    return _figures(sorted(latencies_ms.tolist()), len(due_s) / outcome.batches.sizes.size)


def _figures(ascending_ms: Sequence[float], mean_batch: float) -> dict[str, float]:
    """Return the compared figures of latencies in milliseconds."""
    ranks = {f"p{p}_ms": nearest_rank(ascending_ms, p) or float("nan") for p in PERCENTILES}
    return {name: round(value, 3) for name, value in {**ranks, "mean_batch": mean_batch}.items()}


def section(report: dict[str, Any]) -> str:
    """Return the figures as a section in Markdown."""
    cases, host = report["cases"], report["machine"]
    groups = {f"{us // 1000} ms": [c for c in cases if _delay_us(c) == us] for us in DELAYS_US}
    rows = [_row(name, group) for name, group in ({**groups, "all": cases}).items() if group]
    worst = sorted(cases, key=lambda c: -abs(c["error"]["p99_ms"]))[:WORST_SHOWN]
    return f"""## The digital twin against Triton

`make bench` on {report["date"]}, {host["cores"]} cores ({host["cpu"]}), Triton 2.51. A model that
sleeps for a known time is served under {len(cases)} configurations of bound, queue delay,
instances and load, {report["measured_s"]:.0f} s each after {report["warm_up_s"]:.0f} s of warm-up.
The twin serves the same arrivals with the service times that Triton counted, and adds
{report["overhead_ms"]:.2f} ms to each request: what an idle server takes beyond the service.
Shown are the errors, (twin - Triton) / Triton, of p50, p99 and mean batch size: the median of
their sizes, and the worst with its sign. Raw results: `benchmarks/results/`.

| queue delay | configurations | p50 | worst | p99 | worst | mean batch | worst |
|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Where the p99 is furthest off:

| configuration | Triton, ms | twin, ms | error |
|---|---|---|---|
{chr(10).join(_worst_row(case) for case in worst)}

Requests sent: {_sum(cases, "sent")}; failed: {_sum(cases, "failed")}.
"""


def _delay_us(case: dict[str, Any]) -> int:
    return int(case["batching"]["max_queue_delay_microseconds"])


def _row(name: str, cases: Sequence[dict[str, Any]]) -> str:
    """Return a row: median and worst error of each figure over some configurations."""
    cells = [name, str(len(cases))]
    for figure in cases[0]["error"]:
        errors = [case["error"][figure] for case in cases]
        cells += [f"{statistics.median(map(abs, errors)):.1%}", f"{max(errors, key=abs):+.1%}"]
    return f"| {' | '.join(cells)} |"


def _worst_row(case: dict[str, Any]) -> str:
    figures = (case[side]["p99_ms"] for side in ("triton", "twin"))
    cells = " | ".join(f"{p99_ms:.1f}" for p99_ms in figures)
    return f"| {case['case']} | {cells} | {case['error']['p99_ms']:+.1%} |"


def _sum(cases: Sequence[dict[str, Any]], what: str) -> int:
    return sum(case["summary"][what] for case in cases)


async def _compare_all(cases: Sequence[Case], measured_s: float) -> dict[str, Any]:
    """Run the configurations one after another on one server."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder))
        models = [service.name for service in SERVICES]
        with TritonServer(Path(folder), models=models) as server:
            overhead_ms = await idle_overhead_ms(server)
            print(f"overhead of a request: {overhead_ms:.2f} ms", flush=True)
            for seed, case in enumerate(cases, SEED):
                settings = LoadSettings(case.rate_per_s, WARM_UP_S + measured_s, seed=seed)
                run = await observe(server, case, settings)
                found.append({"seed": seed, **compare(case, run, overhead_ms)})
                print(f"{case}: {found[-1]['triton']} {found[-1]['twin']}", flush=True)
    return {"overhead_ms": round(overhead_ms, 3), "cases": found}


def measure(cases: Sequence[Case] = CASES, measured_s: float = MEASURED_S) -> dict[str, Any]:
    """Return the report of a run over some configurations, ``measured_s`` seconds each."""
    began_s, busy = time.monotonic(), os.getloadavg()[0]
    found = asyncio.run(_compare_all(cases, measured_s))
    return {
        "date": common.today(),
        "machine": common.machine() | {"load_average_before": round(busy, 2)},
        "took_s": round(time.monotonic() - began_s, 1),
        "warm_up_s": WARM_UP_S,
        "measured_s": measured_s,
        **found,
    }


def main() -> int:
    """Measure, write the results, and fail if any request did."""
    argparse.ArgumentParser(prog="make bench", description=__doc__).parse_args()
    report = measure()
    common.write_results(NAME, report)
    common.write_section(NAME, section(report))
    print(section(report))
    return 1 if _sum(report["cases"], "failed") else 0


if __name__ == "__main__":
    sys.exit(main())
