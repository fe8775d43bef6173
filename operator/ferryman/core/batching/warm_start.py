"""Whether a model's service times are measured before its clients come, and what is made of them.

``spec.batching.warmStart: Benchmark`` asks for it. Once for each subject (the model's file in its
runtime's image on a node type), as soon as all of its pods serve what is specified, one of them
is asked batches of all sizes. What Triton counts of them is what it would count of clients'
batches, and is learned as that is. Whatever comes of it, the model is served, and tuned.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Final

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import (
    InferenceModelStatus,
    PlacementStatus,
    WarmStartStatus,
)
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.core import timestamps
from ferryman.core.batching import measured_times
from ferryman.core.batching.changes import answers, clip, in_force
from ferryman.core.snapshot import PodView, ServingState
from ferryman.core.triton import config as triton_config
from ferryman.core.tuners.learned.service_time import Counts, ServiceTimes
from ferryman.core.tuners.state import TunerState

#: A measurement takes no longer than this, but for the batch that runs then.
LIMIT_S: Final = 30.0
#: Inputs that are under way at once: the operator holds a few copies of them.
MAX_SENT_BYTES: Final = 16 * 2**20
#: Each is sent requests and answers, which are bounded each.
MAX_INSTANCES: Final = 4
#: Characters of the subject's digest.
_DIGEST: Final = 16
#: A reason, and a message.
_Words = tuple[Reason, str]


@dataclass(frozen=True, slots=True)
class CurveMeasurement:
    """What is to be measured."""

    pod: PodView
    largest: int
    """The largest batch: the bound that is in force."""
    instances: int
    """So many run batches at once."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a measurement showed."""

    times: Counts = field(default_factory=dict)
    reason: Reason | None = None
    """Why it ended before the largest size; None where it did not."""
    message: str = ""
    """The same for people."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What the status says of it, and what is to be measured now, if anything is."""

    status: WarmStartStatus | None
    measurement: CurveMeasurement | None = None
    waits: bool = False
    """Whether there is something to measure, as soon as fewer others are being measured."""


@dataclass(frozen=True, slots=True)
class _Case:
    model: InferenceModel
    serving: ServingState
    placement: PlacementStatus
    applied: Batching


def decide(
    model: InferenceModel,
    serving: ServingState,
    runtime: InferenceRuntime | None,
    placement: PlacementStatus,
    applied: Batching | None,
    *,
    serves: bool,
    has_turn: bool,
    now: datetime,
) -> WarmStart:
    """Return what there is to measure.

    ``serves``: all pods serve what is specified; ``has_turn``: not too many others are being
    measured.
    """
    known = model.status.batching.warm_start
    if model.spec.batching.warm_start == "Never":
        return WarmStart(None)
    entry = None if runtime is None else runtime.processor(placement.processor or "")
    if entry is None or applied is None:
        return WarmStart(known)
    subject = _subject(model, entry.image, placement)
    if known is not None and known.subject == subject:
        return WarmStart(_ended(known, now))
    if not serves:
        return WarmStart(None)
    begun = _begun(_Case(model, serving, placement, applied), subject, now)
    return begun if has_turn or begun.measurement is None else WarmStart(None, waits=True)


def sizes(measurement: CurveMeasurement, row_bytes: int) -> tuple[int, ...]:
    """Return the batch sizes to measure, ascending; ``row_bytes`` are those of one inference.

    Sizes of which more would be sent than may be are left out: the last one may be less than the
    largest.
    """
    most = MAX_SENT_BYTES // max(1, row_bytes * measurement.instances)
    return measured_times.doubling(min(measurement.largest, most))


def finished(
    status: InferenceModelStatus,
    state: TunerState,
    measurement: CurveMeasurement,
    finding: Finding,
    now: datetime,
) -> tuple[InferenceModelStatus, TunerState]:
    """Return the status after a measurement that it says is under way, and what is learned."""
    begun, service = status.batching.warm_start, state.learned.service
    if begun is None:
        return status, state
    found = ServiceTimes().with_window(measurement.instances, finding.times)
    if not found.has_shape:
        ended = _outcome(begun, _without(finding), now)
        return status.with_(batching=status.batching.with_(warm_start=ended)), state
    service = service.with_window(measurement.instances, finding.times)
    state = replace(state, learned=replace(state.learned, service=service))
    ended = _outcome(begun, (Reason.MEASURED, _told(finding)), now, "Measured")
    times = measured_times.kept(
        status.service_times,
        status.placement,
        state.learned,
        measurement.instances,
        timestamps.text(now),
    )
    batching = status.batching.with_(warm_start=ended)
    return status.with_(batching=batching, service_times=times), state


def _subject(model: InferenceModel, image: str, placement: PlacementStatus) -> str:
    source = model.source_for(placement.processor or "")
    parts = (
        source.storage_uri,
        source.fetch.sha256 or "" if source.fetch else "",
        source.model_format.name,
        image,
        placement.node_type or "",
        placement.processor or "",
    )
    return sha256("\n".join(parts).encode()).hexdigest()[:_DIGEST]


def _ended(known: WarmStartStatus, now: datetime) -> WarmStartStatus:
    """Return what is known of a subject; one that is still under way has lost its operator."""
    if known.outcome != "InProgress":
        return known
    words = "the operator ended while it measured: the model is tuned by its clients' requests"
    return _outcome(known, (Reason.MEASUREMENT_INTERRUPTED, words), now)


def _begun(case: _Case, subject: str, now: datetime) -> WarmStart:
    begun = WarmStartStatus(
        subject=subject,
        outcome="InProgress",
        time=timestamps.text(now),
        reason=str(Reason.MEASURING),
        message=f"its service times are being measured, for at most {LIMIT_S:.0f} s",
    )
    why_not = next((found for rule in _HINDRANCES if (found := rule(case)) is not None), None)
    if why_not is not None:
        return WarmStart(_outcome(begun, why_not, now))
    pod = next(
        (pod for pod in answers(case.serving.pods) if pod.ready and in_force(pod, case.applied)),
        None,
    )
    if pod is None:
        return WarmStart(None)
    applied = case.applied
    return WarmStart(begun, CurveMeasurement(pod, applied.max_batch_size, applied.instances))


def _not_tuned(case: _Case) -> _Words | None:
    source = case.model.source_for(case.placement.processor or "")
    fixed = triton_config.refusal_to_tune(source.config)
    if fixed is not None:
        return Reason.NOTHING_TO_MEASURE, fixed.message
    if case.serving.batchable:
        return None
    return Reason.NOTHING_TO_MEASURE, "Triton says that the model cannot be batched"


def _runs_one_size(case: _Case) -> _Words | None:
    if case.applied.max_batch_size > 1:
        return None
    return Reason.NOTHING_TO_MEASURE, "batches of one are all that its bound allows"


def _is_on_several_types(case: _Case) -> _Words | None:
    if not case.placement.further_node_types:
        return None
    words = "its replicas are on several node types, of which each has service times of its own"
    return Reason.NOTHING_TO_MEASURE, words


def _runs_many(case: _Case) -> _Words | None:
    if case.applied.instances <= MAX_INSTANCES:
        return None
    words = f"more than {MAX_INSTANCES} instances are not measured: begin with fewer in initial"
    return Reason.NOTHING_TO_MEASURE, words


#: The first that answers says why there is nothing to measure.
_HINDRANCES: Final[tuple[Callable[[_Case], _Words | None], ...]] = (
    _not_tuned,
    _runs_one_size,
    _runs_many,
    _is_on_several_types,
)


def _outcome(
    begun: WarmStartStatus, words: _Words, now: datetime, outcome: str = "NotMeasured"
) -> WarmStartStatus:
    reason, message = words
    return begun.with_(
        outcome=outcome, time=timestamps.text(now), reason=str(reason), message=clip(message)
    )


def _without(finding: Finding) -> _Words:
    """Return why it is not measured: without a word, requests were answered and no batch ran."""
    why = finding.message or "Triton ran no batches for the requests: a response cache answers them"
    words = f"{why}; the model is tuned by its clients' requests, as without warmStart"
    return finding.reason or Reason.NOTHING_TO_MEASURE, words


def _told(finding: Finding) -> str:
    ran = sorted(finding.times)
    words = f"the service times of {len(ran)} batch sizes from {ran[0]} to {ran[-1]} were measured"
    return words if finding.reason is None else f"{words}; larger ones were not: {finding.message}"
