"""ResNet50 v1.5 as an ONNX graph with seeded random weights.

The graph of He et al. (arXiv:1512.03385) in the v1.5 variant that benchmarks use: bottleneck
blocks 3-4-6-3 with the stride in the 3x3 convolution. Its cost does not depend on the values
of the weights, so random ones make the same reference benchmark as trained ones.

Batch normalisation stays explicit (runtimes fold it into the convolution when they load), so
that the parameter count is the published one: 25,557,032.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from hack.models.onnx_graph import GraphWriter, as_float32, save

SEED = 50
CLASSES = 1000
BLOCKS = (3, 4, 6, 3)
EXPANSION = 4  # a bottleneck's last 1x1 convolution widens by this

#: Scale of each block's last normalisation. With 1 the variance would double at every one of
#: the 16 residual additions; with 1/4 activations stay near 1 through the whole network.
RESIDUAL_SCALE = 0.25


@dataclass
class _Writer:
    """A graph writer with the three layers that ResNet is made of."""

    graph: GraphWriter = field(default_factory=lambda: GraphWriter("resnet50_v1_5"))
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))

    def convolution(self, source: str, name: str, shape: tuple[int, ...], stride: int) -> str:
        """Convolve with He-initialised weights of `shape` (out, in, kernel, kernel)."""
        deviation = math.sqrt(2 / math.prod(shape[1:]))
        values = self.random.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
        weight = self.graph.weight(f"{name}.weight", values)
        padding = shape[2] // 2
        return self.graph.node(
            "Conv", [source, weight], name, kernel_shape=list(shape[2:]),
            strides=[stride] * 2, pads=[padding] * 4,
        )  # fmt: skip

    def normalisation(self, source: str, channels: int, scale: float = 1.0) -> str:
        """Normalise with the statistics of a network that needs no normalisation."""
        name = f"{source}.bn"
        values = {"scale": scale, "bias": 0.0, "mean": 0.0, "variance": 1.0}
        weights = [
            self.graph.weight(f"{name}.{key}", as_float32(np.full(channels, value)))
            for key, value in values.items()
        ]
        return self.graph.node("BatchNormalization", [source, *weights], name)

    def relu(self, source: str) -> str:
        """Cut off what is below zero."""
        return self.graph.node("Relu", [source], f"{source}.relu")

    def unit(self, source: str, name: str, shape: tuple[int, ...], stride: int = 1) -> str:
        """Convolution, normalisation, ReLU."""
        convolved = self.convolution(source, name, shape, stride)
        return self.relu(self.normalisation(convolved, shape[0]))

    def bottleneck(self, source: str, name: str, inputs: int, width: int, stride: int) -> str:
        """1x1, 3x3 (with the stride: v1.5) and 1x1 convolutions beside a shortcut."""
        outputs = width * EXPANSION
        inner = self.unit(source, f"{name}.1", (width, inputs, 1, 1))
        inner = self.unit(inner, f"{name}.2", (width, width, 3, 3), stride)
        inner = self.convolution(inner, f"{name}.3", (outputs, width, 1, 1), 1)
        inner = self.normalisation(inner, outputs, RESIDUAL_SCALE)
        if inputs != outputs:
            source = self.convolution(source, f"{name}.shortcut", (outputs, inputs, 1, 1), stride)
            source = self.normalisation(source, outputs)
        return self.relu(self.graph.node("Add", [inner, source], f"{name}.sum"))

    def classifier(self, source: str, features: int) -> None:
        """Average over the picture, then one dense layer to the output."""
        pooled = self.graph.node("GlobalAveragePool", [source], "pool")
        flat = self.graph.node("Flatten", [pooled], "flat")
        values = self.random.standard_normal((CLASSES, features), dtype=np.float32)
        weight = self.graph.weight("fc.weight", values * np.float32(math.sqrt(1 / features)))
        bias = self.graph.weight("fc.bias", np.zeros(CLASSES, np.float32))
        self.graph.node("Gemm", [flat, weight, bias], "output", transB=1)


def build() -> onnx.ModelProto:
    """Return the model: `input` float32 [batch,3,224,224] to `output` [batch,1000]."""
    writer = _Writer()
    value = writer.unit("input", "stem", (64, 3, 7, 7), 2)
    value = writer.graph.node(
        "MaxPool", [value], "stem.pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4
    )
    channels = 64
    for stage, blocks in enumerate(BLOCKS):
        width = 64 * 2**stage
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            name = f"stage{stage + 1}.{block + 1}"
            value = writer.bottleneck(value, name, channels, width, stride)
            channels = width * EXPANSION
    writer.classifier(value, channels)
    return writer.graph.model(
        {"input": ["batch", 3, 224, 224]},
        {"output": (TensorProto.FLOAT, ["batch", CLASSES])},
    )


def write(folder: Path) -> Path:
    """Write the model as `folder`/1/model.onnx and return that file."""
    return save(build(), folder)
