"""ONNX Runtime: a model that runs, what it takes and answers, and how long it takes."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto

from ferryman.clients import inference
from ferryman.clients.inference import Signature, Tensor

Array = NDArray[Any]
Dim = int | str | None

#: What a server can carry: ONNX Runtime's name, the v2 protocol's, and the file format's number.
#: bfloat16 is not among them, because numpy has no such type.
ELEMENTS: Final[Mapping[str, tuple[str, int]]] = {
    "tensor(bool)": ("BOOL", TensorProto.BOOL),
    "tensor(uint8)": ("UINT8", TensorProto.UINT8),
    "tensor(uint16)": ("UINT16", TensorProto.UINT16),
    "tensor(uint32)": ("UINT32", TensorProto.UINT32),
    "tensor(uint64)": ("UINT64", TensorProto.UINT64),
    "tensor(int8)": ("INT8", TensorProto.INT8),
    "tensor(int16)": ("INT16", TensorProto.INT16),
    "tensor(int32)": ("INT32", TensorProto.INT32),
    "tensor(int64)": ("INT64", TensorProto.INT64),
    "tensor(float16)": ("FP16", TensorProto.FLOAT16),
    "tensor(float)": ("FP32", TensorProto.FLOAT),
    "tensor(double)": ("FP64", TensorProto.DOUBLE),
    "tensor(string)": ("BYTES", TensorProto.STRING),
}
#: ONNX Runtime's own levels of log: only what ends a run is of interest, and that is raised.
_FATAL: Final = 4


class ModelRefused(ValueError):  # noqa: N818  the name states the finding
    """ONNX Runtime does not load or run the model; the message says why, in its words."""


@dataclass(frozen=True, slots=True)
class ModelTensor:
    """An input or output as ONNX Runtime describes it."""

    name: str
    kind: str
    """Its type, for example ``tensor(float)`` or ``seq(tensor(float))``."""
    dims: tuple[Dim, ...]
    """A name or None stands for any size; empty also where their number is not known."""

    @property
    def datatype(self) -> str | None:
        """The type in the v2 protocol; None for what no server carries."""
        return ELEMENTS[self.kind][0] if self.kind in ELEMENTS else None

    @property
    def element_type(self) -> int:
        """The type in the file format, of a tensor that can be carried."""
        return ELEMENTS[self.kind][1]


class Program:
    """A model that is loaded."""

    def __init__(self, path: Path, *, threads: int, optimised: bool = True) -> None:
        """Load a file for the CPU. Raises ModelRefused.

        Without optimisation each tensor is computed as the file says, even if nobody reads it.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        if not optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = _call(
            lambda: onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        )
        self.inputs = tuple(map(_tensor, self._session.get_inputs()))
        self.outputs = tuple(map(_tensor, self._session.get_outputs()))
        self._texts = {each.name for each in self.inputs if each.datatype == inference.TEXT}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name; inputs that the model does not take are left out.

        Raises ModelRefused.
        """
        given = {each.name: self._given(each.name, inputs[each.name]) for each in self.inputs}
        answers = _call(lambda: self._session.run(None, given))
        return dict(zip((each.name for each in self.outputs), answers, strict=True))

    @property
    def signature(self) -> Signature:
        """Inputs and outputs as the v2 protocol has them; raises ModelRefused for others."""
        return Signature(_known(self.inputs), _known(self.outputs), None)

    def _given(self, name: str, values: Array) -> Array:
        if name not in self._texts:
            return values
        return inference.as_text(values).reshape(values.shape)


def interleaved(
    runs: Sequence[Callable[[], object]], rounds: int, warm_up: int = 1
) -> list[list[float]]:
    """Return the milliseconds that each run took, round by round: in each round they take turns."""
    for run in runs:
        for _ in range(warm_up):
            run()
    taken_ms: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, times_ms in zip(runs, taken_ms, strict=True):
            begun_s = time.perf_counter()
            run()
            times_ms.append((time.perf_counter() - begun_s) * 1e3)
    return taken_ms


def _tensor(described: Any) -> ModelTensor:  # noqa: ANN401  of a module without types
    return ModelTensor(described.name, described.type, tuple(described.shape))


def _known(tensors: Sequence[ModelTensor]) -> tuple[Tensor, ...]:
    found = []
    for each in tensors:
        if each.datatype is None:
            raise ModelRefused(f"{each.name} is a {each.kind}, which no server takes or answers")
        shape = tuple(size if isinstance(size, int) else -1 for size in each.dims)
        found.append(Tensor(each.name, each.datatype, shape))
    return tuple(found)


def _call(work: Callable[[], Any]) -> Any:  # noqa: ANN401  of a module without types
    try:
        return work()
    except Exception as error:
        # Its exceptions have no class in common but this one.
        said = " ".join(str(error).split())
        raise ModelRefused(f"ONNX Runtime refuses it: {said}") from error
