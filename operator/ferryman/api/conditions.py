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
    POD_UNSCHEDULABLE = "PodUnschedulable"
    POD_FAILING = "PodFailing"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    MODEL_LOADED = "ModelLoaded"
    MODEL_LOADING = "ModelLoading"
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    TRITON_UNREACHABLE = "TritonUnreachable"
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
    # Live cap
    LIVE_CAP = "LiveCap"
    OWN_STRATEGY = "OwnStrategy"
    QUEUE_DELAY = "QueueDelay"
    SHAPE_TENSORS = "ShapeTensors"
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
