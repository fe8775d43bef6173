"""A model of one to five replicas that Ferryman scales, as its rules see it."""

from ferryman.api.inference_model_status import BatchingStatus, FewerReplicas
from ferryman.api.scaling import ScalingChange, ScalingSpec, ScalingStatus
from ferryman.core.scaling.decide import ScalingView
from ferryman.core.snapshot import ServingState
from tests.factories import NOW, at

SPEC = ScalingSpec(min_replicas=1, max_replicas=5)


def change(before, after, seconds_ago, reason=None):
    """Return a change so long ago, by what it did."""
    reason = reason or ("MoreNeeded" if after > before else "FewerSuffice")
    return ScalingChange(
        time=at(-seconds_ago), before=before, after=after, reason=reason, message="so"
    )


def standing(replicas, *changes):
    return ScalingStatus(replicas=replicas, reason="AsNeeded", message="so", changes=changes)


def view(
    replicas=3,
    needed=None,
    *,
    ready=None,
    problem=("", ""),
    fewer=None,
    unattainable=None,
    changes=(),
    was=None,
    **fields,
):
    """Return the view of so many replicas, of which windows have settled on ``needed``."""
    ready = replicas if ready is None else ready
    pending = None if fewer is None else FewerReplicas(replicas=fewer, since=at(-60))
    values = {
        "spec": SPEC,
        "status": standing(was or replicas, *changes),
        "replicas": replicas,
        "batching": BatchingStatus(
            desired_replicas=needed,
            fewer_replicas=pending,
            unattainable=unattainable,
            reason="Observing",
        ),
        "serving": ServingState(
            ready_replicas=ready,
            updated_replicas=ready,
            problem_reason=problem[0],
            problem_message=problem[1],
        ),
        "stated": 1,
        "now": NOW,
        **fields,
    }
    return ScalingView(**values)
