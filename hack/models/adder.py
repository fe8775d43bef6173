"""A step of a pipeline whose service time is known and can change: it sleeps, and adds its inputs.

Sums tell whether every step ran once and read what it should: an answer says what went into it.
"""

from __future__ import annotations

import py_compile
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("adder_model.py")


def config(inputs: Collection[str], seconds_file: Path) -> dict[str, Any]:
    """Return the ModelConfig of an adder in its JSON form; the file states its service time."""
    return {
        "backend": "python",
        "max_batch_size": 1,
        "input": [_tensor(name) for name in inputs],
        "output": [_tensor("sum")],
        "parameters": {"seconds_file": {"string_value": str(seconds_file)}},
    }


def write(folder: Path, text: str) -> None:
    """Write an adder with its config.pbtxt as `folder`."""
    file = folder / "1" / "model.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SCRIPT, file)
    (folder / "config.pbtxt").write_text(text)
    # Else Python does so at the first load, and Triton takes what is new there for another model:
    # a change of instances would be a reload. In pods the model's volume is read-only.
    py_compile.compile(str(file), doraise=True)


def _tensor(name: str) -> dict[str, Any]:
    return {"name": name, "data_type": "TYPE_FP32", "dims": [-1]}
