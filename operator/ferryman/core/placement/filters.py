"""The chain of filters between a model and a place: each can say why not.

``why_forbidden`` rules a processor class out whatever the nodes; ``FILTERS`` then look at one node.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import UnschedulablePlace
from ferryman.api.inference_runtime import InferenceRuntime, RuntimeProcessor
from ferryman.api.node_profile import Benchmark, NodeProfileStatus, Processor
from ferryman.core import timestamps
from ferryman.core.placement.fit import misfit
from ferryman.core.placement.nodes import out_of_use, several_devices, taints
from ferryman.core.placement.refusal import Refusal
from ferryman.core.placement.workload import seconds_per_image
from ferryman.core.snapshot import NodeView
from ferryman.core.triton import code, parallel

#: The agent reports every 60 s; three reports missed make what it said worthless.
STALE_AFTER = timedelta(seconds=180)
#: Clocks of nodes differ. What is further ahead of the operator's is not the time of a report, and
#: would be fresh for as long as its author likes.
AHEAD_AT_MOST = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class FilterContext:
    """What is asked of each place."""

    model: InferenceModel
    runtime: InferenceRuntime
    now: datetime
    unschedulable: tuple[UnschedulablePlace, ...] = ()
    """Where kube-scheduler found no node for the model's pods lately."""


class Place(NamedTuple):
    """One processor class on one node; a decision makes one for each, and there are many."""

    node: NodeView
    profile: NodeProfileStatus
    processor: Processor
    entry: RuntimeProcessor
    """How the runtime serves this class."""
    unusable: Refusal | None = None
    """Why what was measured for the node's type under this runtime and image is of no use."""


Filter = Callable[[FilterContext, Place], Refusal | None]


def why_forbidden(
    model: InferenceModel, runtime: InferenceRuntime, processor: str
) -> Refusal | None:
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
        refusal = code.why_refused(entry, wanted)
        refusal = refusal or parallel.why_not(
            model.spec.parallelism, entry, model.source_for(processor)
        )
        return None if refusal is None else Refusal(Reason.FORMAT_NOT_SUPPORTED, refusal)
    backends = ", ".join(sorted(entry.backends))
    message = f"runtime {runtime.name} serves {backends} on {processor}, the model is {wanted}"
    return Refusal(Reason.FORMAT_NOT_SUPPORTED, message)


def first_refusal(question: FilterContext, place: Place) -> tuple[int, Refusal | None]:
    """Return how many filters the place passed, and what the next one says (None: no more)."""
    for passed, refuses in enumerate(FILTERS):
        refusal = refuses(question, place)
        if refusal is not None:
            return passed, refusal
    return len(FILTERS), None


def is_fresh(profile: NodeProfileStatus, now: datetime) -> bool:
    """Whether the agent reported recently enough for what it said to be true still."""
    heartbeat = profile.heartbeat_time
    if heartbeat is None:
        return False
    return -AHEAD_AT_MOST <= now - timestamps.parse(heartbeat) <= STALE_AFTER


def _not_ready(_: FilterContext, place: Place) -> Refusal | None:
    node = place.node
    if node.ready and not node.lost:
        return None
    state = "not ready, or not heard of" if node.lost else "cordoned"
    return Refusal(Reason.NODE_NOT_READY, f"{node.name} is {state}")


def _not_selected(question: FilterContext, place: Place) -> Refusal | None:
    unmet = taints.unmet(question.model.spec.placement, place.node.labels)
    if not unmet:
        return None
    message = f"the labels of {place.node.name} do not meet {', '.join(unmet)}"
    return Refusal(Reason.NODE_SELECTOR_NOT_MET, message)


def _tainted(question: FilterContext, place: Place) -> Refusal | None:
    if not place.node.taints:
        return None
    tolerated = taints.tolerations(question.model.spec.placement, place.entry)
    untolerated = taints.untolerated(place.node.taints, tolerated)
    if not untolerated:
        return None
    message = (
        f"{place.node.name} is tainted {', '.join(untolerated)}: where models may go there all the "
        "same, add a toleration to spec.placement or to the runtime"
    )
    return Refusal(Reason.TAINT_NOT_TOLERATED, message)


def _stale(question: FilterContext, place: Place) -> Refusal | None:
    if is_fresh(place.profile, question.now):
        return None
    heartbeat = place.profile.heartbeat_time
    if heartbeat is None:
        return Refusal(Reason.PROFILE_STALE, f"the agent on {place.node.name} never reported")
    if timestamps.parse(heartbeat) > question.now:
        message = (
            f"the agent on {place.node.name} says that it reported at {heartbeat}, which is yet to "
            "come: see whether the node's clock is right, and who writes its NodeProfile"
        )
        return Refusal(Reason.PROFILE_STALE, message)
    # The heartbeat's time, not its age: an age would change status with every look at it.
    message = (
        f"the agent on {place.node.name} reported last at {heartbeat}, "
        f"more than {STALE_AFTER.seconds} s ago: see whether it runs"
    )
    return Refusal(Reason.PROFILE_STALE, message)


def _unavailable(_: FilterContext, place: Place) -> Refusal | None:
    why = out_of_use.why_not(place.node, place.processor, place.entry)
    if why is None:
        return None
    message = f"{place.processor.product} on {place.node.name}: {why}"
    return Refusal(Reason.PROCESSOR_UNAVAILABLE, message)


def unusable(
    runtime: InferenceRuntime, entry: RuntimeProcessor, table: Benchmark | None
) -> Refusal | None:
    """Return why a node type's load performance table is of no use, or None."""
    if table is None and runtime.spec.benchmark is None:
        message = f"runtime {runtime.name} has no spec.benchmark, so nothing is measured under it"
        return Refusal(Reason.NOT_BENCHMARKED, message)
    if table is None:
        message = f"not yet measured under runtime {runtime.name} with image {entry.image}"
        return Refusal(Reason.NOT_BENCHMARKED, message)
    if not table.points:
        message = f"the benchmark on {table.measured_on} failed: {table.error or 'no rows'}"
        return Refusal(Reason.BENCHMARK_FAILED, message)
    try:
        seconds_per_image(table.points)
    except ValueError as error:
        return Refusal(Reason.INVALID_BENCHMARK, f"the benchmark is not plausible: {error}")
    return None


def _not_benchmarked(_: FilterContext, place: Place) -> Refusal | None:
    return place.unusable


def _does_not_fit(question: FilterContext, place: Place) -> Refusal | None:
    spec = question.model.spec
    try:
        message = misfit(place.node, spec.resources, place.entry, spec.devices)
    except ValueError as error:
        return Refusal(Reason.INVALID_SPEC, f"the resources cannot be read: {error}")
    return Refusal(Reason.INSUFFICIENT_RESOURCES, message) if message else None


def _not_together(question: FilterContext, place: Place) -> Refusal | None:
    node, profile, processor, entry, _ = place
    parallelism = question.model.spec.parallelism
    return several_devices.why_not(parallelism, node, profile, processor, entry)


def _found_full(question: FilterContext, place: Place) -> Refusal | None:
    for known in question.unschedulable:  # hardly ever any, and asked of each of many places
        kind = place.profile.node_type, place.processor.processor_class
        if (known.node_type, known.processor) == kind:
            message = (
                f"kube-scheduler had no {known.node_type} node for the model's pods until "
                f"{known.time}, when it was given up for an hour: {known.message}"
            )
            return Refusal(Reason.POD_UNSCHEDULABLE, message)
    return None


#: A place fits when every filter returns None; otherwise its first refusal counts.
FILTERS: tuple[Filter, ...] = (
    _not_selected,
    _not_ready,
    _tainted,
    _stale,
    _unavailable,
    _not_together,
    _not_benchmarked,
    _does_not_fit,
    _found_full,
)
