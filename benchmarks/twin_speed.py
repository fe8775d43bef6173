"""How many requests a second of CPU time the digital twin serves, in one process.

Run as ``python -m benchmarks.twin_speed``. CPU time is measured, so that a machine that is busy
with other work gives nearly the same figures.
"""

import sys
import time

import numpy as np

from ferryman.api.batching import Batching
from ferryman.core import arrivals, queueing
from ferryman.core.queueing import Batcher

REQUESTS = 500_000
#: Bound, delay in microseconds, instances, and how many times the capacity arrives.
CASES = (
    (1, 0, 1, 0.5),
    (1, 0, 4, 0.9),
    (8, 0, 1, 0.8),
    (8, 2_000, 2, 0.5),
    (64, 0, 1, 0.8),
    (64, 10_000, 4, 0.8),
    (8, 0, 1, 1.5),
)


def main() -> int:
    """Measure all cases and print a line for each."""
    service_s = tuple((5 + b) / 1000 for b in range(1, 65))
    for bound, delay_us, instances, load in CASES:
        batching = Batching(
            max_batch_size=bound, max_queue_delay_microseconds=delay_us, instances=instances
        )
        capacity_per_s = instances * bound / service_s[bound - 1]
        rate_per_s = load * capacity_per_s
        generator = np.random.default_rng(1)
        moments_s = arrivals.poisson(rate_per_s, REQUESTS / rate_per_s, generator)
        begun_s = time.process_time()
        outcome = queueing.simulate(moments_s, Batcher(batching, service_s))
        taken_s = time.process_time() - begun_s
        print(
            f"bound {bound:2}, delay {delay_us:5} µs, {instances} instances, load {load:.1f}: "
            f"mean batch {moments_s.size / outcome.batches.sizes.size:5.2f}, "
            f"{moments_s.size / taken_s / 1e6:5.2f} million requests per CPU second"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
