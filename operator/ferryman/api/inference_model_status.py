"""``InferenceModel.status``: where the model is, what is applied, what was observed, and why."""

from operator import not_
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from ferryman.api.base import ApiType, Message, Time
from ferryman.api.batching import MAX_BATCH_SIZE, Actuator, Batching
from ferryman.api.conditions import Condition
from ferryman.api.crd import keyed_by
from ferryman.api.model_fetch import SourceStatus
from ferryman.api.scalars import Label, LatestReasonWord, NodeName, ReasonWord
from ferryman.api.scaling import MAX_SCALED_REPLICAS, ScalingStatus

#: The observed generation of an object that no operator has looked at.
UNSEEN: Final = -1


class CandidateStatus(ApiType):
    """One node type with one processor class: its workload, or why it was refused."""

    node_type: Label
    """The node type."""
    processor: Label
    """The processor class."""
    chosen: bool = False
    """Whether it was chosen."""
    node: NodeName | None = None
    """The least-loaded node of this type that fits: the one the score describes."""
    benchmark: float | None = None
    """Its benchmark term, 0 to 1: seconds per image relative to the slowest candidate."""
    memory: float | None = None
    """Its memory utilisation, 0 to 1; absent where it is unknown."""
    utilisation: float | None = None
    """Its processor utilisation, 0 to 1; absent where it is unknown."""
    workload: float | None = None
    """The weighted sum of the three terms; the least one wins (policy LeastWorkload)."""
    cost: float | None = None
    """Nodes that all replicas take (BestFit), or their price per hour (Cheapest)."""
    reason: ReasonWord
    """Why it was chosen or not, in one word."""
    message: Message
    """The same for people."""


class UnschedulablePlace(ApiType):
    """A node type that was given up for lack of room that only kube-scheduler knew of."""

    node_type: Label
    """The node type."""
    processor: Label
    """The processor class."""
    time: Time
    """RFC 3339: when it was given up; for an hour it counts as full."""
    message: Message
    """The scheduler's words."""


#: Replicas are kept apart over no more node types than these and the chosen one.
MAX_FURTHER_NODE_TYPES: Final = 15


class PlacementStatus(ApiType):
    """The chosen node type and all candidates."""

    node_type: Label | None = None
    """The chosen node type; absent while there is none."""
    further_node_types: Annotated[
        tuple[Label, ...], Field(max_length=MAX_FURTHER_NODE_TYPES, exclude_if=not_)
    ] = ()
    """With spread NodeTypes: other types of the processor class to which replicas go, too."""
    processor: Label | None = None
    """The processor class that serves the model."""
    product: Annotated[str, Field(max_length=256)] | None = None
    """The processor's product name."""
    preferred_node: NodeName | None = None
    """The least-loaded node of the node type when it was chosen."""
    since: Time | None = None
    """RFC 3339: when this node type was chosen."""
    reason: Annotated[ReasonWord, Field(min_length=1)]
    """Why this node type, or why none, in one word."""
    message: Message
    """The same for people."""
    candidates: Annotated[tuple[CandidateStatus, ...], Field(max_length=64)] = ()
    """Every candidate with its workload, or why it was refused."""
    unschedulable: Annotated[tuple[UnschedulablePlace, ...], Field(max_length=16)] = ()
    """Where kube-scheduler found no node for the pods lately, the newest first."""

    @property
    def node_types(self) -> tuple[str, ...]:
        """Every node type on which replicas may be, the chosen one first."""
        return (*([] if self.node_type is None else [self.node_type]), *self.further_node_types)


#: Of earlier versions, in place of a number: none would do; more than 100 would be needed.
_CODES: Final = (0, 101)
ChangeOutcome = Literal["InProgress", "Applied", "Refused", "RolledBack", "Interrupted"]


class BatchingChange(ApiType):
    """One change of the batching configuration: when, what, why, how, and what came of it."""

    time: Time
    """When the change was decided."""
    before: Batching
    """The configuration until then."""
    after: Batching
    """The configuration from then on."""
    actuator: Actuator
    """How it was made, cheapest first: LiveCap, InPlace, Reload."""
    reason: ReasonWord
    """Why, in one word."""
    message: Message
    """Why, for people."""
    outcome: ChangeOutcome
    """What came of it."""
    generation: Annotated[int, Field(ge=0)] = 0
    """``metadata.generation`` of the specification that the change was decided for."""


class LiveCapStatus(ApiType):
    """Whether the batch size bound can change without a reload."""

    available: bool
    """Whether pods that start now have a live cap."""
    reason: ReasonWord
    """Why, or why not, in one word."""
    message: Message
    """The same for people."""


class WarmStartStatus(ApiType):
    """What came of measuring the model's service times before its clients came."""

    subject: Annotated[str, Field(max_length=64)]
    """A digest of what was measured: the model's file, its runtime's image, and the node type."""
    outcome: Literal["InProgress", "Measured", "NotMeasured"]
    """Of the same subject it is not tried again."""
    time: Time
    """RFC 3339: when it began, or came out so."""
    reason: ReasonWord
    """Why, in one word."""
    message: Message
    """The same for people."""


#: No more lulls are kept than these, the longest.
MAX_LULLS: Final = 10


class ReplicasAsked(ApiType):
    """That windows ask for no more replicas than these, and since when."""

    replicas: Annotated[int, Field(ge=1)]
    """The largest number that a window asked for since."""
    since: Time
    """RFC 3339: when a window first asked for no more."""


class FewerReplicas(ReplicasAsked):
    """That fewer replicas would do, and since when windows say so."""

    lower: Annotated[
        tuple[ReplicasAsked, ...], Field(max_length=MAX_SCALED_REPLICAS, exclude_if=not_)
    ] = ()
    """Still lower numbers that were asked for later, and since when none was higher."""


class Lull(ApiType):
    """A time for which fewer replicas would have done."""

    replicas: Annotated[int, Field(ge=1)]
    """What would have done."""
    since: Time
    """RFC 3339: when a window first asked for fewer than there were to be."""
    until: Time | None = None
    """RFC 3339: when more were needed again; absent while they are not."""


class BatchingStatus(ApiType):
    """What is applied and how it came about."""

    applied: Batching | None = None
    """The configuration that the pods are to have in force."""
    last_good: Batching | None = None
    """The last configuration that served a whole window without failures."""
    recommended: Batching | None = None
    """With mode Recommend: what Auto would apply."""
    needed_replicas: Annotated[int, Field(ge=0)] | None = None
    """Replicas that would meet the objectives, while no batching of those asked for can; absent
    where no number would."""
    unattainable: Message | None = None
    """Why no number of replicas would meet the objectives; absent where one would."""
    desired_replicas: Annotated[int, Field(ge=1)] | None = None
    """Replicas that the objectives need at the demand of now: what an autoscaler follows; absent
    until a window has ended, and where nothing is tuned."""
    fewer_replicas: FewerReplicas | None = None
    """What desiredReplicas goes down to if windows go on to agree; absent while they do not."""
    lulls: Annotated[tuple[Lull, ...], Field(max_length=MAX_LULLS, exclude_if=not_)] = ()
    """Times within the last hour that fewer would have done, and then did not, the latest last:
    the next one has to be longer before there are fewer."""
    reason: LatestReasonWord = ""
    """The latest decision in one word."""
    message: Message = ""
    """The latest decision for people."""
    changes: Annotated[tuple[BatchingChange, ...], Field(max_length=10)] = ()
    """The latest changes, newest first."""
    recent_reloads: Annotated[tuple[Time, ...], Field(max_length=128)] = ()
    """RFC 3339 times of the last hour's reloads: what the budget counts."""
    live_cap: LiveCapStatus | None = None
    """Absent where the runtime states none."""
    warm_start: WarmStartStatus | None = None
    """Absent without warmStart, and until pods could be measured."""

    @field_validator("needed_replicas")
    @classmethod
    def _is_a_number(cls, stated: int | None) -> int | None:
        """Read the codes of earlier versions as no number."""
        return None if stated in _CODES else stated


class ObservedStatus(ApiType):
    """The last window with traffic, quantised so that noise causes no writes."""

    latency_milliseconds: float | None = None
    """The objective's percentile (99 without one) of Triton's request duration."""
    latency_estimated: bool = False
    """True while Triton's own percentile still describes an earlier configuration."""
    mean_latency_milliseconds: float | None = None
    """The mean of Triton's request duration."""
    inferences_per_second: float = 0.0
    """Summed over all replicas."""
    mean_batch_size: float | None = None
    """Inferences per execution."""
    failed_requests: int = 0
    """Failures that Triton reported in the window, rejected requests left out if they are known."""
    rejected_requests: int | None = None
    """Requests that the queue policy rejected in the window: they waited for too long. Absent where
    Triton did not tell them from failures."""


#: Nearly three hours for one batch: whatever is slower is too slow all the same.
MAX_SERVICE_TIME_MS: Final = 1e7


class ServiceTimePoint(ApiType):
    """How long a batch of one size takes."""

    batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)]
    """The batch size."""
    milliseconds: Annotated[float, Field(gt=0, le=MAX_SERVICE_TIME_MS)]
    """The service time; longer ones than 1e7 count as 1e7."""


class ServiceTimes(ApiType):
    """The service time curve that serving pods showed on a node type."""

    node_type: Label
    """The node type."""
    processor: Label
    """The processor class."""
    measured_at: Time
    """When it was last found to have changed."""
    points: Annotated[tuple[ServiceTimePoint, ...], Field(max_length=16)]
    """By batch size, ascending from 1."""


class DrainStatus(ApiType):
    """Whether clients that keep their connections leave pods before they end."""

    http: bool
    """Whether those over HTTP do."""
    grpc: bool
    """Whether those over gRPC do."""
    reason: ReasonWord
    """Why, or why not, in one word."""
    message: Message
    """The same for people."""


class InferenceModelStatus(ApiType):
    """What the operator reports."""

    observed_generation: int = 0
    """The generation of the spec that this status is about; -1 until the operator has seen any."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=keyed_by("type"))
    ] = ()
    """Ready, Placed, ModelLoaded, ObjectivesMet, Reconciling, Stalled, NeedsCapacity,
    ScalingLimited, ScalingContested and KnownVulnerabilities."""
    desired_replicas: int = 0
    """Triton pods that there are to be: spec.replicas, or what scaling chose."""
    replicas: int = 0
    """Triton pods that exist."""
    ready_replicas: int = 0
    """Triton pods that are ready."""
    settled_replicas: Annotated[int, Field(exclude_if=not_)] = 0
    """Triton pods that served when all that were asked for last did. While more are on their way
    the model is Ready as long as no fewer serve."""
    specification: Annotated[str, Field(max_length=64, exclude_if=not_)] = ""
    """A digest of the specification, but for how many replicas it asks for: where only these
    change, what serves is still what is specified."""
    selector: Annotated[str, Field(max_length=512)] = ""
    """The pods of the model, as a label selector: what an autoscaler asks for."""
    url: Annotated[str, Field(max_length=512)] | None = None
    """Where clients send requests (KServe v2 protocol over HTTP)."""
    target: Annotated[str, Field(max_length=128)] = ""
    """The objectives in one short phrase, for the TARGET column."""
    placement: PlacementStatus | None = None
    batching: BatchingStatus = BatchingStatus()
    scaling: ScalingStatus | None = None
    """Absent without spec.scaling, and until the model was served first."""
    observed: ObservedStatus | None = None
    drain: DrainStatus | None = None
    """Absent while nothing is served."""
    source: SourceStatus | None = None
    """Absent where the files are mounted, not fetched, and before they were."""
    service_times: Annotated[
        tuple[ServiceTimes, ...],
        Field(max_length=16, json_schema_extra=keyed_by("nodeType", "processor")),
    ] = ()
    """What was measured live, by node type: placement prefers it to the reference benchmark."""
