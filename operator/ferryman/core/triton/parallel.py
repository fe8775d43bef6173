"""Models that one instance of runs on several devices: which backends can, and how they are told.

Sources: pytorch_backend's README ("Model Instance Group Kind": with KIND_MODEL the backend leaves
the devices to the model), vllm_backend's ``src/model.py`` (KIND_GPU is for a single GPU, with
``tensor_parallel_size`` above 1 it asks for KIND_MODEL), python_backend's example
``instance_kind`` (a model reads the kind and chooses its devices).
"""

from collections.abc import Mapping
from typing import Any, Final

from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.model_source import ModelSource, TritonConfig
from ferryman.api.pods.parallelism import Parallelism
from ferryman.core.triton.overlay import invalid

KIND: Final = "KIND_MODEL"
#: Batches by itself, and reads how many devices to take from ``model.json`` in the version folder.
VLLM: Final = "vllm"
#: Backends that leave the choice of devices to the model. The others put an instance on one.
BACKENDS: Final = ("python", "pytorch", VLLM)


def is_parallel(parallelism: Parallelism | None) -> bool:
    """Whether an instance takes more than one device."""
    return parallelism is not None and parallelism.devices > 1


def why_not(
    parallelism: Parallelism | None, entry: RuntimeProcessor, source: ModelSource
) -> str | None:
    """Return why a processor class cannot spread a model over devices, or None."""
    if parallelism is None:
        return None
    where = f"processor class {entry.processor_class} of the runtime"
    if entry.resource_name is None:
        return f"{where} has no devices, and spec.parallelism asks for {parallelism.devices}"
    backend = entry.backends.get(source.model_format.name)
    if parallelism.devices == 1 or backend is None or backend in BACKENDS:
        return None
    return (
        f"{where} serves {source.model_format.name} with {backend}, which runs an instance on one "
        f"device, and spec.parallelism asks for {parallelism.devices}: use one of the backends "
        f"{', '.join(BACKENDS)}, or cut the model into steps"
    )


def check(overlay: TritonConfig, backend: str) -> None:
    """Raise RejectedError where a configuration contradicts an instance on several devices."""
    for group in overlay.get("instance_group", []):
        if group.get("gpus"):
            raise invalid(
                "remove instance_group.gpus: with spec.parallelism the model chooses among all "
                "devices of its pod"
            )
    if backend == VLLM and overlay.get("max_batch_size", -1) != 0:
        raise invalid("state max_batch_size: 0, since vLLM forms the batches itself")


def tensor_parallel(
    parallelism: Parallelism | None, entry: RuntimeProcessor, source: ModelSource
) -> int | None:
    """Return over how many devices vLLM is told to spread the model; None: it is not told."""
    if parallelism is None or entry.backends.get(source.model_format.name) != VLLM:
        return None
    return parallelism.devices


def instance_group(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one instance of a model that chooses its devices itself."""
    return {**stated, "count": 1, "kind": KIND}
