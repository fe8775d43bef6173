"""Condition types and the reasons for them: the one list of words that users see.

The types follow kstatus (Ready, Reconciling, Stalled), so that Flux and `kubectl wait` understand
them; Argo CD does not know kstatus and needs health checks (manifests/argocd). A reason is a
CamelCase word, and its message says what is the case and what to do.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from ferryman.api.base import ApiType, Message, Time


class ConditionType(StrEnum):
    """What a condition is about."""

    READY = "Ready"
    PLACED = "Placed"
    MODEL_LOADED = "ModelLoaded"
    OBJECTIVES_MET = "ObjectivesMet"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    NEEDS_CAPACITY = "NeedsCapacity"
    SCALING_LIMITED = "ScalingLimited"
    SCALING_CONTESTED = "ScalingContested"
    KNOWN_VULNERABILITIES = "KnownVulnerabilities"


class Reason(StrEnum):
    """Why a condition, an event, a candidate's refusal or a change of batching is as it is."""

    # Placement
    LEAST_WORKLOAD = "LeastWorkload"
    BEST_FIT = "BestFit"
    CHEAPEST = "Cheapest"
    FALLBACK = "Fallback"
    REBALANCED = "Rebalanced"
    RETAINED = "Retained"
    MORE_WORKLOAD = "MoreWorkload"
    MORE_COST = "MoreCost"
    FEASIBLE = "Feasible"
    NO_CANDIDATE = "NoCandidate"
    NO_NODE_PROFILE = "NoNodeProfile"
    PROCESSOR_NOT_ALLOWED = "ProcessorNotAllowed"
    PROCESSOR_NOT_IN_RUNTIME = "ProcessorNotInRuntime"
    FORMAT_NOT_SUPPORTED = "FormatNotSupported"
    PROFILE_STALE = "ProfileStale"
    NODE_NOT_READY = "NodeNotReady"
    NODE_SELECTOR_NOT_MET = "NodeSelectorNotMet"
    TAINT_NOT_TOLERATED = "TaintNotTolerated"
    PROCESSOR_UNAVAILABLE = "ProcessorUnavailable"
    NOT_BENCHMARKED = "NotBenchmarked"
    BENCHMARK_FAILED = "BenchmarkFailed"
    INVALID_BENCHMARK = "InvalidBenchmark"
    INSUFFICIENT_RESOURCES = "InsufficientResources"
    #: No one node has as many devices as the model takes.
    SEVERAL_NODES_NEEDED = "SeveralNodesNeeded"
    DEVICES_DIFFER = "DevicesDiffer"
    LATENCY_UNREACHABLE = "LatencyUnreachable"
    NODE_TYPE_NOT_ALLOWED = "NodeTypeNotAllowed"
    PRICE_UNKNOWN = "PriceUnknown"
    # Specification
    RUNTIME_NOT_FOUND = "RuntimeNotFound"
    INVALID_CONFIG = "InvalidConfig"
    INVALID_SPEC = "InvalidSpec"
    # Serving
    SERVING = "Serving"
    APPLYING = "Applying"
    DEPLOYING = "Deploying"
    SCALED_TO_ZERO = "ScaledToZero"
    NAME_TAKEN = "NameTaken"
    APPLY_REFUSED = "ApplyRefused"
    IMAGE_NOT_AVAILABLE = "ImageNotAvailable"
    MODEL_SOURCE_NOT_FOUND = "ModelSourceNotFound"
    MODEL_SOURCE_FORBIDDEN = "ModelSourceForbidden"
    MODEL_SOURCE_MISMATCH = "ModelSourceMismatch"
    MODEL_SOURCE_TOO_LARGE = "ModelSourceTooLarge"
    MODEL_SOURCE_NOT_STORED = "ModelSourceNotStored"
    MODEL_SOURCE_TOO_SLOW = "ModelSourceTooSlow"
    MODEL_SOURCE_UNREACHABLE = "ModelSourceUnreachable"
    MODEL_SOURCE_UNSAFE = "ModelSourceUnsafe"
    MODEL_SOURCE_MISCONFIGURED = "ModelSourceMisconfigured"
    POD_UNSCHEDULABLE = "PodUnschedulable"
    POD_FAILING = "PodFailing"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    MODEL_LOADED = "ModelLoaded"
    MODEL_LOADING = "ModelLoading"
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    TRITON_UNREACHABLE = "TritonUnreachable"
    PUBLISHED_ADVISORIES = "PublishedAdvisories"
    # Objectives
    MET = "Met"
    LATENCY_ABOVE_TARGET = "LatencyAboveTarget"
    THROUGHPUT_BELOW_TARGET = "ThroughputBelowTarget"
    NO_TRAFFIC = "NoTraffic"
    OBSERVING = "Observing"
    # Batching changes
    TREND_INCREASE = "TrendIncrease"
    TREND_DECREASE = "TrendDecrease"
    TREND_FLAT = "TrendFlat"
    COLLECTING = "Collecting"
    AT_LIMIT = "AtLimit"
    LEARNING = "Learning"
    SATURATED = "Saturated"
    PREDICTED_TO_MEET = "PredictedToMeet"
    CHEAPER = "Cheaper"
    NO_BETTER = "NoBetter"
    #: A queue delay is taken back that the objectives do not need.
    LATENCY_PREFERRED = "LatencyPreferred"
    #: Hardly anything is in time, and nothing that is expected would change it: a bound is tried
    #: that may.
    EXPLORING = "Exploring"
    BATCH_TOO_LARGE = "BatchTooLarge"
    REJECTING = "Rejecting"
    QUEUE_POLICY = "QueuePolicy"
    NEEDS_CAPACITY = "NeedsCapacity"
    CAPACITY_SUFFICES = "CapacitySuffices"
    MODE_FIXED = "ModeFixed"
    RECOMMENDED = "Recommended"
    SPEC_CHANGED = "SpecChanged"
    DRIFTED = "Drifted"
    RELOAD_INTERVAL = "ReloadInterval"
    RELOAD_BUDGET_SPENT = "ReloadBudgetSpent"
    NOT_BATCHABLE = "NotBatchable"
    CONFIG_REFUSED = "ConfigRefused"
    ROLLED_BACK = "RolledBack"
    # Scaling by Ferryman itself
    #: So many as the objectives need.
    AS_NEEDED = "AsNeeded"
    MORE_NEEDED = "MoreNeeded"
    FEWER_SUFFICE = "FewerSuffice"
    #: The bounds leave no other number.
    WITHIN_BOUNDS = "WithinBounds"
    NEED_UNKNOWN = "NeedUnknown"
    #: Fewer would do, and it is not the time yet.
    STABILIZING = "Stabilizing"
    AT_MAX_REPLICAS = "AtMaxReplicas"
    NO_ROOM = "NoRoom"
    REPLICAS_DO_NOT_START = "ReplicasDoNotStart"
    OTHER_AUTOSCALER = "OtherAutoscaler"
    # Balancing of a pipeline's steps
    #: The step carries least of all, and more of it is wanted.
    LIMITING_STEP = "LimitingStep"
    #: What is asked is served, with headroom.
    DEMAND_SERVED = "DemandServed"
    #: Another step carries less: more of this one would bring nothing.
    NOT_LIMITING = "NotLimiting"
    #: A change brings, or brought, at least what was predicted.
    BALANCED = "Balanced"
    #: So few would do.
    SPARE_INSTANCES = "SpareInstances"
    #: What was added did not help.
    TAKEN_BACK = "TakenBack"
    #: It was tried, did not help, and neither load nor steps have changed since.
    TRIED_BEFORE = "TriedBefore"
    INSTANCE_LIMIT = "InstanceLimit"
    MEMORY_FULL = "MemoryFull"
    MEMORY_UNKNOWN = "MemoryUnknown"
    PROCESSORS_FULL = "ProcessorsFull"
    BUDGET_SPLIT = "BudgetSplit"
    REJECTS_IN_TIME = "RejectsInTime"
    # Live cap
    LIVE_CAP = "LiveCap"
    OWN_STRATEGY = "OwnStrategy"
    QUEUE_DELAY = "QueueDelay"
    SHAPE_TENSORS = "ShapeTensors"
    # Measuring before traffic
    MEASURING = "Measuring"
    MEASURED = "Measured"
    CLIENTS_ASK = "ClientsAsk"
    INPUTS_UNKNOWN = "InputsUnknown"
    REQUESTS_TOO_LARGE = "RequestsTooLarge"
    REQUESTS_REFUSED = "RequestsRefused"
    TIME_UP = "TimeUp"
    MEASUREMENT_INTERRUPTED = "MeasurementInterrupted"
    NOTHING_TO_MEASURE = "NothingToMeasure"
    # What is wrong with the graph of a pipeline
    CYCLE = "Cycle"
    UNKNOWN_STEP = "UnknownStep"
    UNKNOWN_TENSOR = "UnknownTensor"
    UNKNOWN_INPUT = "UnknownInput"
    MISSING_INPUT = "MissingInput"
    UNUSED_INPUT = "UnusedInput"
    UNUSED_STEP = "UnusedStep"
    DATATYPE_MISMATCH = "DatatypeMismatch"
    SHAPE_MISMATCH = "ShapeMismatch"
    BATCH_MISMATCH = "BatchMismatch"
    MODEL_NOT_FOUND = "ModelNotFound"
    NAME_CLASH = "NameClash"
    READ_TWICE = "ReadTwice"
    DECOUPLED = "Decoupled"
    TYPE_UNKNOWN = "TypeUnknown"
    # How steps are put on servers
    ONE_SERVER_FITS = "OneServerFits"
    DOES_NOT_FIT = "DoesNotFit"
    CUT_GAINS = "CutGains"
    CUT_NEEDED = "CutNeeded"
    CUT_COSTS_MORE = "CutCostsMore"
    NOT_MEASURED = "NotMeasured"
    # Pods that end
    DRAINS = "Drains"
    DRAINS_IN_PART = "DrainsInPart"
    NO_DRAIN = "NoDrain"


class Condition(ApiType):
    """One entry of ``status.conditions`` (metav1.Condition)."""

    type: Annotated[str, Field(max_length=64)]
    """What it is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(min_length=1, max_length=64)]
    """Why, in one CamelCase word."""
    message: Message
    """What is the case and what to do, for people."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The generation of the spec that it is about."""
    last_transition_time: Time
    """RFC 3339; it moves only when ``status`` changes."""


def find(conditions: Iterable[Condition], kind: ConditionType) -> Condition | None:
    """Return the condition of that type, or None."""
    return next((condition for condition in conditions if condition.type == kind), None)
