"""How many replicas there are to be, and why not more and not fewer: a chain of rules.

More at once, as soon as no batching of those there are meets the objectives. Fewer slowly: windows
must have agreed for a while (``stabilization.hold``), those that stay must serve, and nothing may
have changed meanwhile. What is not known changes nothing. The number is never outside the bounds,
and never what somebody else sets meanwhile. Everything that it depends on stands in the status, so
that a restart forgets nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import BatchingStatus
from ferryman.api.scaling import ScalingChange, ScalingSpec, ScalingStatus
from ferryman.core import timestamps
from ferryman.core.scaling import stabilization
from ferryman.core.snapshot import ServingState

MAX_CHANGES: Final = 10
#: For so long it is told that somebody else set the number.
CONTESTED: Final = timedelta(hours=1)
#: Why there are not as many replicas as the objectives need: what a person is told.
LIMITING: Final = (
    Reason.AT_MAX_REPLICAS,
    Reason.NO_ROOM,
    Reason.REPLICAS_DO_NOT_START,
)


@dataclass(frozen=True, slots=True)
class ScalingView:
    """What the rules look at."""

    spec: ScalingSpec
    status: ScalingStatus | None
    """What was decided last."""
    replicas: int
    """What there are to be as of now, within the bounds."""
    batching: BatchingStatus
    """What windows said."""
    serving: ServingState
    stated: int
    """What ``spec.replicas`` is, which others may set."""
    now: datetime

    @property
    def needed(self) -> int:
        """What windows have settled on; the present number where they have not."""
        return self.batching.desired_replicas or self.replicas

    @property
    def hold(self) -> timedelta:
        """For how long windows must have agreed on fewer."""
        least = stabilization.stated(self.spec)
        return stabilization.hold(least, self.batching.lulls, self.now)


@dataclass(frozen=True, slots=True)
class _Answer:
    replicas: int
    reason: Reason
    message: str


def of_model(
    model: InferenceModel, batching: BatchingStatus, serving: ServingState, now: datetime
) -> ScalingStatus | None:
    """Return how many replicas a model is to have; None where Ferryman does not scale it.

    ``batching`` is the status after the latest window. While none are asked for, what was decided
    last stays.
    """
    spec, status = model.spec.scaling, model.status.scaling
    if spec is None or model.replicas == 0:
        return None if spec is None else status
    return decide(
        ScalingView(
            spec=spec,
            status=status,
            replicas=model.replicas,
            batching=batching,
            serving=serving,
            stated=model.spec.replicas,
            now=now,
        )
    )


def decide(view: ScalingView) -> ScalingStatus:
    """Return how many replicas there are to be, and why not more and not fewer."""
    answer = next(found for rule in _RULES if (found := rule(view)) is not None)
    return _recorded(view, answer)


def is_limited(status: ScalingStatus | None) -> bool:
    """Whether something keeps there from being as many replicas as the objectives need."""
    return status is not None and status.reason in LIMITING


def _recorded(view: ScalingView, answer: _Answer) -> ScalingStatus:
    reason = str(answer.reason)
    before = view.replicas if view.status is None else view.status.replicas
    changes = () if view.status is None else view.status.changes
    if answer.replicas != before:
        change = ScalingChange(
            time=timestamps.text(view.now),
            before=before,
            after=answer.replicas,
            reason=reason,
            message=answer.message,
        )
        changes = (change, *changes)[:MAX_CHANGES]
    return ScalingStatus(
        replicas=answer.replicas,
        reason=reason,
        message=answer.message,
        changes=changes,
        stated_replicas=view.stated,
        contested_at=_contested_at(view),
    )


def _contested_at(view: ScalingView) -> str | None:
    """Return when somebody last set ``spec.replicas``, which own scaling does not follow.

    A single owner leaves it alone; an HPA or KEDA sets it again and again.
    """
    status = view.status
    if status is None or status.stated_replicas is None:
        return None
    if view.stated != status.stated_replicas:
        return timestamps.text(view.now)
    at = status.contested_at
    return at if at is not None and view.now - timestamps.parse(at) < CONTESTED else None


def _bounded(view: ScalingView) -> _Answer | None:
    """Keep the owner's bounds at once, whatever windows say."""
    if view.status is None or view.status.replicas == view.replicas:
        return None
    spec = view.spec
    message = (
        f"spec.scaling allows {spec.min_replicas} to {spec.max_replicas} replicas, and there were "
        f"{view.status.replicas}"
    )
    return _Answer(view.replicas, Reason.WITHIN_BOUNDS, message)


def _unknown(view: ScalingView) -> _Answer | None:
    """Leave the number as it is where nothing says what is needed."""
    batching = view.batching
    if batching.unattainable is not None:
        message = "no number of replicas would meet the objectives: their number stays"
    elif batching.desired_replicas is None:
        message = f"no window has said yet how many replicas are needed ({batching.reason})"
    else:
        return None
    return _Answer(view.replicas, Reason.NEED_UNKNOWN, message)


def _hindered(view: ScalingView) -> _Answer | None:
    """Ask for no more while those that were asked for do not come."""
    serving, wanted = view.serving, view.replicas
    missing = wanted - serving.ready_replicas
    if missing <= 0 or not serving.problem_reason or view.needed < wanted:
        return None
    told = f"{serving.ready_replicas} of {wanted} replicas are ready"
    if serving.problem_reason == Reason.POD_UNSCHEDULABLE:
        message = f"{told}, and there is no room for more: add nodes: {serving.problem_message}"
        return _Answer(wanted, Reason.NO_ROOM, message)
    message = f"{told}, and the others do not start: {serving.problem_message}"
    return _Answer(wanted, Reason.REPLICAS_DO_NOT_START, message)


def _more(view: ScalingView) -> _Answer | None:
    """Ask for more at once: no batching of those there are would do."""
    needed, present, most = view.needed, view.replicas, view.spec.max_replicas
    if needed <= present:
        return None
    if present >= most:
        message = (
            f"{needed} replicas are needed and {most} allowed: raise spec.scaling.maxReplicas, or "
            "relax the objectives"
        )
        return _Answer(present, Reason.AT_MAX_REPLICAS, message)
    message = f"no batching of {_replicas(present)} meets the objectives, {needed} would"
    if needed > most:
        message += f"; spec.scaling.maxReplicas allows {most}"
    return _Answer(min(needed, most), Reason.MORE_NEEDED, message)


def _fewer(view: ScalingView) -> _Answer | None:
    """Go down once windows have agreed for long enough, and nothing else is under way."""
    present, least = view.replicas, view.spec.min_replicas
    if view.needed >= present or present <= least:
        return None
    enough = max(view.needed, least)
    if min(view.serving.ready_replicas, view.serving.updated_replicas) < enough:
        message = f"{enough} would do; none goes before so many are ready"
        return _Answer(present, Reason.STABILIZING, message)
    last = None if view.status is None else next(iter(view.status.changes), None)
    if last is not None and view.now - timestamps.parse(last.time) < view.hold:
        message = f"{enough} would do; the last change, {last.time}, is too short a time ago"
        return _Answer(present, Reason.STABILIZING, message)
    message = (
        f"windows have agreed for {view.hold.total_seconds():.0f} s that {_replicas(enough)} meet "
        "the objectives, with headroom"
    )
    return _Answer(enough, Reason.FEWER_SUFFICE, message)


def _settled(view: ScalingView) -> _Answer:
    """Say why there are not more, and why not fewer."""
    present, spec, fewer = view.replicas, view.spec, view.batching.fewer_replicas
    if view.needed < present or present == spec.min_replicas:
        message = f"no more than {_replicas(present)} are needed, and no fewer allowed"
    elif fewer is not None and fewer.replicas < present:
        message = (
            f"{max(fewer.replicas, spec.min_replicas)} would do since {fewer.since}: there are "
            f"fewer once windows have agreed for {view.hold.total_seconds():.0f} s"
        )
        return _Answer(present, Reason.STABILIZING, message)
    else:
        message = f"no more than {_replicas(present)} are needed, and fewer would be too few"
    return _Answer(present, Reason.AS_NEEDED, message)


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


#: The first rule that answers decides.
_RULES: Final[tuple[Callable[[ScalingView], _Answer | None], ...]] = (
    _bounded,
    _unknown,
    _hindered,
    _more,
    _fewer,
    _settled,
)
