"""The chain of filters between a model and a place: each can say why not.

``permits`` rules a processor class out whatever the nodes; ``FILTERS`` then look at one node.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime, RuntimeProcessor
from ferryman.api.node_profile import Benchmark, NodeProfileStatus, Processor
from ferryman.core import times
from ferryman.core.fit import misfit
from ferryman.core.snapshot import NodeView
from ferryman.core.workload import seconds_per_image

#: The agent reports every 60 s; three reports missed make what it said worthless.
STALE_AFTER = timedelta(seconds=180)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node type or a node is no place for the model."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of each place."""

    model: InferenceModel
    runtime: InferenceRuntime
    now: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """One processor class on one node."""

    node: NodeView
    profile: NodeProfileStatus
    processor: Processor
    entry: RuntimeProcessor
    """How the runtime serves this class."""
    table: Benchmark | None
    """What was measured for the node's type under this runtime and image."""


Filter = Callable[[Question, Place], Refusal | None]


def permits(model: InferenceModel, runtime: InferenceRuntime, processor: str) -> Refusal | None:
    """Return why a processor class is out of the question whatever the nodes, or None."""
    allowed = model.spec.placement.processors
    if allowed and processor not in allowed:
        message = f"spec.placement.processors allows {', '.join(allowed)} only"
        return Refusal(Reason.PROCESSOR_NOT_ALLOWED, message)
    entry = runtime.processor(processor)
    if entry is None:
        served = ", ".join(entry.processor_class for entry in runtime.spec.processors)
        message = f"runtime {runtime.name} serves {served} only"
        return Refusal(Reason.PROCESSOR_NOT_IN_RUNTIME, message)
    wanted = model.source_for(processor).model_format.name
    if wanted in entry.backends:
        return None
    backends = ", ".join(sorted(entry.backends))
    message = f"runtime {runtime.name} serves {backends} on {processor}, the model is {wanted}"
    return Refusal(Reason.FORMAT_NOT_SUPPORTED, message)


def refuse(question: Question, place: Place) -> tuple[int, Refusal | None]:
    """Return how many filters the place passed, and what the next one says (None: no more)."""
    for passed, refuses in enumerate(FILTERS):
        refusal = refuses(question, place)
        if refusal is not None:
            return passed, refusal
    return len(FILTERS), None


def is_fresh(profile: NodeProfileStatus, now: datetime) -> bool:
    """Whether the agent reported recently enough for what it said to be true still."""
    heartbeat = profile.heartbeat_time
    return heartbeat is not None and now - times.parse(heartbeat) <= STALE_AFTER


def _not_ready(_: Question, place: Place) -> Refusal | None:
    node = place.node
    if not node.ready:
        return Refusal(Reason.NODE_NOT_READY, f"{node.name} is not ready or is cordoned")
    if node.untolerated_taints:
        taints = ", ".join(node.untolerated_taints)
        return Refusal(Reason.NODE_NOT_READY, f"{node.name} is tainted {taints}")
    return None


def _stale(question: Question, place: Place) -> Refusal | None:
    if is_fresh(place.profile, question.now):
        return None
    heartbeat = place.profile.heartbeat_time
    if heartbeat is None:
        return Refusal(Reason.PROFILE_STALE, f"the agent on {place.node.name} never reported")
    # The heartbeat's time, not its age: an age would change status with every look at it.
    message = (
        f"the agent on {place.node.name} reported last at {heartbeat}, "
        f"more than {STALE_AFTER.seconds} s ago: see whether it runs"
    )
    return Refusal(Reason.PROFILE_STALE, message)


def _unavailable(_: Question, place: Place) -> Refusal | None:
    if place.processor.unavailable is None:
        return None
    message = f"{place.processor.product} on {place.node.name}: {place.processor.unavailable}"
    return Refusal(Reason.PROCESSOR_UNAVAILABLE, message)


def _not_benchmarked(question: Question, place: Place) -> Refusal | None:
    runtime, table = question.runtime, place.table
    if table is None and runtime.spec.benchmark is None:
        message = f"runtime {runtime.name} has no spec.benchmark, so nothing is measured under it"
        return Refusal(Reason.NOT_BENCHMARKED, message)
    if table is None:
        message = f"not yet measured under runtime {runtime.name} with image {place.entry.image}"
        return Refusal(Reason.NOT_BENCHMARKED, message)
    if not table.points:
        message = f"the benchmark on {table.measured_on} failed: {table.error or 'no rows'}"
        return Refusal(Reason.BENCHMARK_FAILED, message)
    return None


def _implausible(_: Question, place: Place) -> Refusal | None:
    try:
        seconds_per_image(place.table.points if place.table else ())
    except ValueError as error:
        return Refusal(Reason.INVALID_BENCHMARK, f"the benchmark is not plausible: {error}")
    return None


def _does_not_fit(question: Question, place: Place) -> Refusal | None:
    try:
        message = misfit(place.node, question.model.spec.resources, place.entry)
    except ValueError as error:
        return Refusal(Reason.INVALID_SPEC, f"the resources cannot be read: {error}")
    return Refusal(Reason.INSUFFICIENT_RESOURCES, message) if message else None


#: A place fits when every filter returns None; otherwise its first refusal counts.
FILTERS: tuple[Filter, ...] = (
    _not_ready,
    _stale,
    _unavailable,
    _not_benchmarked,
    _implausible,
    _does_not_fit,
)
