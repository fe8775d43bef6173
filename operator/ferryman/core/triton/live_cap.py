"""The live cap: which models have one, and which bound of a pod it makes.

Triton wakes the batcher of a waiting queue only when a preferred size is reached, when the queue
delay is over, or, if an input has a variable dimension besides the batch, at every request
(dynamic_batch_scheduler.cc). A batch that a cap below Triton's own bound has filled would
therefore wait for the whole delay: with fixed dimensions there is a live cap with delay 0 alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ferryman.api import names
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import LiveCapStatus
from ferryman.api.inference_runtime import RuntimeLiveCap, RuntimeProcessor
from ferryman.core.snapshot import ServingState
from ferryman.core.triton import config as triton_config
from ferryman.core.triton.config import LiveCap, NotTunable
from ferryman.core.triton.overlay import normalise

#: What a model's configuration says itself where its batches are not Ferryman's to form.
_OWN: Final = (
    names.PARAMETER_STRATEGY,
    names.PARAMETER_LIVE_CAP_FILE,
    names.PARAMETER_LIVE_CAP_START,
)
#: What livecap.c reads as a bound; it has room for 63 bytes.
_BOUND: Final = re.compile(r"([0-9]{1,10})[ \r\n]{0,50}")
_UNCOUNTABLE: Final = "an input is a shape tensor: the rows of a request cannot be counted"
_AVAILABLE: Final = "a change of the batch size bound alone needs no reload"


@dataclass(frozen=True, slots=True)
class Offer:
    """What the runtime offers to one model: a live cap, or none for a reason."""

    source: RuntimeLiveCap | None
    """What the model's pods are made for, whatever is tuned: they roll when it changes."""
    refused: NotTunable | None = None
    """Why the runtime's live cap is not for this model."""
    file: str = names.LIVE_CAP_FILE
    """Where the model's bound is read from."""


def offer(
    entry: RuntimeProcessor, overlay: Mapping[str, Any], file: str = names.LIVE_CAP_FILE
) -> Offer:
    """Return what a runtime offers to a model of this overlay, whose bound is read from ``file``.

    Raises RejectedError for an overlay that cannot be read.
    """
    if entry.live_cap is None:
        return Offer(None)
    refused = triton_config.refusal_to_tune(overlay) or _own_strategy(overlay)
    return Offer(entry.live_cap, file=file) if refused is None else Offer(None, refused)


def in_config(
    offered: Offer, spec: BatchingSpec, serving: ServingState, batching: Batching
) -> LiveCap | NotTunable | None:
    """Return the live cap that is loaded with a batching; or why none is; None: none is offered."""
    if offered.source is None:
        return offered.refused
    found = with_batching(spec, serving, batching)
    return replace(found, file=offered.file) if isinstance(found, LiveCap) else found


def with_batching(
    spec: BatchingSpec, serving: ServingState, batching: Batching
) -> LiveCap | NotTunable:
    """Return the live cap that pods which offer one have, loaded with a batching; or why not."""
    if spec.mode == "Fixed":
        return NotTunable(Reason.MODE_FIXED, "mode Fixed: the bound stays as stated")
    delay_us = batching.max_queue_delay_microseconds
    if serving.shape_tensors:
        return NotTunable(Reason.SHAPE_TENSORS, _UNCOUNTABLE)
    if delay_us and not serving.variable_inputs:
        message = (
            f"requests may wait {delay_us} µs for others, and no input is known to have a variable "
            "dimension besides the batch: Triton would let a full batch wait as long"
        )
        return NotTunable(Reason.QUEUE_DELAY, message)
    return LiveCap(max(spec.limits.max_batch_size.max, batching.max_batch_size))


def status(found: LiveCap | NotTunable | None) -> LiveCapStatus | None:
    """Return what to report of what ``in_config`` found."""
    if found is None:
        return None
    if isinstance(found, LiveCap):
        return LiveCapStatus(available=True, reason=Reason.LIVE_CAP, message=_AVAILABLE)
    return LiveCapStatus(available=False, reason=found.reason, message=found.message)


def bound_in_force(annotation: str | None, start: int, largest: int) -> int:
    """Return the bound of a pod as livecap.c finds it.

    Without an annotation ``start`` stands; what is no positive number is no bound, and then
    Triton's own, ``largest``, is left.
    """
    if not annotation:
        return start
    found = _BOUND.fullmatch(annotation)
    bound = int(found[1]) if found else 0
    return min(bound, largest) if bound else largest


def _own_strategy(overlay: Mapping[str, Any]) -> NotTunable | None:
    parameters = normalise(overlay).get("parameters", {})
    stated = [key for key in _OWN if key in parameters]
    if not stated:
        return None
    return NotTunable(
        Reason.OWN_STRATEGY,
        f"config states the parameter {stated[0]}: the model's own batching strategy stays",
    )
