"""The modules that need the extra ``ferryman[onnx]``."""

import importlib
from types import ModuleType
from typing import Final

from ferryman.cli.errors import Fault

PACKAGES: Final = ("onnx", "onnxruntime")


def load(name: str) -> ModuleType:
    """Return a module of this package that needs the extra; raises Fault where it is missing."""
    try:
        return importlib.import_module(f"ferryman.cli.onnx.{name}")
    except ImportError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in PACKAGES:
            raise
        raise Fault(
            f"the package {missing} is missing: install it with pip install 'ferryman[onnx]'"
        ) from error
