"""What a live change of batching costs on a real Triton, by actuator.

``make bench`` sends digits at 100 requests/s, open loop, while its batching is changed 20 times,
every second time the instances alone; three seeds. It writes one JSON file with every figure to
benchmarks/results and the table to docs/benchmarks.md. Nothing else should run meanwhile.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
import onnxruntime

from benchmarks import common
from ferryman.api.batching import Batching
from ferryman.clients import load, load_inputs
from ferryman.clients.load import LoadSettings
from ferryman.clients.load_report import Record
from ferryman.clients.triton import TritonServer as TritonClient
from hack.models import digits
from tests.integration.tritonserver import TritonServer

NAME: Final = "live-changes"
SEEDS: Final = (1, 2, 3)
RATE_PER_S: Final = 100
POLL_S: Final = 0.02
PAUSE_S: Final = 0.5
#: Requests due this long before and after a change are counted as around it.
AROUND_S: Final = 2.0
MODEL: Final = "digits"
CONFIG: Final = """
backend: "onnxruntime" max_batch_size: 8 dynamic_batching {}
instance_group { count: 1 kind: KIND_CPU }
"""
#: Bound, delay in microseconds; each is followed by a change of the instances alone.
STEPS: Final = (
    (16, 0), (4, 2_000), (32, 500), (1, 0), (8, 5_000),
    (64, 0), (2, 100), (24, 1_000), (6, 0), (12, 300),
)  # fmt: skip
CHANGES: Final = tuple(
    Batching(max_batch_size=bound, max_queue_delay_microseconds=delay, instances=instances)
    for bound, delay in STEPS
    for instances in (1, 2)
)


def write_model(repository: Path) -> None:
    """Write the model and its configuration into a model repository."""
    digits.write(repository / MODEL)
    (repository / MODEL / "config.pbtxt").write_text(CONFIG)


def write_pictures(path: Path) -> Path:
    """Write the held-out pictures, labelled with what the model itself must say of them."""
    images = digits.data().held_out_images
    session = onnxruntime.InferenceSession(
        digits.build().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    labels = np.asarray(session.run(["label"], {"input": images})[0])
    np.savez(path, images=images, labels=labels.ravel())
    return path


class Readiness:
    """What a readiness probe would have seen, asked every 20 ms."""

    def __init__(self, url: str) -> None:
        self.seen: Counter[tuple[str, int]] = Counter()
        self._url = url

    async def watch(self, done: asyncio.Event) -> None:
        """Ask until done."""
        async with aiohttp.ClientSession(self._url) as http:
            while not done.is_set():
                for path in (f"/v2/models/{MODEL}/ready", "/v2/health/ready"):
                    async with http.get(path) as answer:
                        self.seen[path, answer.status] += 1
                await asyncio.sleep(POLL_S)


async def change_often(
    server: TritonServer, done: asyncio.Event, pause_s: float
) -> list[dict[str, Any]]:
    """Make all changes one after another; return when each began, how long, and how."""
    started_s = time.monotonic()
    changes = []
    try:
        async with common.connected(server, MODEL) as client:
            for wanted in CHANGES:
                await asyncio.sleep(pause_s)
                changes.append(await _change(client, wanted, started_s))
    finally:
        done.set()
    return changes


async def _change(client: TritonClient, wanted: Batching, started_s: float) -> dict[str, Any]:
    """Make one change and return its figures; raises RuntimeError when it is not in force."""
    before = await client.statistics()
    began_s = time.monotonic()
    await client.apply_batching(wanted)
    took_s = time.monotonic() - began_s
    after = await client.statistics()
    if (await client.model()).batching != wanted:
        raise RuntimeError(f"Triton does not have {wanted} in force")
    # Only a change in place keeps the counters.
    kept = after.success_count >= before.success_count
    return {
        "at_s": round(began_s - started_s, 3),
        "took_s": round(took_s, 3),
        "actuator": "InPlace" if kept else "Reload",
        "instances": wanted.instances,
    }


async def measure(
    server: TritonServer, pictures: Path, *, seed: int, pause_s: float
) -> dict[str, Any]:
    """Change batching under load; return every figure of the run."""
    url = f"http://{server.http_url}"
    requests = load_inputs.from_file(pictures, await load.signature_of(url, MODEL), 1)
    settings = LoadSettings(RATE_PER_S, duration_s=600, seed=seed)
    done = asyncio.Event()
    readiness = Readiness(url)
    result, changes, _ = await asyncio.gather(
        load.run(url, MODEL, requests, settings, stop=done),
        change_often(server, done, pause_s),
        readiness.watch(done),
    )
    return {
        "seed": seed,
        "summary": result.summary.as_dict(),
        "changes": changes,
        "readiness": {f"{path} {code}": n for (path, code), n in readiness.seen.items()},
        "p99_ms": _p99s_ms(result.records, changes),
    }


def _p99s_ms(records: tuple[Record, ...], changes: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return the p99 around reloads, around changes in place, and away from all."""
    groups: dict[str, list[float]] = {"Reload": [], "InPlace": [], "steady": []}
    for record in records:
        near = {c["actuator"] for c in changes if abs(record.due_s - c["at_s"]) <= AROUND_S}
        for name in near or {"steady"}:
            groups[name].append(record.latency_ms or float("inf"))
    return {
        name: round(float(np.percentile(latencies, 99)), 2) if latencies else None
        for name, latencies in groups.items()
    }


def table(report: dict[str, Any]) -> str:
    """Return the figures as a section in Markdown."""
    runs = report["runs"]
    rows = []
    for actuator in ("InPlace", "Reload"):
        times = [c["took_s"] for run in runs for c in run["changes"] if c["actuator"] == actuator]
        p99s = [run["p99_ms"][actuator] for run in runs]
        rows.append(
            f"| {actuator} | {len(times)} | {statistics.median(times):.2f} | {max(times):.2f} "
            f"| {statistics.median(p99s):.0f} ({min(p99s):.0f} to {max(p99s):.0f}) |"
        )
    steady = [run["p99_ms"]["steady"] for run in runs]
    rows.append(
        f"| none | | | | {statistics.median(steady):.0f} ({min(steady):.0f} to {max(steady):.0f}) |"
    )
    sent = sum(run["summary"]["sent"] for run in runs)
    failed = sum(run["summary"]["failed"] for run in runs)
    host = report["machine"]
    return f"""## Live changes of batching

`make bench` on {report["date"]}, {host["cores"]} cores ({host["cpu"]}), Triton 2.51.
The model digits is sent {RATE_PER_S} requests/s, open loop: Poisson arrivals, latency from the
intended send time; {len(runs)} seeds. The p99 is of the requests due within ±{AROUND_S:.0f} s of a
change: its median over the seeds, and from the least to the most.
Raw results: `benchmarks/results/`.

| actuator | changes | median, s | longest, s | p99, ms |
|---|---|---|---|---|
{chr(10).join(rows)}

Requests sent: {sent}; failed: {failed}.
"""


async def _run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        write_model(repository)
        pictures = write_pictures(Path(folder) / "in.npz")
        runs = []
        with TritonServer(repository, models=[MODEL]) as server:
            for seed in SEEDS:
                print(f"seed {seed}: {len(CHANGES)} changes under load", flush=True)
                runs.append(await measure(server, pictures, seed=seed, pause_s=2 * AROUND_S + 1))
    date, machine = common.today(), common.machine()
    return {"date": date, "machine": machine, "rate_per_s": RATE_PER_S, "runs": runs}


def main() -> int:
    """Measure, write the results, and fail if any request did."""
    argparse.ArgumentParser(prog="make bench", description=__doc__).parse_args()
    report = asyncio.run(_run())
    common.write_results(NAME, report)
    common.write_section(NAME, table(report))
    print(table(report))
    return 1 if any(run["summary"]["failed"] for run in report["runs"]) else 0


if __name__ == "__main__":
    sys.exit(main())
