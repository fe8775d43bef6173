"""Additive increase, multiplicative decrease of the bound.

Source: Crankshaw et al., Clipper, NSDI 2017, §4.3.1: the batch size grows by a fixed amount
until the latency to process a batch exceeds the objective, and is then reduced by 10 %. Clipper
adapts after every batch and without reloads; here it is after every window, through the
scenario's actuators. ``BATCH`` compares the latency of the largest batches with the target, as
Clipper does; ``END_TO_END`` the percentile that the objective names.
"""

from typing import Final

from benchmarks.contenders.base import Contender, said, within
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window
from ferryman.core.tuners.protocol import Decision

DECREASE: Final = 0.9


def by_batch_latency(
    spec: BatchingSpec, objectives: Objectives, applied: Batching, window: Window, _: None
) -> Decision:
    """Decide by the mean compute time of the largest batches that were executed."""
    latency_ms = (
        window.service_times[max(window.service_times)][1] if window.service_times else None
    )
    return _step(spec, objectives, applied, latency_ms)


def by_end_to_end_latency(
    spec: BatchingSpec, objectives: Objectives, applied: Batching, window: Window, _: None
) -> Decision:
    """Decide by the objective's percentile of the latency in the server."""
    return _step(spec, objectives, applied, window.latency_ms)


def _step(
    spec: BatchingSpec, objectives: Objectives, applied: Batching, latency_ms: float | None
) -> Decision:
    if latency_ms is None or objectives.latency is None:
        return said(applied, "Holding", None)
    bound = applied.max_batch_size
    if latency_ms > objectives.latency.target_milliseconds:
        after, reason = min(bound - 1, int(bound * DECREASE)), "MultiplicativeDecrease"
    else:
        after, reason = bound + spec.step, "AdditiveIncrease"
    return said(applied.with_(max_batch_size=within(spec, after)), reason, None)


BATCH: Final = Contender("aimd-batch", "AIMD on batch latency", by_batch_latency)
END_TO_END: Final = Contender("aimd-end-to-end", "AIMD on latency", by_end_to_end_latency)
