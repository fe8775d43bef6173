"""What the demo serves and sends: two models and a pipeline, and real input for all of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from ferryman.api.names import API_VERSION
from hack.installation import model_uri
from hack.models import digits, strips
from hack.models.ocr import pages, pipeline

NAMESPACE = "ferryman-demo"
RUSH, SLACK, OCR = "rush", "slack", pipeline.NAME

#: The operator watches first, and says what it would do; then it may do it.
WATCHES: Final[Mapping[str, str]] = {"inferencemodel": "Recommend", "inferencepipeline": "Observe"}
ACTS: Final = "Auto"

#: Windows, intervals and budgets are shortened, so that the tuning can be watched in a minute.
QUICK = {
    "trend": {"samples": 3},
    "window": {"maxRequests": 1000, "maxSeconds": 2, "minSeconds": 1},
    "guardrails": {"minSecondsBetweenReloads": 5, "maxReloadsPerHour": 60},
}

#: Act 1 starts with batches of two, where many more would do.
TOO_SMALL = {
    "initial": {"maxBatchSize": 2, "instances": 1},
    "limits": {
        "maxBatchSize": {"min": 1, "max": 32},
        "maxQueueDelayMicroseconds": {"min": 0, "max": 0},
        "instances": {"min": 1, "max": 1},
    },
}
#: Act 2 starts without a queue delay: nearly every request is a batch of its own.
TOO_EAGER = {
    "initial": {"maxBatchSize": 32, "maxQueueDelayMicroseconds": 0, "instances": 1},
    "limits": {
        "maxBatchSize": {"min": 1, "max": 32},
        "maxQueueDelayMicroseconds": {"min": 0, "max": 500_000},
        "instances": {"min": 1, "max": 1},
    },
    # A few requests a second need longer windows to say anything about a percentile.
    "window": {"maxRequests": 1000, "maxSeconds": 4, "minSeconds": 2},
}
BALANCING = {
    "limits": {"instances": {"min": 1, "max": 4}},
    "window": {"minSeconds": 3, "maxSeconds": 5, "maxRequests": 100_000},
}
#: As many as fit into a ConfigMap; the load begins again with the first.
PAGES: Final = 24
_FIRST_PAGE: Final = 100


def model(name: str, mode: str, target_ms: int, batching: Mapping[str, Any]) -> dict[str, Any]:
    """Return an InferenceModel that reads digits strip by strip."""
    # One thread: what is shown is what batches bring, on a node with any number of processors.
    config = {"parameters": {"intra_op_thread_count": {"string_value": "1"}}}
    source = {"storageUri": model_uri("strips"), "modelFormat": {"name": "onnx"}, "config": config}
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceModel",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": source,
            "runtimeRef": {"name": "triton-cpu"},
            "objectives": {"latency": {"percentile": 99, "targetMilliseconds": target_ms}},
            "batching": {**QUICK, **batching, "mode": mode},
        },
    }


def reader(mode: str, rate_per_s: float, namespace: str = NAMESPACE) -> dict[str, Any]:
    """Return the InferencePipeline that reads pages, asked for so many a second."""
    objectives = {"throughput": {"minPerSecond": max(1, int(rate_per_s))}}
    spec = pipeline.spec(model_uri, objectives)
    return pipeline.manifest(namespace, {**spec, "balancing": {**BALANCING, "mode": mode}})


def write_digits_input(path: Path) -> Path:
    """Write the held-out digits and their labels: what the answers are compared with."""
    split = digits.data()
    np.savez_compressed(path, input=split.held_out_images, labels=split.held_out_labels)
    return path


def write_strips_input(path: Path) -> Path:
    """Write the held-out digits as strips, and their labels."""
    split = digits.data()
    images = strips.as_strips(split.held_out_images)
    np.savez_compressed(path, input=images, labels=split.held_out_labels)
    return path


def known_pages() -> list[pages.Page]:
    """Return the pages that are sent."""
    return pages.pages(PAGES, _FIRST_PAGE)


def write_pages_input(path: Path, texts: list[str] | None = None) -> Path:
    """Write the pages, and what is on them (or what else is to be read)."""
    known = known_pages()
    labels = np.array(texts or [page.text for page in known])
    np.savez_compressed(path, page=np.stack([page.image for page in known]), labels=labels)
    return path
