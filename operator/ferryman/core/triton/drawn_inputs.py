"""What requests with drawn values look like, as the configuration of a loaded model tells.

Where an input has a dimension of any size nobody knows what clients send, and times of another
size would mislead; a sample of ``model_warmup`` is its owner's word on it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ferryman.api.conditions import Reason
from ferryman.core.errors import RejectedError
from ferryman.core.triton.datatypes import DATATYPES


@dataclass(frozen=True, slots=True)
class DrawnInput:
    """One input, without the batch dimension that goes before."""

    name: str
    datatype: str
    """As the KServe v2 protocol calls it."""
    dims: tuple[int, ...]


def drawn_inputs(config: Mapping[str, Any]) -> tuple[DrawnInput, ...]:
    """Return the inputs to draw, of a configuration in the JSON form that servers show.

    Optional ones are left out. Raises RejectedError where they cannot be drawn.
    """
    stated = config.get("input", [])
    needed = [entry for entry in stated if not entry.get("optional")] or stated
    if not needed:
        raise RejectedError(Reason.INPUTS_UNKNOWN, "the model's configuration names no inputs")
    samples = dict(_samples(config))
    return tuple(_drawn(entry, samples.get(entry["name"], ())) for entry in needed)


def _samples(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the size of each input in the samples that the model is warmed up with."""
    for sample in config.get("model_warmup", []):
        for name, entry in sample.get("inputs", {}).items():
            yield name, _dims(entry)


def _drawn(entry: Mapping[str, Any], sample: tuple[int, ...]) -> DrawnInput:
    name, dims = str(entry["name"]), _dims(entry)
    datatype = DATATYPES.get(str(entry.get("data_type")))
    if datatype is None:
        message = f"input {name} has a data type that cannot be sent"
        raise RejectedError(Reason.INPUTS_UNKNOWN, message)
    if entry.get("is_shape_tensor"):
        message = f"input {name} is a shape tensor, whose values decide what is computed"
        raise RejectedError(Reason.INPUTS_UNKNOWN, message)
    if min(dims, default=1) < 1:
        if min(sample, default=0) < 1:
            message = (
                f"input {name} has a dimension of any size: state the size that clients send in "
                "spec.model.config.model_warmup"
            )
            raise RejectedError(Reason.INPUTS_UNKNOWN, message)
        dims = sample
    return DrawnInput(name, datatype, dims)


def _dims(entry: Mapping[str, Any]) -> tuple[int, ...]:
    """Return sizes, which protobuf's JSON writes as texts."""
    return tuple(int(size) for size in entry.get("dims", []))
