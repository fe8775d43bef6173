"""What hundreds of reloads in a row do to one Triton: its memory, and the latency meanwhile.

``python -m benchmarks.reloads`` starts a server with one model, sends it a light open-loop load,
and reloads it (bound 16, bound 8, in turn), 300 times for the sleeper (Python backend) and 100
times on a server of its own for digits (onnxruntime); about eleven minutes. After each reload, when
the previous copy has been unloaded, it reads the memory (RSS), threads and open files of the
server, and the memory of its stub processes. It writes one JSON file with every figure to
benchmarks/results and a section to docs/benchmarks.md. Nothing else should run meanwhile.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import common, servers
from ferryman.api.batching import Batching, Guardrails
from ferryman.clients import load_inputs
from ferryman.clients.load import generator as load
from ferryman.clients.load.generator import LoadResult, LoadSettings
from ferryman.clients.load.report import Record
from ferryman.clients.triton import TritonServer as TritonClient
from ferryman.core.observation.mann_kendall import mann_kendall
from hack.models import digits, sleeper
from tests.integration.tritonserver import TritonServer

NAME: Final = "reloads"
SEED: Final = 300
RATE_PER_S: Final = 50
BOUNDS: Final = (16, 8)
#: From the end of a reload to the reading: the previous copy is unloaded in the background.
SETTLE_S: Final = 0.2
#: The first reloads fill caches and allocators; growth is what comes after them.
WARM_UP_SHARE: Final = 0.1
#: |Z| beyond this is a trend, at 5 % (Mann-Kendall, two-sided).
SIGNIFICANT_Z: Final = 1.96
#: A pod is to be replaced before growth takes this share of what the server needs.
HEADROOM: Final = 0.20
_MIB: Final = 2**20
_KIB: Final = 2**10
_DIGITS_CONFIG: Final = """
backend: "onnxruntime" max_batch_size: 16 dynamic_batching {}
instance_group { count: 1 kind: KIND_CPU }
"""


@dataclass(frozen=True, slots=True)
class Model:
    """A model, its backend, how to write it, and how often it is reloaded."""

    name: str
    backend: str
    reloads: int
    write: Callable[[Path], None]


def _write_sleeper(folder: Path) -> None:
    sleeper.write(folder, sleeper.config(fixed_us=5_000, per_item_us=500))


def _write_digits(folder: Path) -> None:
    digits.write(folder)
    (folder / "config.pbtxt").write_text(_DIGITS_CONFIG)


MODELS: Final = (
    Model("sleeper", "python", 300, _write_sleeper),
    Model("digits", "onnxruntime", 100, _write_digits),
)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the server and its stub processes hold."""

    server_rss_bytes: int
    stubs_rss_bytes: int
    stubs: int
    threads: int
    open_files: int
    """Of the server, its sockets left out."""

    @property
    def rss_bytes(self) -> int:
        """Of the server and its stubs."""
        return self.server_rss_bytes + self.stubs_rss_bytes


@dataclass(frozen=True, slots=True)
class Reload:
    """One reload; times in seconds since the load began."""

    began_s: float
    took_s: float
    until_s: float
    """When the next one began."""
    after: Footprint


def footprint(pid: int) -> Footprint:
    """Read what a server and all its descendants hold now, from /proc."""
    stubs = [_rss_bytes(child) for child in _descendants(pid)]
    status = Path(f"/proc/{pid}/status").read_text()
    return Footprint(
        server_rss_bytes=_rss_bytes(pid),
        stubs_rss_bytes=sum(stubs),
        stubs=len(stubs),
        threads=_field(status, "Threads"),
        open_files=_open_files(pid),
    )


def _open_files(pid: int) -> int:
    """Count the server's open files; sockets come and go with the load generator."""
    count = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += not str(file.readlink()).startswith("socket:")
        except FileNotFoundError:  # closed meanwhile
            continue
    return count


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(text) for task in tasks for text in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return found
    for child in children:
        found += [child, *_descendants(child)]
    return found


def _rss_bytes(pid: int) -> int:
    try:
        return _field(Path(f"/proc/{pid}/status").read_text(), "VmRSS") * _KIB
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0


def _field(status: str, name: str) -> int:
    """Return a number of /proc/PID/status; 0 where a process that ends has it no more."""
    lines = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(lines[0].split()[1]) if lines else 0


async def reload_often(
    client: TritonClient, pid: int, times: int, done: asyncio.Event
) -> list[Reload]:
    """Reload so many times, one after another, and tell on the way how it goes."""
    started_s = time.monotonic()
    found: list[Reload] = []
    try:
        for number in range(times):
            began_s = time.monotonic()
            await client.apply_batching(Batching(max_batch_size=BOUNDS[number % len(BOUNDS)]))
            took_s = time.monotonic() - began_s
            await asyncio.sleep(SETTLE_S)
            after, until_s = footprint(pid), time.monotonic() - started_s
            found.append(Reload(began_s - started_s, took_s, until_s, after))
            if (number + 1) % 25 == 0:
                left_s = (times - number - 1) * until_s / (number + 1)
                rss = after.rss_bytes / _MIB
                print(f"  {number + 1} reloads, {rss:.0f} MiB, {left_s:.0f} s left", flush=True)
    finally:
        done.set()
    return found


async def measure(server: TritonServer, model: str, times: int) -> dict[str, Any]:
    """Reload a model under load; return every figure of the run."""
    url = f"http://{server.http_url}"
    requests = load_inputs.random_requests(await load.signature_of(url, model), 1, SEED)
    settings = LoadSettings(RATE_PER_S, duration_s=3_600, seed=SEED)
    done = asyncio.Event()
    async with servers.connected(server, model) as client:
        # Not the configuration of the file, so that the first reload is one.
        await client.apply_batching(Batching(max_batch_size=BOUNDS[1]))
        await asyncio.sleep(SETTLE_S)
        before = footprint(server.pid)
        result, reloads = await asyncio.gather(
            load.run(url, model, requests, settings, stop=done),
            reload_often(client, server.pid, times, done),
        )
    return report_of(before, reloads, result)


def report_of(before: Footprint, reloads: Sequence[Reload], result: LoadResult) -> dict[str, Any]:
    """Return the figures of one run as JSON values."""
    latencies = [_latencies(result.records, reload) for reload in reloads]
    series: dict[str, list[float]] = {
        "rss_bytes": [reload.after.rss_bytes for reload in reloads],
        "server_rss_bytes": [reload.after.server_rss_bytes for reload in reloads],
        "took_s": [round(reload.took_s, 3) for reload in reloads],
        "p50_ms": [latency["p50_ms"] for latency in latencies],
        "p99_ms": [latency["p99_ms"] for latency in latencies],
        "open_files": [reload.after.open_files for reload in reloads],
    }
    return {
        "before": asdict(before),
        "after": asdict(reloads[-1].after),
        "summary": result.summary.as_dict(),
        "trends": {name: trend_of(values) for name, values in series.items()},
        "series": series,
        "stubs": [reload.after.stubs for reload in reloads],
        "threads": [reload.after.threads for reload in reloads],
    }


def _latencies(records: Sequence[Record], reload: Reload) -> dict[str, float]:
    """Return percentiles of what was due from one reload to the next; a failure is infinite."""
    due = [
        float("inf") if record.latency_ms is None else record.latency_ms
        for record in records
        if reload.began_s <= record.due_s < reload.until_s
    ]
    p50, p99 = np.percentile(due, [50, 99], method="higher") if due else (np.nan, np.nan)
    return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3)}


def trend_of(values: Sequence[float]) -> dict[str, float]:
    """Return how a figure changes from reload to reload, once the first have warmed it up.

    The slope is Theil's and Sen's (the median of the slopes of all pairs), z is Mann's and
    Kendall's; ``first`` and ``last`` are the medians of the first and last third.
    """
    steady = list(values)[int(len(values) * WARM_UP_SHARE) :]
    pairs = combinations(enumerate(steady), 2)
    slopes = [(later - earlier) / (j - i) for (i, earlier), (j, later) in pairs]
    third = max(1, len(steady) // 3)
    return {
        "per_reload": round(statistics.median(slopes), 6) if slopes else 0.0,
        "z": round(mann_kendall(steady).z, 2),
        "first": round(statistics.median(steady[:third]), 3),
        "last": round(statistics.median(steady[-third:]), 3),
    }


def reloads_until_recycled(run: dict[str, Any]) -> int | None:
    """Return after how many reloads growth has taken the headroom; None where nothing grows."""
    trend = run["trends"]["rss_bytes"]
    if trend["z"] < SIGNIFICANT_Z or trend["per_reload"] <= 0:
        return None
    return int(HEADROOM * trend["first"] / trend["per_reload"])


def section(report: dict[str, Any]) -> str:
    """Return the figures as a section in Markdown."""
    runs, host = report["runs"], report["machine"]
    counts = " and ".join(f"{len(run['stubs'])} of {run['model']}" for run in runs)
    return f"""## Reloads in a row

`make bench-live` on {report["date"]}, {host["cores"]} cores ({host["cpu"]}), Triton 2.51: reloads
in a row ({counts}; each model on a server of its own) under {RATE_PER_S} requests/s, open loop.
Memory is the RSS of the server and its stub processes after each reload. Growth and drift are
Theil-Sen slopes after the first {WARM_UP_SHARE:.0%} of the reloads, and count where the |Z| of
Mann-Kendall exceeds {SIGNIFICANT_Z}. Raw results: `benchmarks/results/`.

| model | figure | first third | last third | per reload | Z |
|---|---|---|---|---|---|
{chr(10).join(row for run in runs for row in _rows(run))}

{chr(10).join(_sentence(run) for run in runs)}

{_consequence(runs)}
"""


def _rows(run: dict[str, Any]) -> list[str]:
    shown = (
        ("memory, MiB", "rss_bytes", _MIB, _KIB, " KiB"),
        ("of it the server, MiB", "server_rss_bytes", _MIB, _KIB, " KiB"),
        ("time to reload, s", "took_s", 1, 1e-3, " ms"),
        ("p50, ms", "p50_ms", 1, 1e-3, " µs"),
        ("p99, ms", "p99_ms", 1, 1e-3, " µs"),
        ("open files", "open_files", 1, 1, ""),
    )
    rows = []
    for words, name, unit, small, small_unit in shown:
        trend = run["trends"][name]
        rows.append(
            f"| {run['model']} | {words} "
            f"| {trend['first'] / unit:.2f} | {trend['last'] / unit:.2f} "
            f"| {trend['per_reload'] / small:+.1f}{small_unit} | {trend['z']:+.1f} |"
        )
    return rows


def _sentence(run: dict[str, Any]) -> str:
    before, after, summary = run["before"], run["after"], run["summary"]
    return (
        f"{run['model']}: {summary['sent']} requests sent, {summary['failed']} failed; threads "
        f"{before['threads']} before and {after['threads']} after, open files "
        f"{before['open_files']} and {after['open_files']}, stub processes {before['stubs']} and "
        f"{after['stubs']}."
    )


def _consequence(runs: Sequence[dict[str, Any]]) -> str:
    """Say what reload budget and pod recycling follow."""
    per_hour = Guardrails().max_reloads_per_hour
    limits = {run["model"]: reloads_until_recycled(run) for run in runs}
    known = [limit for limit in limits.values() if limit is not None]
    if not known:
        return (
            "**What follows.** No growth that could be told from none: memory sets no bound to the "
            f"reload budget ({per_hour} an hour by default), and pods need no recycling."
        )
    words = ", ".join(
        f"{model} {'no growth' if limit is None else f'{limit} reloads'}"
        for model, limit in limits.items()
    )
    days = min(known) / per_hour / 24
    return (
        f"**What follows.** Growth takes {HEADROOM:.0%} of what the server needs, the headroom "
        f"that a memory limit should leave, after: {words}. At the default budget of {per_hour} "
        f"reloads an hour, spent in full at all times, the first is after {days:.1f} days. "
        "So the budget is set by what a reload costs those who wait, not by memory, and Ferryman "
        "replaces no pod for it: before that, a rollout of the node or of the image will have."
    )


async def _run_all(models: Sequence[Model]) -> list[dict[str, Any]]:
    runs = []
    for model in models:
        print(f"{model.name}: {model.reloads} reloads", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            model.write(Path(folder) / model.name)
            with TritonServer(Path(folder), models=[model.name]) as server:
                figures = await measure(server, model.name, model.reloads)
        runs.append({"model": model.name, "backend": model.backend, **figures})
    return runs


def main() -> int:
    """Measure, write the results, and fail if any request did."""
    parser = argparse.ArgumentParser(prog="make bench-live", description=__doc__)
    parser.add_argument("--reloads", type=int, help="of each model, for a try: nothing is written")
    tried = parser.parse_args().reloads
    models = [Model(m.name, m.backend, tried or m.reloads, m.write) for m in MODELS]
    began_s = time.monotonic()
    runs = asyncio.run(_run_all(models))
    report = {
        "date": common.today(),
        "machine": common.machine(),
        "rate_per_s": RATE_PER_S,
        "seed": SEED,
        "took_s": round(time.monotonic() - began_s, 1),
        "runs": runs,
    }
    if not tried:
        common.write_results(NAME, report)
        common.write_section(NAME, section(report))
    print(section(report))
    return 1 if any(run["summary"]["failed"] for run in runs) else 0


if __name__ == "__main__":
    common.end_on_signals()
    sys.exit(main())
