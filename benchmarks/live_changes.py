"""What a live change of batching costs on a real Triton, by actuator.

``python -m benchmarks.live_changes`` sends digits 230 requests/s, open loop, and makes 100 changes
by each actuator: instances in place, bound and delay by a reload, and the bound by the live cap
(a file that its library reads; the way from a pod's annotation to the file is not in these
figures). The changes come in blocks of 25, one every 3.6 s; in
between nothing changes for a while, each time under another of the actuator's configurations, and
that is what the latency around changes is compared with. About eight minutes an actuator, one
seed. It writes one JSON file with every figure to benchmarks/results and the table to
docs/benchmarks.md. Nothing else should run meanwhile.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
import onnxruntime

from benchmarks import common, servers
from ferryman.api.batching import Batching
from ferryman.api.statistics import Statistics
from ferryman.clients import load_inputs
from ferryman.clients.load import generator as load
from ferryman.clients.load.generator import LoadSettings
from ferryman.clients.load.report import Record
from ferryman.clients.triton import TritonServer as TritonClient
from hack import livecap
from hack.models import digits
from tests.integration.tritonserver import TritonServer

NAME: Final = "live-changes"
SEED: Final = 1
POLL_S: Final = 0.05


MODEL: Final = "digits"
#: The live cap is to be in effect so long after it was written.
CAP_EFFECTIVE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How often, how fast, and with what pauses changes are made."""

    rate_per_s: float = 230.0
    blocks: int = 4
    changes: int = 25
    """In each block."""
    every_s: float = 3.6
    steady_s: float = 15.0
    """Time without any change after each block, beyond what is around its last and the next."""
    around_s: float = 5.0
    """Requests due so long before the start or after the end of a change are around it."""
    deadline_s: float = 5.0
    """A request without a correct answer by then has failed."""


@dataclass(frozen=True, slots=True)
class Actuator:
    """A way to change batching, and the configurations that it goes through in turn."""

    name: str
    steps: tuple[Batching, ...]


def _batching(bound: int, delay_us: int = 0, instances: int = 1) -> Batching:
    return Batching(
        max_batch_size=bound, max_queue_delay_microseconds=delay_us, instances=instances
    )


#: The first step of each is not what is in force before it; a block of 25 ends on another step.
IN_PLACE: Final = Actuator("InPlace", (_batching(16, 0, 2), _batching(16, 0, 1)))
RELOAD: Final = Actuator(
    "Reload", (_batching(4, 500), _batching(32, 1_000), _batching(2), _batching(8))
)
LIVE_CAP: Final = Actuator("LiveCap", tuple(map(_batching, (4, 16, 2, 8))))
_START: Final = _batching(16)
_CONFIG: Final = """
backend: "onnxruntime" max_batch_size: 32 dynamic_batching {}
instance_group { count: 1 kind: KIND_CPU }
"""
_CAPPED: Final = """
parameters { key: "FERRYMAN_LIVE_CAP_FILE" value { string_value: "%s" } }
"""


def write_model(repository: Path, cap: Path | None = None) -> None:
    """Write the model and its configuration; with the live cap's library if it has a file."""
    digits.write(repository / MODEL)
    capped = "" if cap is None else _CAPPED % cap
    (repository / MODEL / "config.pbtxt").write_text(_CONFIG + capped)
    if cap is not None:
        livecap.build(repository / MODEL)


def write_cap(cap: Path, wanted: Batching) -> None:
    """Replace the live cap's file at once, as the kubelet does."""
    fresh = cap.with_suffix(".new")
    fresh.write_text(f"{wanted.max_batch_size}\n")
    fresh.replace(cap)


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
    """What a readiness probe would have seen, asked every 50 ms."""

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


@dataclass
class _Hand:
    """Makes the changes of one actuator; times are since the start of the load."""

    client: TritonClient
    actuator: Actuator
    cap: Path | None
    started_s: float

    async def change(self, wanted: Batching) -> dict[str, Any]:
        """Make one change; raises RuntimeError when it did not come about as it should."""
        before = await self.client.statistics()
        began_s = time.monotonic()
        if self.cap is None:
            await self.client.apply_batching(wanted)
        else:
            write_cap(self.cap, wanted)
        took_s = time.monotonic() - began_s
        await self._check(wanted, before)
        began_s -= self.started_s
        return {"at_s": round(began_s, 3), "took_s": round(took_s, 3), "after": wanted.as_dict()}

    async def _check(self, wanted: Batching, before: Statistics) -> None:
        found = await self.client.model()
        if self.cap is None and found.batching != wanted:
            raise RuntimeError(f"Triton has {found.batching} in force, not {wanted}")
        # Only a reload sets the counters back.
        after = await self.client.statistics()
        if self.actuator != RELOAD and after.success_count < before.success_count:
            raise RuntimeError(f"{self.actuator.name}: Triton reloaded the model")

    async def over(self, bound: int, seconds: float) -> int:
        """Wait; return how many batches over the bound began well after the change to it."""
        if self.cap is None or seconds <= CAP_EFFECTIVE_S:
            await asyncio.sleep(max(0.0, seconds))
            return 0
        await asyncio.sleep(CAP_EFFECTIVE_S)
        before = (await self.client.statistics()).batches
        await asyncio.sleep(seconds - CAP_EFFECTIVE_S)
        after = (await self.client.statistics()).batches
        return sum(
            n - before.get(size, (0, 0))[0] for size, (n, _) in after.items() if size > bound
        )


async def change_often(hand: _Hand, plan: Plan, done: asyncio.Event) -> list[dict[str, Any]]:
    """Make all changes, block by block, each due at its time; return when and how long."""
    steps = islice(cycle(hand.actuator.steps), plan.blocks * plan.changes)
    found: list[dict[str, Any]] = []
    try:
        # Warm-up, and the first of the times without a change.
        await asyncio.sleep(plan.steady_s + plan.around_s)
        for number, wanted in enumerate(steps, start=1):
            due_s = time.monotonic() + plan.every_s
            change = await hand.change(wanted)
            if number % plan.changes == 0:
                due_s += plan.steady_s + 2 * plan.around_s - plan.every_s
            over = await hand.over(wanted.max_batch_size, due_s - time.monotonic())
            found.append({**change, "over": over})
            if number % plan.changes == 0:
                print(f"  {number} changes", flush=True)
    finally:
        done.set()
    return found


async def measure(
    server: TritonServer,
    pictures: Path,
    actuator: Actuator,
    plan: Plan,
    *,
    cap: Path | None = None,
    seed: int = SEED,
) -> dict[str, Any]:
    """Change batching under load; return every figure of the run.

    ``cap`` is the live cap's file, and to be given with the actuator of that name alone.
    """
    url = f"http://{server.http_url}"
    requests = load_inputs.from_file(pictures, await load.signature_of(url, MODEL), 1)
    settings = LoadSettings(
        plan.rate_per_s, duration_s=3_600, seed=seed, deadline_s=plan.deadline_s
    )
    done, readiness = asyncio.Event(), Readiness(url)
    async with servers.connected(server, MODEL) as client:
        if cap is None:
            # A load of ours, so that the first change of instances is made in place.
            await client.apply_batching(_START)
        hand = _Hand(client, actuator, cap, time.monotonic())
        result, changes, _ = await asyncio.gather(
            load.run(url, MODEL, requests, settings, stop=done),
            change_often(hand, plan, done),
            readiness.watch(done),
        )
    if cap is not None and f"at most {LIVE_CAP.steps[-1].max_batch_size} rows" not in server.log:
        raise RuntimeError(f"the live cap's library did not read its file:\n{server.log}")
    return {
        "actuator": actuator.name,
        "seed": seed,
        "summary": result.summary.as_dict(),
        "changes": changes,
        "readiness": {f"{path} {code}": n for (path, code), n in readiness.seen.items()},
        "latency_ms": latencies_ms(result.records, changes, plan),
    }


def latencies_ms(
    records: Sequence[Record], changes: Sequence[dict[str, Any]], plan: Plan
) -> dict[str, dict[str, float | int | None]]:
    """Return the latencies of what was due around changes, and of what was not.

    Nothing counts that was due in the warm-up, the first third of the first steady time.
    """
    spans = [
        (change["at_s"] - plan.around_s, change["at_s"] + change["took_s"] + plan.around_s)
        for change in changes
    ]
    groups: dict[str, list[float]] = {"around": [], "steady": []}
    for record in records:
        if record.due_s < plan.steady_s / 3:
            continue
        near = any(begin <= record.due_s <= end for begin, end in spans)
        latency_ms = float("inf") if record.latency_ms is None else record.latency_ms
        groups["around" if near else "steady"].append(latency_ms)
    return {name: _percentiles(found) for name, found in groups.items()}


def _percentiles(found_ms: Sequence[float]) -> dict[str, float | int | None]:
    if not found_ms:
        return {"requests": 0, "p50": None, "p99": None, "max": None}
    p50, p99, most = np.percentile(found_ms, [50, 99, 100], method="higher")
    figures = {"p50": float(p50), "p99": float(p99), "max": float(most)}
    return {"requests": len(found_ms), **{name: round(v, 2) for name, v in figures.items()}}


def table(report: dict[str, Any]) -> str:
    """Return the figures as a section in Markdown."""
    host, plan = report["machine"], report["plan"]
    return f"""## Live changes of batching

`make bench-live` on {report["date"]}, {host["cores"]} cores ({host["cpu"]}), Triton 2.51.
The model digits is sent {plan["rate_per_s"]:.0f} requests/s, open loop (Poisson arrivals, latency
from the intended send time), while its batching is changed every {plan["every_s"]} s by one
actuator after the other. Compared are the requests due within ±{plan["around_s"]:.0f} s of a
change with those due while nothing changed, under the same configurations; every answer is
checked. Raw results: `benchmarks/results/`.

| actuator | changes | requests | failed | took, s (longest) | p99 around, ms | steady, ms | ratio |
|---|---|---|---|---|---|---|---|
{chr(10).join(map(_row, report["runs"]))}
"""


def _row(run: dict[str, Any]) -> str:
    took = sorted(change["took_s"] for change in run["changes"])
    around, steady = (run["latency_ms"][name]["p99"] for name in ("around", "steady"))
    cells = (
        run["actuator"],
        len(took),
        run["summary"]["sent"],
        run["summary"]["failed"],
        f"{took[len(took) // 2]:.2f} ({took[-1]:.2f})",
        f"{around:.1f}",
        f"{steady:.1f}",
        f"{around / steady:.2f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def is_clean(run: dict[str, Any]) -> bool:
    """Whether no request failed, no answer was wrong, and no batch was over a settled cap."""
    summary = run["summary"]
    return bool(
        summary["failed"] == 0
        and summary["accuracy"] == 1.0
        and not any(change["over"] for change in run["changes"])
    )


async def _run(plan: Plan) -> list[dict[str, Any]]:
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        pictures = write_pictures(Path(folder) / "in.npz")
        for actuator in (IN_PLACE, RELOAD, LIVE_CAP):
            print(f"{actuator.name}: {plan.blocks * plan.changes} changes under load", flush=True)
            home = Path(folder) / actuator.name
            cap = home / "cap" if actuator == LIVE_CAP else None
            write_model(home / "models", cap)
            if cap is not None:
                write_cap(cap, _START)
            with TritonServer(home / "models", models=[MODEL]) as server:
                runs.append(await measure(server, pictures, actuator, plan, cap=cap))
    return runs


def main() -> int:
    """Measure, write the results, and fail if anything did."""
    parser = argparse.ArgumentParser(prog="make bench-live", description=__doc__)
    parser.add_argument("--try", action="store_true", help="8 changes each; nothing is written")
    tried = vars(parser.parse_args())["try"]
    plan = Plan(blocks=2, changes=4, steady_s=4.0) if tried else Plan()
    runs = asyncio.run(_run(plan))
    report = {
        "date": common.today(),
        "machine": common.machine(),
        "plan": asdict(plan),
        "runs": runs,
    }
    if not tried:
        common.write_results(NAME, report)
        common.write_section(NAME, table(report))
    print(table(report))
    return 0 if all(map(is_clean, runs)) else 1


if __name__ == "__main__":
    common.end_on_signals()
    sys.exit(main())
