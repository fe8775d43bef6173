"""What the demo serves and sends: two models, their objectives, and real input for both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from ferryman.api.names import API_VERSION
from hack.installation import model_uri
from hack.models import digits

NAMESPACE = "ferryman-demo"
PHOTO_PIXELS = 224
#: Mean and deviation per channel of the photographs that ResNets are trained on (ImageNet).
CHANNEL_MEAN = (0.485, 0.456, 0.406)
CHANNEL_DEVIATION = (0.229, 0.224, 0.225)

#: Windows, intervals and budgets are shortened, so that the tuning can be watched in a minute.
QUICK = {
    "trend": {"samples": 3},
    "window": {"maxRequests": 1000, "maxSeconds": 2, "minSeconds": 1},
    "guardrails": {"minSecondsBetweenReloads": 5, "maxReloadsPerHour": 60},
}

#: At 100 requests/s batches of 32 take longer to fill than a target of 60 ms allows.
TOO_LARGE = {
    "step": 10,
    "initial": {"maxBatchSize": 32, "maxQueueDelayMicroseconds": 100_000, "instances": 1},
    "limits": {
        "maxBatchSize": {"min": 1, "max": 32},
        "maxQueueDelayMicroseconds": {"min": 0, "max": 100_000},
    },
}


@dataclass(frozen=True)
class Act:
    """One model of the demo and the load on it."""

    name: str
    spec: dict[str, Any]
    rate_per_s: float

    def manifest(self) -> dict[str, Any]:
        """Return the InferenceModel."""
        return {
            "apiVersion": API_VERSION,
            "kind": "InferenceModel",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": self.spec,
        }


def digits_act() -> Act:
    """Return digits: it starts with batches far too large for its target, and is tuned."""
    batching = {**QUICK, **TOO_LARGE}
    return Act("digits", _spec("digits", target_ms=60, batching=batching), rate_per_s=100)


def resnet50_act(peak_per_s: float) -> Act:
    """Return ResNet50, sent a third of what the faster node measured at its peak."""
    # A few requests a second need longer windows to say anything about a percentile.
    window = {"maxRequests": 1000, "maxSeconds": 10, "minSeconds": 5}
    batching = {**QUICK, "window": window, "initial": {"maxBatchSize": 4, "instances": 1}}
    spec = _spec("resnet50", target_ms=1_000, batching=batching)
    return Act("resnet50", spec, rate_per_s=max(1.0, round(peak_per_s / 3, 1)))


def _spec(model: str, target_ms: int, batching: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": {"storageUri": model_uri(model), "modelFormat": {"name": "onnx"}},
        "runtimeRef": {"name": "triton-cpu"},
        "objectives": {"latency": {"percentile": 99, "targetMilliseconds": target_ms}},
        "batching": batching,
    }


def write_digits_input(path: Path) -> Path:
    """Write the held-out digits and their labels: what the answers are compared with."""
    split = digits.data()
    np.savez_compressed(path, input=split.held_out_images, labels=split.held_out_labels)
    return path


def write_photo_input(path: Path) -> Path:
    """Write scikit-learn's sample photographs as ResNet50 wants them: [n,3,224,224] float32."""
    photos = [_prepare(photo) for photo in load_sample_images().images]
    np.savez_compressed(path, input=np.stack(photos))
    return path


def _prepare(photo: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Cut the middle square, resize it, and normalise each channel."""
    image = Image.fromarray(photo)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((PHOTO_PIXELS, PHOTO_PIXELS))
    pixels = np.asarray(square, dtype=np.float32) / 255
    normalised = (pixels - np.array(CHANNEL_MEAN)) / np.array(CHANNEL_DEVIATION)
    return np.asarray(normalised.transpose(2, 0, 1), dtype=np.float32)
