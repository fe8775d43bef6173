"""``InferencePipeline.status``: how it is executed, what each step does, and why."""

from operator import not_
from typing import Annotated, Final

from pydantic import Field

from ferryman.api.base import ApiType, Message, Time
from ferryman.api.conditions import Condition
from ferryman.api.crd import keyed_by
from ferryman.api.inference_model_status import (
    MAX_LULLS,
    ChangeOutcome,
    FewerReplicas,
    Lull,
    PlacementStatus,
)
from ferryman.api.model_fetch import SourceStatus
from ferryman.api.pipelines.execution_status import ExecutionStatus
from ferryman.api.pipelines.step import MAX_STEPS, MAX_TENSORS, StepBalance
from ferryman.api.scalars import Label, LatestReasonWord, ReasonWord

#: The longest name of a step or tensor that a fault is told with.
MOST_FAULTY_NAME: Final = 169
#: A step's name, or another word of the specification that the status repeats.
Word = Annotated[str, Field(max_length=MOST_FAULTY_NAME)]
Share = Annotated[float, Field(ge=0, le=1)]


class FaultStatus(ApiType):
    """What is wrong with the graph, and what to do."""

    reason: ReasonWord
    """The kind of fault in one word."""
    step: Word | None = None
    """The step where it is to be put right; absent: in the pipeline's inputs or outputs."""
    tensor: Word | None = None
    """The tensor; absent where the whole step is meant."""
    message: Message
    """What is the case and what to do."""


class StepInstances(ApiType):
    """Workers of a step in each pod."""

    desired: Annotated[int, Field(ge=1)] | None = None
    """What balancing asks for; absent until it has decided."""
    observed: Annotated[int, Field(ge=0)] | None = None
    """The least number that a pod has in force; absent while no pod said so."""


class RefusedVariantStatus(ApiType):
    """A variant that does not serve."""

    name: Label
    """The variant."""
    reason: ReasonWord
    """Why it does not, in one word."""
    message: Message
    """Why, for people."""


class StepVariantStatus(ApiType):
    """Which weights a step runs with."""

    name: Label | None = None
    """The variant; absent: the step's own model."""
    reason: ReasonWord
    """Why it was chosen, in one word."""
    message: Message
    """Why, for people."""
    refused: Annotated[
        tuple[RefusedVariantStatus, ...], Field(max_length=8, json_schema_extra=keyed_by("name"))
    ] = ()
    """The variants that do not serve."""


class StepStatus(ApiType):
    """What one step does."""

    name: Label
    """The step."""
    server: Annotated[int, Field(ge=0)] = 0
    """Which server runs it: 0 is the one that clients call."""
    node_type: Label | None = None
    """The node type of that server; absent while there is none."""
    processor: Label | None = None
    """Its processor class."""
    ready: bool = False
    """Whether every ready pod has it loaded."""
    instances: StepInstances = StepInstances()
    max_batch_size: Annotated[int, Field(ge=0)] | None = None
    """The batch size bound in force; 0: the model cannot be batched; absent while unknown."""
    rows_per_request: Annotated[float, Field(ge=0)] | None = None
    """Rows of this step that one request of a client makes, on average."""
    service_time_milliseconds: Annotated[float, Field(ge=0)] | None = None
    """The mean time of one execution."""
    mean_batch_size: Annotated[float, Field(ge=0)] | None = None
    """Rows per execution."""
    queue_milliseconds: Annotated[float, Field(ge=0)] | None = None
    """The mean wait for a worker."""
    busy: Share | None = None
    """The share of time in which its workers execute, 0 to 1."""
    budget_milliseconds: Annotated[float, Field(ge=0)] | None = None
    """Its part of the latency target; absent without one."""
    budget_share: Share | None = None
    """That part divided by the target."""
    variant: StepVariantStatus | None = None
    """Absent of a step without variants, and while the pipeline is placed nowhere."""
    source: SourceStatus | None = None
    """Absent where its files are mounted, not fetched, and before they were."""


class StepAssignment(StepBalance):
    """What balancing set for one step."""

    step: Label
    """The step."""
    budget_milliseconds: Annotated[float, Field(ge=0)] | None = None
    """Its part of the latency target, after which it rejects; absent: it rejects nothing."""


class BalancingChange(ApiType):
    """One change of the assignment: when, what, why, and what came of it."""

    time: Time
    """When the change was decided."""
    before: Annotated[tuple[StepAssignment, ...], Field(max_length=MAX_STEPS)]
    """Steps that differ, as they were."""
    after: Annotated[tuple[StepAssignment, ...], Field(max_length=MAX_STEPS)]
    """The same steps, as they are from then on."""
    reason: ReasonWord
    """Why, in one word."""
    message: Message
    """Why, for people."""
    outcome: ChangeOutcome
    """What came of it."""
    generation: Annotated[int, Field(ge=0)] = 0
    """``metadata.generation`` of the specification that the change was decided for."""


class NextWorkerStatus(ApiType):
    """What one more worker for the limiting step would bring."""

    step: Label
    """The limiting step."""
    added_per_second: float | None = None
    """Requests per second that it is predicted to add; absent where that is unknown."""
    reason: ReasonWord
    """Why it is added or not, in one word."""
    message: Message
    """The same for people."""


class BalancingStatus(ApiType):
    """The assignment of workers and batch sizes, and how it came about."""

    applied: Annotated[
        tuple[StepAssignment, ...], Field(max_length=MAX_STEPS, json_schema_extra=keyed_by("step"))
    ] = ()
    """What the pods are to have in force."""
    last_good: Annotated[
        tuple[StepAssignment, ...], Field(max_length=MAX_STEPS, json_schema_extra=keyed_by("step"))
    ] = ()
    """The last assignment that served a whole window and was not taken back."""
    recommended: Annotated[
        tuple[StepAssignment, ...], Field(max_length=MAX_STEPS, json_schema_extra=keyed_by("step"))
    ] = ()
    """With mode Observe: what Auto would apply."""
    next_worker: NextWorkerStatus | None = None
    """Absent while it is unknown which step limits."""
    needed_replicas: Annotated[int, Field(ge=0)] | None = None
    """Replicas that would meet the objectives, while no assignment in one can; absent where no
    number would."""
    unattainable: Message | None = None
    """Why no number of replicas would meet the objectives; absent where one would."""
    desired_replicas: Annotated[int, Field(ge=1)] | None = None
    """Replicas that the objectives need at the demand of now: what an autoscaler follows; absent
    until a window has ended, with mode Fixed, and where another server has a step."""
    fewer_replicas: FewerReplicas | None = None
    """What desiredReplicas goes down to if windows go on to agree; absent while they do not."""
    lulls: Annotated[tuple[Lull, ...], Field(max_length=MAX_LULLS, exclude_if=not_)] = ()
    """Times within the last hour that fewer would have done, and then did not, the latest last:
    the next one has to be longer before there are fewer."""
    reason: LatestReasonWord = ""
    """The latest decision in one word."""
    message: Message = ""
    """The latest decision for people."""
    changes: Annotated[tuple[BalancingChange, ...], Field(max_length=10)] = ()
    """The latest changes, newest first."""


class PipelineObservedStatus(ApiType):
    """The last window with traffic, quantised so that noise causes no writes."""

    latency_milliseconds: float | None = None
    """The objective's percentile (99 without one) of the duration of whole requests."""
    mean_latency_milliseconds: float | None = None
    """Their mean."""
    requests_per_second: float = 0.0
    """Requests that were answered, summed over all replicas."""
    failed_requests: int = 0
    """Failures that Triton reported in the window, rejected requests left out if they are known."""
    rejected_requests: int | None = None
    """Requests that a step rejected because they had waited too long; absent where Triton did not
    tell them from failures."""


class InferencePipelineStatus(ApiType):
    """What the operator reports."""

    observed_generation: int = 0
    """The generation of the spec that this status is about; -1 until the operator has seen any."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=keyed_by("type"))
    ] = ()
    """Ready, Placed, ModelLoaded (every step), ObjectivesMet, Reconciling, Stalled and
    NeedsCapacity."""
    faults: Annotated[tuple[FaultStatus, ...], Field(max_length=MAX_TENSORS)] = ()
    """What is wrong with the graph; while there is anything, what serves is left alone."""
    replicas: int = 0
    """Pods that exist of the server that clients call."""
    ready_replicas: int = 0
    """Those of them that are ready."""
    settled_replicas: Annotated[int, Field(exclude_if=not_)] = 0
    """Those that served when all that were asked for last did. While more are on their way the
    pipeline is Ready as long as no fewer serve."""
    specification: Annotated[str, Field(max_length=64, exclude_if=not_)] = ""
    """A digest of the specification, but for how many replicas it asks for: where only these
    change, what serves is still what is specified."""
    selector: Annotated[str, Field(max_length=512)] = ""
    """These pods, as a label selector: what an autoscaler asks for."""
    url: Annotated[str, Field(max_length=512)] | None = None
    """Where clients send requests (KServe v2 protocol over HTTP)."""
    target: Annotated[str, Field(max_length=128)] = ""
    """The objectives in one short phrase, for the TARGET column."""
    workers: Annotated[str, Field(max_length=1024)] = ""
    """The workers of each step in one short phrase, for the WORKERS column."""
    limiting_step: Label | None = None
    """The step that limits the throughput; absent while that is unknown."""
    placement: PlacementStatus | None = None
    """Of the server that clients call."""
    execution: ExecutionStatus | None = None
    """Absent while nothing is chosen."""
    steps: Annotated[
        tuple[StepStatus, ...], Field(max_length=MAX_STEPS, json_schema_extra=keyed_by("name"))
    ] = ()
    """Each step, as the specification orders them."""
    balancing: BalancingStatus = BalancingStatus()
    observed: PipelineObservedStatus | None = None
