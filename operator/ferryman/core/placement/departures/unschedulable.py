"""Where kube-scheduler found no room for a model's pods, although placement saw some.

Placement counts what Ferryman's own models request. What other pods request only the scheduler
sees: when it has kept a model waiting for ``spec.progressDeadlineSeconds``, the node type counts
as full for this model, and the next best one gets its turn. A model of which a replica serves
there stays; one that was to be moved there goes elsewhere, or back.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import PlacementStatus, UnschedulablePlace
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.core import timestamps
from ferryman.core.placement.filters import FilterContext
from ferryman.core.snapshot import NodeView, ServingState

#: Enough for a handful of node types to be tried in turn before the first is tried again.
FORGET_AFTER: Final = timedelta(hours=1)
#: What status may hold (PlacementStatus.unschedulable).
MAX_PLACES: Final = 16


def is_waiting(serving: ServingState) -> bool:
    """Whether kube-scheduler has no node for a pod of the model."""
    waits = serving.problem_reason == Reason.POD_UNSCHEDULABLE
    return waits and serving.unscheduled_since is not None


def has_waited(model: InferenceModel, serving: ServingState, now: datetime) -> bool:
    """Whether a pod of the model has waited for a node long enough."""
    placement, waiting = model.status.placement, serving.unscheduled_since
    if placement is None or placement.since is None or waiting is None or not is_waiting(serving):
        return False
    # Pods that wait may still be those for the node type before this one.
    since = max(timestamps.parse(placement.since), timestamps.parse(waiting))
    deadline = timedelta(seconds=model.spec.progress_deadline_seconds)
    return now - since >= deadline


def serves_there(
    nodes: Iterable[NodeView], serving: ServingState, node_types: Collection[str]
) -> bool:
    """Whether a ready pod is on a living node of some node types."""
    there = {node.name for node in nodes if node.node_type in node_types and not node.lost}
    return any(pod.ready and pod.node in there for pod in serving.pods)


def question(model: InferenceModel, runtime: InferenceRuntime, now: datetime) -> FilterContext:
    """Return what is asked of each place, knowing where the pods found no node lately."""
    return FilterContext(model, runtime, now, remembered(model.status.placement, now))


def remembered(previous: PlacementStatus | None, now: datetime) -> tuple[UnschedulablePlace, ...]:
    """Return where the model's pods found no node lately."""
    places = () if previous is None else previous.unschedulable
    return tuple(each for each in places if now - timestamps.parse(each.time) < FORGET_AFTER)


def noted(
    places: Sequence[UnschedulablePlace], given_up: PlacementStatus, words: str, now: datetime
) -> tuple[UnschedulablePlace, ...]:
    """Return the places with the one that was just given up, the newest first."""
    place = UnschedulablePlace(
        node_type=given_up.node_type or "",
        processor=given_up.processor or "",
        time=timestamps.text(now),
        message=words,
    )
    return (place, *places)[:MAX_PLACES]
