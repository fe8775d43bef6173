"""Windows of pipelines, step by step as a test needs them."""

from ferryman.api.batching import Batching
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.state import BalancingRules, StepSetup
from ferryman.core.observation.pipeline_window import PipelineWindow
from tests import factories

SECONDS = 10.0


def step_window(requests, compute_ms, queue_ms=0.0, *, batch=1, pods=1, **fields):
    """Return ten seconds of a step that ran so many requests of one row."""
    executions = requests // batch
    values = {
        "seconds": SECONDS,
        "requests": requests,
        "inferences": requests,
        "requests_per_s": requests / SECONDS,
        "mean_batch_size": float(batch) if requests else None,
        "queue_ms": queue_ms if requests else None,
        "compute_ms": compute_ms if requests else None,
        "service_times": {batch: (executions, compute_ms)} if requests else {},
        "pending": 0,
        "pending_before": 0,
        "pods": pods,
        **fields,
    }
    return factories.window(**values)


def pipeline_window(requests, mean_latency_ms, steps, *, cpu_s=None, pods=1, **fields):
    """Return ten seconds of a pipeline that answered so many requests."""
    values = {
        "seconds": SECONDS,
        "requests": requests,
        "requests_per_s": requests / SECONDS,
        "mean_latency_ms": mean_latency_ms,
        "latency_ms": mean_latency_ms,
        "pods": pods,
        **fields,
    }
    return PipelineWindow(factories.window(**values), steps, cpu_s)


def rules(*names, resources=None, objectives=None, limits=None, memory_bytes=None, live_cap=False):
    """Return rules of steps one after the other."""
    after = [(), *((name,) for name in names[:-1])]
    return BalancingRules(
        tuple(
            StepSetup(
                name,
                before,
                limits or factories.limits(instances=(1, 8)),
                memory_bytes=memory_bytes,
                live_cap=live_cap,
            )
            for name, before in zip(names, after, strict=True)
        ),
        resources or Resources(),
        objectives,
    )


def applied(*, bound=1, **instances):
    """Return an assignment."""
    return {
        name: Batching(max_batch_size=bound, instances=count) for name, count in instances.items()
    }
