"""Where models may bring code of their own, and what of a configuration would run some.

A model's files are its author's. Whether they can be programs is not decided by the format alone:
Triton looks for a backend's library in the model's own folder first (backend_model.cc), and its
configuration names libraries, environments and strategies to load.
"""

import re
from collections.abc import Iterable
from typing import Final

from ferryman.api import names
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.model_source import FormatName, TritonConfig
from ferryman.core.triton.overlay import invalid, snake_case

#: Backends whose models are data, as far as their makers say. PyTorch calls its models programs.
DATA_ONLY: Final = frozenset({"onnxruntime", "openvino", "tensorrt"})
#: What a shell's ``case`` knows a program in a model's files by.
PROGRAMS: Final = ("*.so", "*.so.*", "*.py", "*.pyc")

_PROGRAM: Final = re.compile(r".*\.(so(\.[^/]*)?|pyc?)", re.DOTALL)
#: Any message of the configuration, and any option of a backend, that names a library.
_LOADS: Final = re.compile(r"librar|plugin|lib_path", re.IGNORECASE)
_PARAMETERS: Final = ("EXECUTION_ENV_PATH", names.PARAMETER_STRATEGY)
_MESSAGES: Final = ("runtime", "model_operations")
#: Files that Triton looks for in the model's version folder, and below its folder ``warmup``.
_FILE_NAMES: Final = ("default_model_filename", "cc_model_filenames")
_FILE_PATHS: Final = ("input_data_file", "label_filename")
_UPWARDS: Final = re.compile(r"(^|/)\.\.(/|$)")

#: What stands in a configuration, with the path where it stands; keys too.
Strings = Iterable[tuple[str, str]]


def is_allowed(entry: RuntimeProcessor) -> bool:
    """Whether models of a class may be or bring code: as stated, else as its backends are."""
    if entry.allow_code is not None:
        return entry.allow_code
    return not DATA_ONLY.issuperset(entry.backends.values())


def why_refused(entry: RuntimeProcessor, model_format: FormatName) -> str | None:
    """Return why models of a format are not served where no code is allowed, or None."""
    if is_allowed(entry) or entry.backends.get(model_format) in DATA_ONLY:
        return None
    return (
        f"processor class {entry.processor_class} of the runtime has allowCode false, and models "
        f"of {model_format} are code"
    )


def check(overlay: TritonConfig, strings: Strings, entry: RuntimeProcessor) -> None:
    """Raise RejectedError for files outside the model's folder, and for code where none may be."""
    allowed = is_allowed(entry)
    for path, text in strings:
        _check_inside(path, text)
        if not allowed and _names_a_program(path, text):
            raise _no_code(f"{path} names {text!r}")
    if allowed:
        return
    for key in _MESSAGES:
        if key in overlay:
            raise _no_code(f"config states {key}")
    for key in _PARAMETERS:
        if key in overlay.get("parameters", {}):
            raise _no_code(f"config states the parameter {key}")


def _names_a_program(path: str, text: str) -> bool:
    is_key = path.endswith(f".{text}")
    return bool(_PROGRAM.fullmatch(text)) or (is_key and bool(_LOADS.search(text)))


def _check_inside(path: str, text: str) -> None:
    if "/" not in text and ".." not in text:
        return  # most are: nothing else leads out of a folder
    steps = [snake_case(step) for step in path.split(".")]
    named = any(step in _FILE_NAMES for step in steps)
    leaves = "/" in text if named else text.startswith("/") and steps[-1] in _FILE_PATHS
    if leaves or _UPWARDS.search(text):
        raise invalid(f"{path} is {text!r}: name a file inside the model's own folder")


def _no_code(what: str) -> Exception:
    return invalid(
        f"{what}, which would load code: remove it, or use a runtime whose class has allowCode true"
    )
