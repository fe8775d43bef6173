"""How many requests a second of CPU time the digital twin serves, in one process.

Run as ``python -m benchmarks.twin_speed``. CPU time is measured, so that a machine that is busy
with other work gives nearly the same figures.
"""

import sys
import time
from typing import Final

import numpy as np

from ferryman.api.batching import Batching
from ferryman.core.twin import arrivals, queueing
from ferryman.core.twin.queueing import Batcher

REQUESTS: Final = 500_000
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


def main() -> int:
    """Measure all cases and print a line for each."""
    for batching, load in CASES:
        bound = batching.max_batch_size
        rate_per_s = load * batching.instances * bound / SERVICE_S[bound - 1]
        generator = np.random.default_rng(1)
        moments_s = arrivals.poisson(rate_per_s, REQUESTS / rate_per_s, generator)
        begun_s = time.process_time()
        batches = queueing.simulate(moments_s, Batcher(batching, SERVICE_S)).batches
        taken_s = time.process_time() - begun_s
        print(
            f"{moments_s.size / taken_s / 1e6:5.2f} million requests per CPU second, "
            f"mean batch {batches.requests.size / batches.sizes.size:5.2f}, load {load:.1f}: "
            f"{batching.model_dump(exclude_defaults=True)}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
