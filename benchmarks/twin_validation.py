"""How well the digital twin foretells the latency of a real Triton.

``make bench-live`` loads the configurations of twin_cases.py one after another and sends each a
Poisson stream, open loop, for 6.5 s. The model sleeps for tau(b) = fixed + per item * b, so that
its service time is known and CPU is no limit. The twin
(core/queue_model/queueing.py) then serves the same arrivals, the times at which requests were
due, with what an operator could know:

- the service times that Triton counted in this run for each executed batch size, interpolated
  where a size did not occur;
- one overhead per request, the same for all configurations: median latency less service time
  of requests that never wait. It holds the network, both HTTP ends and Triton's own work.

Compared are p50 and p99 of the latency from the due time, of requests due after the first
second that were answered, the share of these requests that was rejected, and the mean batch
size of the whole run. An error is (twin - Triton) / Triton.

Not measured: models that compute (whose batches slow each other down on shared cores), models
with variable dimensions, requests that carry batches of their own, overload without a queue
policy, and whether service times of one configuration hold for another.

It takes seven minutes, writes one JSON file with every figure to benchmarks/results and the table
to docs/benchmarks.md. It fails only if a request did, for another reason than a queue policy.
Nothing else should run meanwhile: under a queue policy Triton misses that an instance is idle
when its batcher wakes before the instance's thread says so, and looks again only at the next
arrival or after half a second; that happens where threads must wait for a core.
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

from benchmarks import common, servers
from benchmarks.twin_cases import CASES, IDLE, IDLE_RATE_PER_S, SERVICES, Case
from benchmarks.twin_report import section
from ferryman.clients import load_inputs
from ferryman.clients.load import generator as load
from ferryman.clients.load.generator import LoadResult, LoadSettings
from ferryman.clients.load.report import Record, nearest_rank
from ferryman.core.observation import counters
from ferryman.core.observation.counters import Totals
from ferryman.core.queue_model import queueing
from ferryman.core.queue_model.queueing import Batcher
from hack.models import sleeper
from tests.integration.tritonserver import TritonServer

NAME: Final = "twin-validation"
SEED: Final = 2_051
WARM_UP_S: Final = 1.0
MEASURED_S: Final = 5.5
#: Triton counts a batch shortly after it has answered.
SETTLE_S: Final = 0.2
PERCENTILES: Final = (50, 99)
#: What Triton says to those whom the queue policy rejects.
REJECTIONS: Final = ("Request timeout expired", "Exceeds maximum queue size")


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
    def measured(self) -> list[Record]:
        """Requests that were due after the warm-up."""
        return [record for record in self.result.records if record.due_s >= WARM_UP_S]

    @property
    def latencies_ms(self) -> list[float]:
        """Ascending latencies of those of them that were answered."""
        return sorted(each.latency_ms for each in self.measured if each.latency_ms is not None)

    @property
    def failed(self) -> int:
        """Requests of the whole run that failed for another reason than a queue policy."""
        records = self.result.records
        return sum(each.latency_ms is None and not is_rejected(each) for each in records)


def is_rejected(record: Record) -> bool:
    """Say whether a queue policy rejected a request."""
    return any(words in record.detail for words in REJECTIONS)


def write_models(repository: Path) -> None:
    """Write one sleeper for each service time into a model repository."""
    for service in SERVICES:
        text = sleeper.config(fixed_us=service.fixed_us, per_item_us=service.per_item_us)
        sleeper.write(repository / service.name, text)


async def observe(server: TritonServer, case: Case, settings: LoadSettings) -> Run:
    """Put a configuration in force, send it requests, and return what it did."""
    url, model = f"http://{server.http_url}", case.service.name
    async with servers.connected(server, model) as client:
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
    rejected = sum(is_rejected(record) for record in run.measured) / len(run.measured)
    mean_batch = totals.inferences / max(1, totals.executions)
    real = _figures(run.latencies_ms, mean_batch, rejected)
    twin = foretell(run.due_s, Batcher(case.batching, service_s), overhead_ms)
    compared = [key for key in real if key != "rejected"]
    return {
        "case": str(case),
        "service": asdict(case.service),
        "batching": case.batching.model_dump(),
        "load": case.load,
        "rate_per_s": round(case.rate_per_s, 2),
        "triton": real,
        "twin": twin,
        "error": {key: round((twin[key] - real[key]) / real[key], 4) for key in compared},
        "service_ms": [round(time_s * 1e3, 3) for time_s in service_s],
        "executions": {size: count for size, (count, _) in sorted(totals.batches.items())},
        "sent": len(run.result.records),
        "failed": run.failed,
        "summary": run.result.summary.as_dict(),
    }


def foretell(due_s: list[float], batcher: Batcher, overhead_ms: float) -> dict[str, float]:
    """Return the figures by the twin, of what is due after the warm-up, on given arrivals."""
    outcome = queueing.simulate(due_s, batcher)
    batches, measured = outcome.batches, np.array(due_s) >= WARM_UP_S
    latencies_ms = outcome.latencies_s[measured[batches.requests]] * 1e3 + overhead_ms
    return _figures(
        sorted(latencies_ms.tolist()),
        batches.requests.size / batches.sizes.size,
        float(measured[batches.rejected].sum() / measured.sum()),
    )


def _figures(ascending_ms: Sequence[float], mean_batch: float, rejected: float) -> dict[str, float]:
    """Return the compared figures of latencies in milliseconds."""
    ranks = {f"p{p}_ms": nearest_rank(ascending_ms, p) or float("nan") for p in PERCENTILES}
    figures = {**ranks, "mean_batch": mean_batch, "rejected": rejected}
    return {name: round(value, 4) for name, value in figures.items()}


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
    argparse.ArgumentParser(prog="make bench-live", description=__doc__).parse_args()
    report = measure()
    common.write_results(NAME, report)
    common.write_section(NAME, section(report))
    print(section(report))
    return 1 if any(case["failed"] for case in report["cases"]) else 0


if __name__ == "__main__":
    common.end_on_signals()
    sys.exit(main())
