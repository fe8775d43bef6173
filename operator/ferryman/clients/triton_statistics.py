"""Triton's statistics extension and metrics page as one Statistics value."""

from collections import defaultdict
from collections.abc import Iterable

from tritonclient.grpc.service_pb2 import InferStatistics, ModelStatistics

from ferryman.api.statistics import Statistics
from ferryman.clients.triton_metrics import ModelMetrics


def to_statistics(
    versions: Iterable[ModelStatistics], metrics: ModelMetrics, now_s: float
) -> Statistics:
    """Add up the counters of all versions of a model that a server has loaded.

    Triton's statistics count requests that waited beyond the queue's timeout as failures, and
    fall to zero at a reload; its metrics tell the reasons and do not. So both kinds are taken
    from the metrics where these have them.
    """
    versions = list(versions)
    totals = [version.inference_stats for version in versions]
    metrics = metrics.believed(sum(total.success.count + total.fail.count for total in totals))
    return Statistics(
        now_s=now_s,
        inference_count=sum(version.inference_count for version in versions),
        success_count=sum(total.success.count for total in totals),
        success_ns=sum(total.success.ns for total in totals),
        failure_count=_failed(totals, metrics),
        queue_ns=sum(total.queue.ns for total in totals),
        execution_count=sum(version.execution_count for version in versions),
        batches=_batches(versions),
        latency_quantiles_us=metrics.latency_quantiles_us,
        rejected_count=metrics.rejected,
        pending=metrics.pending,
        answered_by_all=metrics.succeeded,
        cancelled_count=0 if metrics.rejected is None else metrics.cancelled or 0,
        cached_count=sum(total.cache_hit.count for total in totals),
        cached_ns=sum(total.cache_hit.ns for total in totals),
    )


def _failed(totals: Iterable[InferStatistics], metrics: ModelMetrics) -> int:
    if metrics.rejected is None:
        return sum(total.fail.count for total in totals)
    return metrics.failed or 0


def _batches(versions: Iterable[ModelStatistics]) -> dict[int, tuple[int, int]]:
    """Batch size -> executions and nanoseconds of all three parts of the computation."""
    found: defaultdict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for batch in (batch for version in versions for batch in version.batch_stats):
        executions, busy_ns = found[batch.batch_size]
        parts = (batch.compute_input, batch.compute_infer, batch.compute_output)
        found[batch.batch_size] = (
            executions + batch.compute_infer.count,
            busy_ns + sum(part.ns for part in parts),
        )
    return dict(found)
