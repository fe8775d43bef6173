"""Whether what a reader wants is what its source gives: data types, shapes, batch dimensions.

The rules are those of Triton core's ``ensemble_utils.cc`` (ValidateTensorConsistency) for an
ensemble with ``max_batch_size`` 0, and of its ``ensemble_scheduler.cc`` (ReshapeTensorDims) for
what becomes of a batch dimension: two shapes fit when they agree with the batch dimensions of both,
or without. In the second case a step that batches takes what comes as one row; the other way round
Triton can only take the dimension away where it is 1, so that whoever gives rows must be known to
give one.
"""

from collections.abc import Iterator, Mapping

from ferryman.api.conditions import Reason
from ferryman.api.pipelines.wires import Source
from ferryman.core.pipelines.fault import PipelineFault
from ferryman.core.pipelines.graph import Graph, Reader
from ferryman.core.pipelines.signatures import (
    ANY,
    UNKNOWN,
    Shape,
    Signature,
    TensorSignature,
    same_shape,
)
from ferryman.core.triton.datatypes import CONFIG_TYPES

_NOTHING = TensorSignature()


def misfits(
    graph: Graph,
    known: Mapping[str, Signature],
    inputs: Mapping[str, TensorSignature],
    outputs: Mapping[str, TensorSignature],
) -> Iterator[PipelineFault]:
    """Yield what does not fit on each wire of a graph without unknown steps and cycles."""
    several = _steps_of_several_rows(graph, known, inputs)
    for reader, source in graph.wires():
        given = given_by(source, known, inputs)
        wanted = _wanted_by(reader, known, outputs)
        if given.datatype and wanted.datatype and given.datatype != wanted.datatype:
            yield _mistyped(reader, source, given.datatype, wanted.datatype)
        gives, wants = given.shape, wanted.shape
        if gives is None or wants is None or same_shape(gives, wants):
            continue
        if not same_shape(gives[bool(given.batched) :], wants[bool(wanted.batched) :]):
            yield _misshapen(reader, source, gives, wants)
        elif given.batched and source.step in several:
            yield _too_many_rows(reader, source, gives, wants)


def given_by(
    source: Source, known: Mapping[str, Signature], inputs: Mapping[str, TensorSignature]
) -> TensorSignature:
    """Return what is known of a tensor from whoever makes it."""
    if source.step is None:
        return inputs[source.tensor]
    return (known.get(source.step, UNKNOWN).outputs or {}).get(source.tensor, _NOTHING)


def _wanted_by(
    reader: Reader, known: Mapping[str, Signature], outputs: Mapping[str, TensorSignature]
) -> TensorSignature:
    if reader.step is None:
        return outputs.get(reader.tensor, _NOTHING)
    return (known.get(reader.step, UNKNOWN).inputs or {}).get(reader.tensor, _NOTHING)


def _steps_of_several_rows(
    graph: Graph, known: Mapping[str, Signature], inputs: Mapping[str, TensorSignature]
) -> set[str]:
    """Return the steps that batch and of which every input is known to bring any number of rows."""
    several: set[str] = set()
    reads = {step.name: step.reads for step in graph.steps}
    for name in graph.order:
        wanted = known.get(name, UNKNOWN).inputs or {}
        if all(
            _brings_rows(given_by(source, known, inputs), wanted.get(tensor, _NOTHING))
            and (source.step in several or not given_by(source, known, inputs).batched)
            for tensor, source in reads[name].items()
        ):
            several.add(name)
    return several


def _brings_rows(given: TensorSignature, wanted: TensorSignature) -> bool:
    """Say whether an input arrives with a batch dimension of any size, if its source gives one."""
    if given.shape is None or wanted.shape is None or not wanted.batched:
        return False
    return given.shape[:1] == (ANY,) and same_shape(given.shape, wanted.shape)


def _misshapen(reader: Reader, source: Source, gives: Shape, wants: Shape) -> PipelineFault:
    if _differ_by_rows(gives, wants):
        return _rows_differ(reader, source, gives, wants)
    return PipelineFault(
        Reason.SHAPE_MISMATCH,
        f"{reader} takes {shown(wants)}, but {source} is {shown(gives)}: "
        f"{_reconcile(reader, source)}, or put a step between them that changes the shape",
        *reader,
    )


def _mistyped(reader: Reader, source: Source, gives: str, wants: str) -> PipelineFault:
    return PipelineFault(
        Reason.DATATYPE_MISMATCH,
        f"{reader} takes {wants}, but {source} is {gives}: {_reconcile(reader, source)} "
        f"({CONFIG_TYPES[gives]} in a config), or put a step between them that converts",
        *reader,
    )


def _rows_differ(reader: Reader, source: Source, gives: Shape, wants: Shape) -> PipelineFault:
    more, less = (source, reader) if len(gives) > len(wants) else (reader, source)
    return PipelineFault(
        Reason.BATCH_MISMATCH,
        f"{reader} takes {shown(wants)}, but {source} is {shown(gives)}: {more} has a dimension "
        f"for rows, {less} has none; {_reconcile(reader, source)}, with max_batch_size 0 where "
        "the model has no batch dimension",
        *reader,
    )


def _too_many_rows(reader: Reader, source: Source, gives: Shape, wants: Shape) -> PipelineFault:
    return PipelineFault(
        Reason.BATCH_MISMATCH,
        f"{reader} takes {shown(wants)}, one row, but {source} is {shown(gives)}, any number of "
        f"rows: put -1 in front of the dimensions that {reader} takes, or state inputs of the "
        f"pipeline without a dimension for rows before step {source.step}",
        *reader,
    )


def _reconcile(reader: Reader, source: Source) -> str:
    theirs = (
        f"input {source.tensor} of the pipeline"
        if source.step is None
        else f"what step {source.step} states of {source.tensor}"
    )
    return f"correct {theirs}, or what is stated of {reader}"


def _differ_by_rows(one: Shape, other: Shape) -> bool:
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return longer[:1] == (ANY,) and same_shape(longer[1:], shorter)


def shown(shape: Shape) -> str:
    """Return a shape as the specification writes it."""
    return f"[{', '.join(map(str, shape))}]"
