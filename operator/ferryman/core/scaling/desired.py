"""How many replicas the objectives need at the demand of now: what scales by it follows it.

More at once, fewer with hysteresis: a lower number counts once no window has asked for more for a
while (``stabilization``). What a window asks for is said by whoever predicts: the tuner of a model,
the balancer of a pipeline. All of it stands in the status: a restart forgets nothing.
"""

from datetime import datetime, timedelta
from typing import Final, Protocol, Self, TypeVar

from ferryman.api.inference_model_status import MAX_LULLS, FewerReplicas, Lull, ReplicasAsked
from ferryman.core import timestamps
from ferryman.core.scaling import stabilization
from ferryman.core.scaling.stabilization import HOLD

#: So many times as long is waited for a number that goes on to fall.
FALLING: Final = 2


class Wishes(Protocol):
    """The part of a status that tells what is needed."""

    @property
    def desired_replicas(self) -> int | None:
        """What is needed; None where nothing was said yet."""

    @property
    def fewer_replicas(self) -> FewerReplicas | None:
        """What it goes down to if windows go on to agree."""

    @property
    def lulls(self) -> tuple[Lull, ...]:
        """For how long fewer would have done, lately."""

    def with_(self, **changes: object) -> Self:
        """Return a copy with some fields replaced."""


Told = TypeVar("Told", bound=Wishes)


def after_window(
    told: Told, count: int, present: int, now: datetime, least: timedelta = HOLD
) -> Told:
    """Return the status after a window that asked for so many, while there are to be ``present``.

    There are fewer once windows have agreed for as long as ``stabilization.hold`` says, which is
    ``least`` where fewer never did for a while alone.
    """
    before = told.desired_replicas
    if before is None or count >= before:
        return _as_many(told, max(count, before or present), now)
    steps = _steps(told.fewer_replicas, count, now)
    hold = stabilization.hold(least, told.lulls, now)
    reached = _reached(steps, now, hold)
    if reached is None:
        return told.with_(fewer_replicas=_fewer(steps))
    lull = Lull(replicas=reached.replicas, since=steps[0].since)
    return told.with_(
        desired_replicas=reached.replicas,
        fewer_replicas=_fewer([step for step in steps if step.replicas < reached.replicas]),
        lulls=(*told.lulls, lull)[-MAX_LULLS:],
    )


def _as_many(told: Told, count: int, now: datetime) -> Told:
    """Return the status once so many are needed, which are no fewer than before."""
    lulls, fewer = told.lulls, told.fewer_replicas
    if fewer is not None:
        lulls = (*lulls, Lull(replicas=fewer.replicas, since=fewer.since))
    return told.with_(
        desired_replicas=count,
        fewer_replicas=None,
        lulls=stabilization.ended(lulls, count, now),
    )


def _steps(fewer: FewerReplicas | None, count: int, now: datetime) -> list[ReplicasAsked]:
    """Return since when no window has asked for more than each number, down to this window's."""
    known = () if fewer is None else (fewer, *fewer.lower)
    steps = [ReplicasAsked(replicas=s.replicas, since=s.since) for s in known if s.replicas > count]
    since = next((s.since for s in known if s.replicas <= count), timestamps.text(now))
    return [*steps, ReplicasAsked(replicas=count, since=since)]


def _reached(steps: list[ReplicasAsked], now: datetime, hold: timedelta) -> ReplicasAsked | None:
    """Return what is gone down to, if it is time: the last step, once that is known to be it.

    A demand that falls, or is forgotten, goes through many numbers: each would end pods once more.
    One that goes on to fall is followed after twice as long.
    """
    stood = [step for step in steps if now - timestamps.parse(step.since) >= hold]
    if not stood:
        return None
    falls = stood[-1] != steps[-1]
    waited = now - timestamps.parse(steps[0].since) >= FALLING * hold
    return None if falls and not waited else stood[-1]


def _fewer(steps: list[ReplicasAsked]) -> FewerReplicas | None:
    if not steps:
        return None
    first, *lower = steps
    return FewerReplicas(replicas=first.replicas, since=first.since, lower=tuple(lower))


def shown(told: Wishes, wanted: int) -> int:
    """Return what to show an autoscaler of what is to have so many replicas.

    Where nothing was said yet, or is ever said, it is that number; where none is wanted, none.
    """
    return wanted if told.desired_replicas is None or not wanted else told.desired_replicas
