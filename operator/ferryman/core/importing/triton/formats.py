"""Which of Ferryman's formats a model of Triton's has."""

from collections.abc import Collection, Mapping
from typing import Any, Final, get_args

from ferryman.api.model_source import FormatName
from ferryman.core.importing.outcome import NotImportableError, Request

#: Triton's backends and platforms (model_config.md of triton-inference-server/server).
_BACKENDS: Final[Mapping[str, FormatName]] = {
    "onnxruntime": "onnx",
    "onnxruntime_onnx": "onnx",
    "tensorrt": "tensorrt",
    "tensorrt_plan": "tensorrt",
    "pytorch": "pytorch",
    "pytorch_libtorch": "pytorch",
    "tensorflow": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
    "openvino": "openvino",
    "python": "python",
    "vllm": "vllm",
}
#: What the files of a version are called unless the configuration says so.
_FILES: Final[Mapping[str, FormatName]] = {
    "model.onnx": "onnx",
    "model.plan": "tensorrt",
    "model.pt": "pytorch",
    "model.savedmodel": "tensorflow",
    "model.graphdef": "tensorflow",
    "model.xml": "openvino",
    "model.py": "python",
}
FORMATS: Final[tuple[FormatName, ...]] = get_args(FormatName)


def of_model(config: Mapping[str, Any], files: Collection[str], asked: Request) -> FormatName:
    """Return the format of a model, by its configuration, its files, or as a person says.

    Raises NotImportableError where nobody says it, or Ferryman has none for the backend.
    """
    for key in ("backend", "platform"):
        stated = str(config.get(key, ""))
        if stated in _BACKENDS:
            return _BACKENDS[stated]
        if stated:
            raise NotImportableError(
                f"{key} {stated} is none of Ferryman's formats ({', '.join(FORMATS)}): keep a "
                "Triton of your own for it"
            )
    found = {_FILES[name] for name in files if name in _FILES}
    if len(found) == 1:
        return next(iter(found))
    if asked.model_format is None:
        why = "its files are of several" if found else "neither its configuration nor a file says"
        raise NotImportableError(
            f"the model's format is not known ({why}): state backend in config.pbtxt, or --format"
        )
    return asked.model_format
