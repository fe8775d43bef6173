"""What the status tells of the replicas that a pipeline needs: what an autoscaler follows."""

from datetime import datetime

from ferryman.api.pipelines.inference_pipeline_status import BalancingStatus
from ferryman.core.scaling.desired import after_window
from ferryman.core.tuners.needs import Needs, count, number, unattainable


def noted(
    balancing: BalancingStatus, needs: Needs | None, present: int, now: datetime
) -> BalancingStatus:
    """Return the status after the balancer's word on a window; None says nothing."""
    if needs is None:
        return balancing
    told = balancing.with_(needed_replicas=number(needs), unattainable=unattainable(needs))
    return after_window(told, count(needs, present), present, now)


def unsaid(balancing: BalancingStatus) -> BalancingStatus:
    """Return the status where nothing says what is needed."""
    return balancing.with_(
        needed_replicas=None,
        unattainable=None,
        desired_replicas=None,
        fewer_replicas=None,
        lulls=(),
    )
