"""What a configuration says of batching, taken apart: where tuning begins, and what stays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ferryman.api.batching import MAX_PREFERRED_SIZES
from ferryman.core.errors import RejectedError
from ferryman.core.importing.outcome import Findings, Json, NotImportableError
from ferryman.core.triton import config as triton_config

_MAX_DELAY_US: Final = 10_000_000
_MAX_INSTANCES: Final = 64
_DELAY: Final = "max_queue_delay_microseconds"
#: Of an instance group: what a group of Ferryman's keeps.
_KEPT: Final = frozenset({"profile", "rate_limiter"})
#: And what is said of the rest.
_GROUP: Final[Mapping[str, str]] = {
    "name": "Triton names it",
    "kind": "the class that is chosen decides; spec.placement.processors, for example [gpu], "
    "keeps to one",
    "gpus": "a pod has one device, whichever it is given; add spec.replicas for more",
    "passive": "Ferryman has no passive instances",
    "host_policy": "it refers to arguments of the server, which the InferenceRuntime states",
    "secondary_devices": "Ferryman gives a pod no further devices of this kind",
}
_NOT_BATCHED: Final = (
    "dynamic_batching is not stated, and Ferryman batches: requests that wait run together, up to "
    "max_batch_size"
)
_OTHER_GROUPS: Final = "Ferryman has one group of instances, this was the first of several"


@dataclass(frozen=True, slots=True)
class TakenApart:
    """A configuration without what is decided, and where that begins."""

    overlay: Json
    initial: Json | None
    """``batching.initial``; None: it is not tuned, and the overlay states everything."""
    instances: int


def read(stated: Mapping[str, Any], findings: Findings) -> TakenApart:
    """Take a configuration apart. Raises NotImportableError for what the API cannot state."""
    overlay = dict(stated)
    count, group = _instances(overlay.pop("instance_group", []), findings)
    if "dynamic_batching" in overlay:
        overlay["dynamic_batching"] = _bounded(overlay["dynamic_batching"], findings)
    if not overlay.get("max_batch_size") and ("input" in overlay or "output" in overlay):
        # protobuf does not tell 0 from nothing; nor does Triton, which completes neither here.
        overlay["max_batch_size"] = 0
    if _is_tuned(overlay):
        overlay |= {"instance_group": [group]} if group else {}
        return _tuned(overlay, count, findings)
    if group or count > 1:
        overlay["instance_group"] = [group | {"count": count}]
    return TakenApart(overlay, None, count)


def _is_tuned(overlay: Json) -> bool:
    try:
        return triton_config.refusal_to_tune(overlay) is None
    except RejectedError as error:
        raise NotImportableError(str(error)) from error


def _tuned(overlay: Json, count: int, findings: Findings) -> TakenApart:
    """Take the batching out of an overlay."""
    bound = overlay.pop("max_batch_size", None)
    batches = "dynamic_batching" in overlay
    dynamic = dict(overlay.pop("dynamic_batching", {}))
    delay_us = int(dynamic.pop(_DELAY, 0))
    if dynamic:
        overlay["dynamic_batching"] = dynamic
    if bound is not None:
        findings.hints += [] if batches else [_NOT_BATCHED]
        initial = {"maxBatchSize": bound, "maxQueueDelayMicroseconds": delay_us, "instances": count}
        return TakenApart(overlay, initial, count)
    findings.hints.append(
        "max_batch_size is not stated, nor a tensor: Ferryman batches the model; if its graph has "
        "no batch dimension, state spec.model.config.max_batch_size: 0"
    )
    for path, lost in (
        (f"dynamic_batching.{_DELAY}", delay_us),
        ("instance_group[0].count", count > 1),
    ):
        if lost:
            findings.leave_out(
                path, "spec.batching.initial needs a maxBatchSize beside it: add both"
            )
    return TakenApart(overlay, None, count)


def _bounded(stated: Mapping[str, Any], findings: Findings) -> Json:
    """Return a dynamic batcher within the API's bounds."""
    dynamic = dict(stated)
    sizes = dynamic.get("preferred_batch_size", [])
    if len(sizes) > MAX_PREFERRED_SIZES:
        del dynamic["preferred_batch_size"]
        findings.leave_out(
            "dynamic_batching.preferred_batch_size",
            f"there are {len(sizes)}, and {MAX_PREFERRED_SIZES} at most can be stated",
        )
    if int(dynamic.get(_DELAY, 0)) > _MAX_DELAY_US:
        dynamic[_DELAY] = _MAX_DELAY_US
        findings.change(
            f"dynamic_batching.{_DELAY}", f"it is {_MAX_DELAY_US:_} now, the most there is"
        )
    return dynamic


def _instances(groups: list[Mapping[str, Any]], findings: Findings) -> tuple[int, Json]:
    """Return the instances of the first group, and what else of it stays."""
    for index in range(1, len(groups)):
        findings.leave_out(f"instance_group[{index}]", _OTHER_GROUPS)
    first = groups[0] if groups else {}
    for key in first:
        if key in _GROUP:
            findings.leave_out(f"instance_group[0].{key}", _GROUP[key])
    count = max(1, first.get("count", 1))
    if count > _MAX_INSTANCES:
        findings.change("instance_group[0].count", f"it is {_MAX_INSTANCES} now, the most there is")
    kept = {key: value for key, value in first.items() if key in _KEPT}
    return min(count, _MAX_INSTANCES), kept
