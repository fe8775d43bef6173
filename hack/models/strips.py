"""A recurrent network that reads the digits of `digits.py` strip by strip, as a pen would go.

What it is for: a model of which a batch takes little longer than one picture. All its weights are
read for every strip, once for the whole batch, as those of the large networks that people serve.
The recurrent weights are drawn and stay; only what reads its states is trained, in closed form
(echo state networks: Jaeger, GMD report 148, 2001; the regression: Hoerl and Kennard, 1970).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto

from hack.models import digits
from hack.models.onnx_graph import GraphWriter, as_float32, save

SEED = 8
#: A picture of 8x8 pixels is 16 strips of four.
STRIPS = 16
PIXELS = 4
CELLS = 1024
CLASSES = 10
_GATES, _FORGET = 4, 2
#: Below 1, so that what was seen long ago fades.
RECURRENCE = 0.9
#: Of the forget gate: above 0, so that not all of it fades.
REMEMBERING = 2.0
REGULARISATION = 1e-3


def as_strips(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pictures [n, 64] as the network takes them: [n, 16, 4]."""
    return images.reshape(len(images), STRIPS, PIXELS)


def build() -> onnx.ModelProto:
    """Return the model: `input` [batch, strips, 4] to `label` [batch, 1]."""
    graph = GraphWriter("strips")
    readout, offset = _trained()
    weight, bias = graph.weight("readout", readout), graph.weight("offset", offset)
    score = graph.node("Gemm", [_states(graph), weight, bias], "score")
    graph.node("ArgMax", [score], "label", axis=1, keepdims=1)
    return _model(graph, {"label": (TensorProto.INT64, ["batch", 1])})


def write(folder: Path) -> Path:
    """Write `folder`/1/model.onnx and return it."""
    return save(build(), folder)


def _states(graph: GraphWriter) -> str:
    """Add the recurrent part; return its last states: [batch, cells]."""
    random = np.random.default_rng(SEED)
    spread = RECURRENCE / np.sqrt(CELLS)
    gates = np.zeros((2, _GATES, CELLS))  # input, output, forget, cell; twice, as ONNX has it
    gates[0, _FORGET] = REMEMBERING
    weights = {
        "inwards": random.normal(size=(1, _GATES * CELLS, PIXELS)),
        "recurrent": random.normal(scale=spread, size=(1, _GATES * CELLS, CELLS)),
        "gates": gates.reshape(1, -1),
    }
    scale = graph.weight("scale", np.array(1 / digits.MAX_INTENSITY, np.float32))
    ordered = graph.node(
        "Transpose", [graph.node("Mul", ["input", scale], "scaled")], "ordered", perm=[1, 0, 2]
    )
    names = [graph.weight(name, as_float32(values)) for name, values in weights.items()]
    graph.nodes("LSTM", [ordered, *names], ["all", "last"], hidden_size=CELLS)
    direction = graph.weight("direction", np.array([0], np.int64))
    return graph.node("Squeeze", ["last", direction], "states")


@cache
def _trained() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the readout [cells, 10] and its offset, fitted to the pictures for training."""
    split = digits.data()
    graph = GraphWriter("states")
    _states(graph)
    model = _model(graph, {"states": (TensorProto.FLOAT, ["batch", CELLS])})
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    states = session.run(None, {"input": as_strips(split.train_images)})[0].astype(np.float64)
    seen = np.column_stack([states, np.ones(len(states))])
    wanted = np.eye(CLASSES)[split.train_labels]
    fitted = np.linalg.solve(
        seen.T @ seen + REGULARISATION * np.eye(seen.shape[1]), seen.T @ wanted
    )
    return as_float32(fitted[:-1]), as_float32(fitted[-1])


def _model(graph: GraphWriter, outputs: dict[str, Any]) -> onnx.ModelProto:
    return graph.model({"input": ["batch", "strips", PIXELS]}, outputs)
