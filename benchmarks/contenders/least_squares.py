"""A line through the service times of the last 50 batches.

Source: BentoML's dispatcher (``CorkDispatcher`` and its ``Optimizer``): duration = a·n + b is
fitted by least squares to the last 50 batches, and requests whose predicted answer, wait +
a·n + b, would exceed the latency limit are dropped. As a rule for the bound: the largest n
whose predicted answer lies within the target, with the mean wait of the last window. Where that
leaves no n, BentoML drops; here the wait is then left out. Its way of waiting for more
requests has no counterpart in Triton and is left out, too.
"""

from typing import Final

import numpy as np

from benchmarks.contenders.base import Contender, said, within
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window
from ferryman.core.tuners.protocol import Decision

KEPT: Final = 50
#: The least that a request adds, as in the dispatcher.
LEAST_MS: Final = 1e-6

#: (batch size, mean ms, batches), the latest first.
Samples = tuple[tuple[int, float, float], ...]


def fit(
    spec: BatchingSpec, objectives: Objectives, applied: Batching, window: Window, state: Samples
) -> Decision:
    """Set the bound by the line through the last batches."""
    samples = _kept(window, state)
    if objectives.latency is None or len({size for size, _, _ in samples}) < 2:  # noqa: PLR2004
        return said(applied, "Holding", samples)
    per_request_ms, fixed_ms = _line(samples)
    left_ms = objectives.latency.target_milliseconds - fixed_ms
    bound = int((left_ms - (window.queue_ms or 0.0)) / per_request_ms)
    if bound < 1:
        bound = int(left_ms / per_request_ms)
    return said(applied.with_(max_batch_size=within(spec, bound)), "LeastSquares", samples)


def _kept(window: Window, before: Samples) -> Samples:
    latest = [(size, ms, float(count)) for size, (count, ms) in window.service_times.items()]
    executed = sum(count for _, _, count in latest)
    # The order within a window is unknown: of more than 50 batches each size keeps its share.
    share = min(1.0, KEPT / executed) if executed else 0.0
    kept, room = [(size, ms, count * share) for size, ms, count in latest], KEPT - executed
    for size, ms, count in before:
        if room <= 0:
            break
        kept.append((size, ms, min(count, room)))
        room -= count
    return tuple(kept)


def _line(samples: Samples) -> tuple[float, float]:
    """Return ms per request and ms per batch."""
    sizes, times_ms, counts = (np.array(column, float) for column in zip(*samples, strict=True))
    weights = np.sqrt(counts)
    factors = np.stack([sizes, np.ones_like(sizes)], axis=1) * weights[:, None]
    (slope, fixed), *_ = np.linalg.lstsq(factors, times_ms * weights, rcond=None)
    return max(float(slope), LEAST_MS), max(float(fixed), 0.0)


LEAST_SQUARES: Final = Contender("least-squares", "least squares, 50 batches", fit, ())
