"""Smaller variants of a model: 8-bit integers, half precision, pruned weights.

What a variant is worth is measured elsewhere; nothing here promises that it is faster.
"""

import contextlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper, version_converter
from onnxruntime import quantization
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from ferryman.clients.onnx import graph

Feed = Mapping[str, NDArray[Any]]

#: The first version that quantises each channel of a weight by itself.
LEAST_OPSET: Final = 13
CALIBRATIONS: Final = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
#: For each operator the inputs that are trained.
_TRAINED: Final[Mapping[str, tuple[int, ...]]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
}
#: Vectors are biases, which hardly count.
_LEAST_RANK: Final = 2


class CannotCompress(ValueError):  # noqa: N818  the name states the finding
    """The model cannot be compressed so; the message says why."""


def to_int8(
    model: onnx.ModelProto,
    target: Path,
    batches: Iterable[Feed],
    folder: Path,
    *,
    calibration: str = "minmax",
    reduced_range: bool = False,
) -> None:
    """Write a model with 8-bit weights and activations, whose ranges the batches show.

    Weights are signed, each channel by itself, activations unsigned: what VNNI multiplies. With a
    reduced range weights have 7 bits, so that CPUs without it do not saturate. ``folder`` is for
    what is needed meanwhile. Raises CannotCompress.
    """
    model = _of_opset(model, LEAST_OPSET)
    constants_to_weights(model)
    large = graph.weights_bytes(model) > graph.MOST_BYTES
    prepared = folder / "prepared.onnx"
    with _quiet("8-bit quantisation"):
        quant_pre_process(
            model,
            prepared,
            # It needs a package more, and helps with transformers alone.
            skip_symbolic_shape=True,
            save_as_external_data=large,
            all_tensors_to_one_file=large,
        )
        quantization.quantize_static(
            prepared,
            target,
            _Reader(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduced_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
            calibrate_method=CALIBRATIONS[calibration],
        )


def to_float16(model: onnx.ModelProto, target: Path) -> None:
    """Write a model that computes in half precision; its inputs and outputs keep their types.

    Raises CannotCompress.
    """
    with _quiet("half precision"):
        graph.save(convert_float_to_float16(model, keep_io_types=True), target)


def prune(model: onnx.ModelProto, target: Path, sparsity: float) -> int:
    """Write a model with the least of each trained weight's values set to 0; return how many.

    ``sparsity`` is their share. Magnitude pruning without training afterwards (Han et al., 2015,
    arXiv:1506.02626, section 3). Raises CannotCompress where the model has no such weights.
    """
    constants_to_weights(model)
    trained = {
        node.input[place]
        for node in model.graph.node
        for place in _TRAINED.get(node.op_type, ())
        if place < len(node.input)
    }
    zeros = 0
    for weight in model.graph.initializer:
        if weight.name in trained and weight.data_type == TensorProto.FLOAT:
            zeros += _prune(weight, sparsity)
    if not zeros:
        raise CannotCompress("it has no weights of convolutions or matrix products to prune")
    graph.save(model, target)
    return zeros


def constants_to_weights(model: onnx.ModelProto) -> None:
    """Make weights of Constant nodes: what works on weights does not look at nodes."""
    kept = []
    for node in model.graph.node:
        value = _constant(node)
        if value is None:
            kept.append(node)
        else:
            weight = TensorProto()
            weight.CopyFrom(value)
            weight.name = node.output[0]
            model.graph.initializer.append(weight)
    if len(kept) < len(model.graph.node):
        kept = [_copied(node) for node in kept]
        del model.graph.node[:]
        model.graph.node.extend(kept)
        model.ir_version = max(model.ir_version, graph.IR_WITHOUT_LISTED_WEIGHTS)


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Gives inputs to the calibration, one run after the other."""

    def __init__(self, batches: Iterable[Feed]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else dict(batch)


def _copied(node: onnx.NodeProto) -> onnx.NodeProto:
    found = onnx.NodeProto()
    found.CopyFrom(node)
    return found


def _constant(node: onnx.NodeProto) -> TensorProto | None:
    """Return what a Constant node holds; None for other nodes, and for what is no dense tensor."""
    if node.op_type != "Constant" or node.domain not in {"", "ai.onnx"}:
        return None
    attribute = node.attribute[0]
    reader = _VALUES.get(attribute.name)
    return None if reader is None else reader(attribute)


_VALUES: Final[Mapping[str, Callable[[onnx.AttributeProto], TensorProto]]] = {
    "value": lambda held: held.t,
    "value_float": lambda held: numpy_helper.from_array(np.array(held.f, np.float32)),
    "value_floats": lambda held: numpy_helper.from_array(np.array(held.floats, np.float32)),
    "value_int": lambda held: numpy_helper.from_array(np.array(held.i, np.int64)),
    "value_ints": lambda held: numpy_helper.from_array(np.array(held.ints, np.int64)),
}


def _of_opset(model: onnx.ModelProto, least: int) -> onnx.ModelProto:
    """Return a model in the version of operators that is needed. Raises CannotCompress."""
    version = next((o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}), least)
    if version >= least:
        return model
    try:
        return version_converter.convert_version(model, least)
    except Exception as error:
        # The converter has no exceptions of its own.
        said = " ".join(str(error).split())
        raise CannotCompress(f"its opset {version} cannot be made {least}: {said}") from error


def _prune(weight: TensorProto, sparsity: float) -> int:
    """Set the least values of a weight to 0; return how many."""
    values = numpy_helper.to_array(weight).copy()
    count = int(values.size * sparsity)
    if values.ndim < _LEAST_RANK or count == 0:
        return 0
    least = np.argpartition(np.abs(values), count - 1, axis=None)[:count]
    values.reshape(-1)[least] = 0
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    return count


@contextlib.contextmanager
def _quiet(work: str) -> Iterator[None]:
    """Keep what the libraries log and print from people; say their faults in one sentence."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as error:
        # Faults of these libraries have no class in common but this one.
        said = " ".join(str(error).split())
        raise CannotCompress(f"{work} fails: {said or type(error).__name__}") from error
    finally:
        logging.disable(before)
