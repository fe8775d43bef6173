"""What is known of a model's service times before it is tuned: measured elsewhere, or earlier."""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from ferryman.api.base import ApiType
from ferryman.api.batching import MAX_BATCH_SIZE
from ferryman.core.queue_model.service_curve import Milliseconds
from ferryman.core.tuners.learned.service_time import HALF_BELIEVED, ServiceTimePoint, ServiceTimes
from ferryman.core.tuners.state import Learned, TunerState


class ProfilePoint(ApiType):
    """What batches of one size took, from when an instance took them until it was done."""

    batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)]
    milliseconds: Milliseconds


class ProfileCurve(ApiType):
    """Service times with so many instances at work at once."""

    instances: Annotated[int, Field(ge=1, le=64)] = 1
    points: Annotated[tuple[ProfilePoint, ...], Field(min_length=1, max_length=MAX_BATCH_SIZE)]

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        sizes = [point.batch_size for point in self.points]
        if any(left >= right for left, right in pairwise(sizes)):
            raise ValueError("points must ascend in batchSize")
        return self


class Profile(ApiType):
    """The service times of a model on one kind of hardware."""

    curves: Annotated[tuple[ProfileCurve, ...], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _has_each_once(self) -> Self:
        counts = [curve.instances for curve in self.curves]
        if len(set(counts)) < len(counts):
            raise ValueError("curves must differ in instances")
        return self


def tuner_state(profile: Profile) -> TunerState:
    """Return what a tuner remembers that begins with a profile.

    It is believed half: what the model's own traffic shows overrules it.
    """
    points = {
        curve.instances: {
            point.batch_size: ServiceTimePoint(HALF_BELIEVED, point.milliseconds)
            for point in curve.points
        }
        for curve in profile.curves
    }
    return TunerState(learned=Learned(service=ServiceTimes(points)))
