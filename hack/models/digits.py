"""A small network trained on the spot from scikit-learn's digits: 1,797 pictures of 8x8.

Training takes about a second and is seeded; a quarter of the pictures is held out and
written beside the model (`digits-heldout.npz`: images, labels), for the demo to score with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from hack.models.onnx_graph import GraphWriter, as_float32, save

SEED = 8
HIDDEN = 64
MAX_INTENSITY = 16.0  # the data set's pixels go from 0 to 16
HELD_OUT_SHARE = 0.25
HELD_OUT_FILE = "digits-heldout.npz"


@dataclass(frozen=True)
class Digits:
    """The data set, split; images are float32 rows of 64 pixels from 0 to 16."""

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    held_out_images: NDArray[np.float32]
    held_out_labels: NDArray[np.int64]


@cache
def data() -> Digits:
    """Load and split the data set; it ships with scikit-learn, nothing is downloaded."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        as_float32(images),
        labels.astype(np.int64),
        test_size=HELD_OUT_SHARE,
        random_state=SEED,
        stratify=labels,
    )
    return Digits(parts[0], parts[2], parts[1], parts[3])


@cache
def _trained() -> MLPClassifier:
    network = MLPClassifier((HIDDEN,), random_state=SEED, max_iter=1000, tol=1e-3)
    split = data()
    network.fit(split.train_images / MAX_INTENSITY, split.train_labels)
    return network


def build() -> onnx.ModelProto:
    """Return the model: `input` [batch,64] to `label` [batch,1] and `probabilities` [batch,10]."""
    network = _trained()
    graph = GraphWriter("digits")
    scale = graph.weight("scale", np.array(1 / MAX_INTENSITY, np.float32))
    value = graph.node("Mul", ["input", scale], "scaled")
    value = graph.node("Relu", [_dense(graph, network, 0, value)], "hidden")
    value = _dense(graph, network, 1, value)
    graph.node("Softmax", [value], "probabilities", axis=1)
    graph.node("ArgMax", ["probabilities"], "label", axis=1, keepdims=1)
    return graph.model(
        {"input": ["batch", 64]},
        {
            "label": (TensorProto.INT64, ["batch", 1]),
            "probabilities": (TensorProto.FLOAT, ["batch", 10]),
        },
    )


def _dense(graph: GraphWriter, network: MLPClassifier, layer: int, source: str) -> str:
    weight = graph.weight(f"weight{layer}", as_float32(network.coefs_[layer]))
    bias = graph.weight(f"bias{layer}", as_float32(network.intercepts_[layer]))
    return graph.node("Gemm", [source, weight, bias], f"dense{layer}")


def write(folder: Path) -> Path:
    """Write `folder`/1/model.onnx and `folder`/digits-heldout.npz; return the model file."""
    file = save(build(), folder)
    split = data()
    np.savez_compressed(
        folder / HELD_OUT_FILE, images=split.held_out_images, labels=split.held_out_labels
    )
    return file
