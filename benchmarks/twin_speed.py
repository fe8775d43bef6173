"""How many requests a second of CPU time the digital twin serves, in one process.

``make bench-twin-speed`` calls this. CPU time is measured, so that a machine that is busy
with other work gives nearly the same figures.
"""

import sys
import time
from typing import Any, Final

import numpy as np

from benchmarks import common
from ferryman.api.batching import Batching
from ferryman.core.queue_model import queueing
from ferryman.core.queue_model.queueing import Batcher
from ferryman.core.simulator import arrivals

NAME: Final = "twin-speed"
REQUESTS: Final = 500_000
#: What a search by replay needs of it.
TARGET_PER_S: Final = 500_000
SERVICE_S: Final = tuple((5 + b) / 1000 for b in range(1, 65))
#: A configuration, and how many times its capacity arrives.
CASES: Final = (
    (Batching(max_batch_size=1), 0.5),
    (Batching(max_batch_size=1, instances=4), 0.9),
    (Batching(max_batch_size=8), 0.8),
    (Batching(max_batch_size=64), 0.8),
    (Batching(max_batch_size=8), 1.5),
    (Batching(max_batch_size=2, max_queue_delay_microseconds=2_000), 0.7),
    (Batching(max_batch_size=8, max_queue_delay_microseconds=2_000, instances=2), 0.5),
    (Batching(max_batch_size=64, max_queue_delay_microseconds=10_000, instances=4), 0.8),
    (Batching(max_batch_size=8, default_timeout_microseconds=20_000), 0.8),
    (Batching(max_batch_size=8, default_timeout_microseconds=20_000, max_queue_size=30), 1.5),
    (Batching(max_batch_size=8, preferred_batch_size=(4, 8)), 0.8),
    (
        Batching(
            max_batch_size=8,
            preferred_batch_size=(4, 8),
            max_queue_delay_microseconds=2_000,
            instances=2,
        ),
        0.5,
    ),
)


def measure(batching: Batching, load: float) -> dict[str, Any]:
    """Serve half a million requests with one configuration."""
    bound = batching.max_batch_size
    rate_per_s = load * batching.instances * bound / SERVICE_S[bound - 1]
    generator = np.random.default_rng(1)
    moments_s = arrivals.poisson(rate_per_s, REQUESTS / rate_per_s, generator)
    begun_s = time.process_time()
    batches = queueing.simulate(moments_s, Batcher(batching, SERVICE_S)).batches
    taken_s = time.process_time() - begun_s
    return {
        "batching": batching.model_dump(exclude_defaults=True),
        "load": load,
        "requests_per_cpu_s": round(moments_s.size / taken_s),
        "mean_batch": round(batches.requests.size / batches.sizes.size, 2),
    }


def section(report: dict[str, Any]) -> str:
    """Return the section of docs/benchmarks.md."""
    host, cases = report["machine"], report["cases"]
    slowest = min(case["requests_per_cpu_s"] for case in cases)
    rows = "\n".join(
        f"| {', '.join(f'{name} {value}' for name, value in case['batching'].items())} "
        f"| {case['load']:g} | {case['mean_batch']:.2f} | {case['requests_per_cpu_s'] / 1e6:.2f} |"
        for case in cases
    )
    return (
        "## The speed of the digital twin\n\n"
        f"`make bench-twin-speed` on {report['date']}, {host['cores']} cores ({host['cpu']}), in\n"
        f"one process: {REQUESTS:,} requests with each configuration. The slowest serves "
        f"{slowest / 1e6:.2f} million\nrequests a second of CPU time (target: 0.5).\n\n"
        "| batching | load, of the capacity | mean batch | million requests per CPU second |\n"
        f"|---|---|---|---|\n{rows}\n"
    )


def main() -> int:
    """Measure all cases, write figures and section; return 1 where the twin is too slow."""
    report: dict[str, Any] = {
        "date": common.today(),
        "machine": common.machine(),
        "cases": [measure(batching, load) for batching, load in CASES],
    }
    common.write_results(NAME, report)
    common.write_section(NAME, section(report))
    print(section(report))
    return int(min(case["requests_per_cpu_s"] for case in report["cases"]) < TARGET_PER_S)


if __name__ == "__main__":
    sys.exit(main())
