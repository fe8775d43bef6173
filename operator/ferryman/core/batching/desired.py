"""How many replicas an autoscaler should run: what the objectives need at the demand of now.

More at once, fewer with hysteresis: a lower number counts once no window has asked for more for
``HOLD``, which is as long as an HPA looks back by default. ``Enough.replicas`` is moreover asked
under a demand that is somewhat higher than it is (see ``guarded.sizing``), so that a number that
would only just do is never gone down to. All of it stands in the status: a restart forgets nothing.
"""

from datetime import datetime, timedelta
from typing import Final

from ferryman.api.inference_model_status import BatchingStatus, FewerReplicas
from ferryman.core import timestamps
from ferryman.core.tuners.needs import Enough, Needs, Replicas

#: For so long windows must have agreed that fewer would do.
HOLD: Final = timedelta(minutes=5)


def after_window(
    batching: BatchingStatus, needs: Needs, present: int, now: datetime
) -> BatchingStatus:
    """Return the status after a window said what is needed, of a model with so many replicas.

    Where a window names no number it is the present one.
    """
    said = _said(needs, present)
    before, fewer = batching.desired_replicas, batching.fewer_replicas
    if before is None or said >= before:
        return batching.with_(desired_replicas=max(said, before or present), fewer_replicas=None)
    if fewer is None:
        fewer = FewerReplicas(replicas=said, since=timestamps.text(now))
    most = max(said, fewer.replicas)
    if now - timestamps.parse(fewer.since) >= HOLD:
        return batching.with_(desired_replicas=most, fewer_replicas=None)
    return batching.with_(fewer_replicas=fewer.with_(replicas=most))


def shown(batching: BatchingStatus, wanted: int) -> int:
    """Return what to show an autoscaler of a model that is to have so many replicas.

    Where nothing was said yet, or is ever said, it is that number; where none is wanted, none.
    """
    return wanted if batching.desired_replicas is None or not wanted else batching.desired_replicas


def _said(needs: Needs, present: int) -> int:
    if isinstance(needs, Replicas):
        return max(needs.count, 1)
    if isinstance(needs, Enough) and needs.replicas is not None:
        return needs.replicas
    return max(present, 1)
