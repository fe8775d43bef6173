"""How a pipeline's steps are put on servers: what was measured for that, compared, and decided."""

from typing import Annotated, Literal

from pydantic import Field

from ferryman.api.base import ApiType, Message, Time
from ferryman.api.crd import keyed_by
from ferryman.api.pipelines.step import MAX_STEPS
from ferryman.api.scalars import Label, ReasonWord

#: What becomes of steps that are cut off for speed.
CutState = Literal["Wanted", "Trial", "Kept", "Doubted", "TakenBack"]
_Milliseconds = Annotated[float, Field(ge=0, le=1e9)]


class CallStatus(ApiType):
    """What a call to a server was measured to take; of several servers it is the slowest's."""

    milliseconds: _Milliseconds
    """However little it carries."""
    mebibytes_per_second: Annotated[float, Field(gt=0, le=1e9)]
    """How fast goes what it carries."""


class MeasuredStep(ApiType):
    """What was measured of a step for the comparison of servers; absent is unknown."""

    name: Label
    """The step."""
    here_milliseconds: _Milliseconds | None = None
    """How long the server that clients call takes for one request that meets no other."""
    elsewhere_milliseconds: _Milliseconds | None = None
    """How long the servers of its InferenceModel take."""
    bytes_per_request: Annotated[float, Field(ge=0, le=1e15)] | None = None
    """What it reads and makes for one request."""
    instances: Annotated[int, Field(ge=1)] | None = None
    """The workers that it had here: with so many it comes back."""


class CutStatus(ApiType):
    """Steps that are cut off for speed, or may be, or were."""

    steps: Annotated[tuple[Label, ...], Field(min_length=1, max_length=MAX_STEPS)]
    """Which."""
    state: CutState
    """Wanted: they gain, and if that lasts they are cut off. Trial: they are cut off, and whether
    requests are faster for it is being measured. Kept: they are. Doubted: they are cut off and
    gain no longer; if that lasts they are taken back. TakenBack: they are not."""
    since: Time
    """Since when that is so."""
    generation: int = 0
    """Of the specification for which it was begun: what was taken back is tried with another."""
    message: Message = ""
    """What led to it."""
    before_milliseconds: _Milliseconds | None = None
    """What requests took on average on one server; absent: not measured."""
    after_milliseconds: _Milliseconds | None = None
    """What they took on average since; absent: not measured."""
    windows: Annotated[int, Field(ge=0)] = 0
    """Windows that this state was measured in."""


class ExecutionCandidate(ApiType):
    """One way to put the steps on servers, and what was predicted of it."""

    place: Annotated[str, Field(max_length=128)]
    """Where the server would run that clients call."""
    servers: Annotated[
        tuple[Annotated[tuple[Label, ...], Field(max_length=MAX_STEPS)], ...],
        Field(max_length=MAX_STEPS + 1),
    ] = ()
    """The steps of each server; clients call the first one. Empty where they do not fit."""
    chosen: bool = False
    """Whether it was chosen."""
    latency_milliseconds: float | None = None
    """How long a request that meets no other is predicted to take; absent where it is unknown."""
    added_milliseconds: float | None = None
    """What calls between servers take of all steps together; absent where it is unknown."""
    reason: ReasonWord
    """Why it was chosen or not, in one word."""
    message: Message
    """The same for people."""


class ExecutionStatus(ApiType):
    """How the steps are put on servers."""

    mode: Annotated[str, Field(max_length=16)]
    """Ensemble or Distributed."""
    reason: ReasonWord
    """Why, in one word."""
    message: Message
    """Why, for people."""
    candidates: Annotated[tuple[ExecutionCandidate, ...], Field(max_length=16)] = ()
    """What was compared, the best first."""
    call: CallStatus | None = None
    """What a call between servers takes; absent until it was measured."""
    steps: Annotated[
        tuple[MeasuredStep, ...], Field(max_length=MAX_STEPS, json_schema_extra=keyed_by("name"))
    ] = ()
    """What was measured of each step; empty where no step has an InferenceModel."""
    cut: CutStatus | None = None
    """What is cut off for speed, or may be; absent where nothing is or would be."""
