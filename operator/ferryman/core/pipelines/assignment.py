"""What each step has, or is to have: its instances and its bound, as values and in the status.

A step's bound is Triton's own, the largest of its limits, once and for all; with a live cap what
moves lies below. A model without a batch dimension has a bound of 1.
"""

from collections.abc import Iterable, Mapping

from ferryman.api.batching import Batching, BatchingLimits, MaxQueueDelayLimits
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.inference_pipeline_status import StepAssignment
from ferryman.api.pipelines.step import PipelineStep
from ferryman.core.balancing.state import Assignment
from ferryman.core.snapshot import PodView


def limits_of(pipeline: InferencePipeline, step: PipelineStep, *, bounded: bool) -> BatchingLimits:
    """Return the space in which a step may move; ``bounded``: whether its bound may."""
    limits = pipeline.limits_of(step)
    size = limits.max_batch_size
    return BatchingLimits(
        max_batch_size=size if bounded else size.with_(min=size.max),
        max_queue_delay_microseconds=MaxQueueDelayLimits(min=0, max=0),
        instances=limits.instances,
    )


def start(pipeline: InferencePipeline, step: PipelineStep) -> Batching:
    """Return where a step starts: as stated, else with as few instances as it may have."""
    limits, stated = pipeline.limits_of(step), step.initial
    if stated is None:
        return Batching(max_batch_size=limits.max_batch_size.max, instances=limits.instances.min)
    bound = stated.max_batch_size or limits.max_batch_size.max
    return Batching(max_batch_size=bound, instances=stated.instances)


def clamped(pipeline: InferencePipeline, step: PipelineStep, batching: Batching) -> Batching:
    """Return a batching within a step's limits."""
    limits = pipeline.limits_of(step)
    size, instances = limits.max_batch_size, limits.instances
    return Batching(
        max_batch_size=min(max(batching.max_batch_size, size.min), size.max),
        instances=min(max(batching.instances, instances.min), instances.max),
    )


def read(entries: Iterable[StepAssignment], pipeline: InferencePipeline) -> dict[str, Batching]:
    """Return what the status says of the steps that there are; those it does not know start."""
    known = {entry.step: entry for entry in entries}
    found = {}
    for step in pipeline.spec.steps:
        entry, first = known.get(step.name), start(pipeline, step)
        found[step.name] = first if entry is None else batching_of(entry, first.max_batch_size)
    return found


def batching_of(entry: StepAssignment, bound: int) -> Batching:
    """Return an entry as a value; ``bound`` where it states none."""
    return Batching(max_batch_size=entry.max_batch_size or bound, instances=entry.instances)


def with_instances(pipeline: InferencePipeline, instances: Mapping[str, int]) -> InferencePipeline:
    """Return a pipeline of whose steps some have so many instances, as far as its status says."""
    balancing = pipeline.status.balancing
    applied = tuple(
        each.with_(instances=instances.get(each.step, each.instances)) for each in balancing.applied
    )
    status = pipeline.status.with_(balancing=balancing.with_(applied=applied))
    return pipeline.with_(status=status)


def written(
    assignment: Assignment, budgets_ms: Mapping[str, float] | None = None
) -> tuple[StepAssignment, ...]:
    """Return an assignment as the status has it."""
    budgets_ms = budgets_ms or {}
    return tuple(
        StepAssignment(
            step=name,
            instances=batching.instances,
            max_batch_size=batching.max_batch_size,
            budget_milliseconds=budgets_ms.get(name),
        )
        for name, batching in assignment.items()
    )


def differences(before: Assignment, after: Assignment) -> tuple[str, ...]:
    """Return the steps that have something else after than before."""
    return tuple(name for name in after if before.get(name) != after[name])


def in_force(pod: PodView, wanted: Batching) -> bool:
    """Whether a pod has this of a step in force, as far as it can be told.

    Without a live cap the bound is Triton's own, which nothing changes.
    """
    if pod.batching is None:
        return False
    same = not pod.instances_known or pod.batching.instances == wanted.instances
    return same and (
        pod.live_cap is None
        or pod.batching.max_batch_size == min(wanted.max_batch_size, pod.live_cap.largest)
    )


def words(before: Assignment, after: Assignment) -> str:
    """Return in words what changes."""
    parts = []
    for name in differences(before, after):
        old, new = before.get(name), after[name]
        if old is None or old.instances != new.instances:
            was = f" instead of {old.instances}" if old else ""
            parts.append(f"{name} {new.instances} {_plural(new.instances)}{was}")
        if old is not None and old.max_batch_size != new.max_batch_size:
            parts.append(f"{name} batches of {new.max_batch_size} instead of {old.max_batch_size}")
    return ", ".join(parts)


def workers(assignment: Assignment) -> str:
    """Return the workers of all steps in one short phrase."""
    return " ".join(f"{name}={batching.instances}" for name, batching in assignment.items())


def _plural(count: int) -> str:
    return "worker" if count == 1 else "workers"
