"""Scaling by Ferryman itself: between which numbers, and what came of it."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from ferryman.api import rules
from ferryman.api.base import ApiType, Message, Time
from ferryman.api.crd import rules as carry
from ferryman.api.scalars import ReasonWord

#: More replicas than this are never asked for.
MAX_SCALED_REPLICAS: Final = 100
_Count = Annotated[int, Field(ge=1, le=MAX_SCALED_REPLICAS)]


class ScalingSpec(ApiType):
    """Between which numbers Ferryman chooses the replicas itself."""

    model_config = ConfigDict(
        json_schema_extra=carry(*rules.ordered("minReplicas", "maxReplicas", "scaling"))
    )

    min_replicas: _Count = 1
    """Never fewer."""
    max_replicas: _Count
    """Never more."""
    scale_down_stabilization_seconds: Annotated[int, Field(ge=30, le=3_600)] = 300
    """For so long windows must have agreed that fewer would do, before there are fewer. Longer by
    twice the longest time within the last hour for which fewer would have done, and then did not,
    up to twelve times as long, and an hour."""


class ScalingChange(ApiType):
    """One change of the number of replicas: when, from what to what, and why."""

    time: Time
    """When it was decided."""
    before: Annotated[int, Field(ge=1)]
    """The replicas until then."""
    after: Annotated[int, Field(ge=1)]
    """The replicas from then on."""
    reason: ReasonWord
    """Why, in one word."""
    message: Message
    """Why, for people."""


class ScalingStatus(ApiType):
    """How many replicas Ferryman chose, and why not more and not fewer."""

    replicas: Annotated[int, Field(ge=1)]
    """What the model's Deployment is to have."""
    reason: ReasonWord
    """The latest decision in one word."""
    message: Message
    """The latest decision for people."""
    changes: Annotated[tuple[ScalingChange, ...], Field(max_length=10)] = ()
    """The latest changes, newest first."""
    stated_replicas: int | None = None
    """What spec.replicas was when this was decided."""
    contested_at: Time | None = None
    """RFC 3339: when somebody last set spec.replicas though Ferryman scales; for an hour."""
