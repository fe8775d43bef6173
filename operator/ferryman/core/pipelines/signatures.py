"""What is known of a model's tensors: from its configuration, or from a server that loaded it.

Both are Triton's ModelConfig in its JSON form: the overlay of ``model.config`` as far as it says
something, and what a server shows, which states everything. What neither says is unknown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ferryman.api.pipelines.inference_pipeline import InferencePipelineSpec
from ferryman.core.triton.datatypes import DATATYPES

#: Any size of a dimension.
ANY: Final = -1

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorSignature:
    """What is known of one tensor."""

    datatype: str | None = None
    """As the KServe v2 protocol calls it; None: unknown."""
    dims: Shape | None = None
    """Its shape without the batch dimension; None: unknown."""
    batched: bool | None = None
    """Whether a batch dimension goes before it; None: unknown."""
    optional: bool = False
    """Whether the model does without it."""

    @property
    def shape(self) -> Shape | None:
        """The whole shape, with the batch dimension; None: unknown."""
        if self.dims is None or self.batched is None:
            return None
        return (ANY, *self.dims) if self.batched else self.dims


@dataclass(frozen=True)
class Signature:
    """What is known of a model."""

    inputs: Mapping[str, TensorSignature] | None = None
    """By name; None: it is unknown which there are."""
    outputs: Mapping[str, TensorSignature] | None = None
    """Likewise."""
    decoupled: bool = False
    """Whether one request may have several answers, or none."""


UNKNOWN: Final = Signature()


def of_config(config: Mapping[str, Any]) -> Signature:
    """Return what a model's configuration says.

    A list of tensors that is there is complete, as Triton completes lists that are missing only.
    What cannot be read is unknown: to encode the configuration tells people what is wrong with it.
    """
    bound = _get(config, "max_batch_size")
    batched = None if bound is None else _number(bound) != 0
    policy = _get(config, "model_transaction_policy")
    return Signature(
        inputs=_tensors(_get(config, "input"), batched=batched),
        outputs=_tensors(_get(config, "output"), batched=batched),
        decoupled=isinstance(policy, Mapping) and policy.get("decoupled") is True,
    )


def of_overlay(config: Mapping[str, Any]) -> Signature:
    """Return what an overlay says, and that its model batches unless it says that it does not.

    Where nothing is said Ferryman states the bound, but for models that keep sequences.
    """
    said = any(_get(config, key) is not None for key in ("max_batch_size", "sequence_batching"))
    return of_config(config if said else {**config, "max_batch_size": 1})


def merged(stated: Signature, loaded: Signature) -> Signature:
    """Return what is known from both; what a server shows counts before what is stated."""
    return Signature(
        inputs=stated.inputs if loaded.inputs is None else loaded.inputs,
        outputs=stated.outputs if loaded.outputs is None else loaded.outputs,
        decoupled=stated.decoupled or loaded.decoupled,
    )


def of_inputs(spec: InferencePipelineSpec) -> dict[str, TensorSignature]:
    """Return what clients send, by name: stated whole, so that no batch dimension goes before."""
    return {
        entry.name: TensorSignature(entry.datatype, entry.shape, batched=False)
        for entry in spec.inputs
    }


def of_outputs(spec: InferencePipelineSpec) -> dict[str, TensorSignature]:
    """Return what is stated of what clients receive, by name."""
    return {
        entry.name: TensorSignature(entry.datatype, entry.shape, batched=False)
        for entry in spec.outputs
    }


def filled(signature: TensorSignature, other: TensorSignature) -> TensorSignature:
    """Return a signature with what another one knows in place of what it does not."""
    datatype = signature.datatype or other.datatype
    if signature.shape is not None:
        return replace(signature, datatype=datatype)
    return replace(other, datatype=datatype)


def same_shape(one: Shape, other: Shape) -> bool:
    """Say whether two shapes may be of one tensor: any size fits each (CompareDimsWithWildcard)."""
    return len(one) == len(other) and all(
        ANY in (a, b) or a == b for a, b in zip(one, other, strict=True)
    )


def _tensors(entries: object, *, batched: bool | None) -> dict[str, TensorSignature] | None:
    """Return a list of tensors by name; None where nothing is said."""
    if not isinstance(entries, list | tuple) or not entries:
        return None
    read = [entry for entry in entries if isinstance(entry, Mapping) and entry.get("name")]
    return {str(entry["name"]): _tensor(entry, batched=batched) for entry in read}


def _tensor(entry: Mapping[str, Any], *, batched: bool | None) -> TensorSignature:
    dims = _get(entry, "dims")
    return TensorSignature(
        datatype=DATATYPES.get(str(_get(entry, "data_type"))),
        dims=_dims(dims) if isinstance(dims, list | tuple) else None,
        batched=batched,
        optional=_get(entry, "optional") is True,
    )


def _dims(stated: Iterable[object]) -> Shape | None:
    sizes = [_number(size) for size in stated]
    known = tuple(size for size in sizes if size is not None)
    return known if len(known) == len(sizes) else None


def _number(value: object) -> int | None:
    """Read what protobuf's JSON allows for an integer, as far as people write it: 8 and "8"."""
    try:
        return int(value) if isinstance(value, int | str) else None
    except ValueError:
        return None


def _get(message: Mapping[str, Any], field: str) -> object:
    """Return a field under either of its two spellings, as Triton's are and in camelCase."""
    first, *rest = field.split("_")
    camel = first + "".join(part.title() for part in rest)
    return message.get(field, message.get(camel))
