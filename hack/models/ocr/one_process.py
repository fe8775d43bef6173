"""The steps of the OCR pipeline one after the other in one process: what the pipeline must equal.

    python -m hack.models.ocr.one_process PAGES.npz

prints the text of each array in the file, in order, as JSON strings. ``texts`` runs it, in a
process of its own: OpenCV is no part of our environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hack.models.ocr import parts

Array = np.ndarray[Any, Any]
#: A page takes a fifth of a second on one idle core, and much longer on a busy one.
PAGE_TIMEOUT_S = 30
START_TIMEOUT_S = 120


def texts(images: Sequence[Array]) -> list[str]:
    """Return what is read on each page."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pages.npz"
        np.savez(file, *images)
        paths = [str(parts.packages()), *sys.path]
        found = subprocess.run(
            [sys.executable, "-m", "hack.models.ocr.one_process", file],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            timeout=START_TIMEOUT_S + PAGE_TIMEOUT_S * len(images),
        )
    return [json.loads(line) for line in found.stdout.splitlines()]


def main() -> None:
    """Read the pages named on the command line."""
    read = _reader()
    with np.load(sys.argv[1]) as pages:
        for name in pages.files:
            print(json.dumps(read(pages[name])), flush=True)


def _reader() -> Any:  # noqa: ANN401  a function that is made where OpenCV can be imported
    import onnxruntime  # noqa: PLC0415

    from hack.models.ocr import reading  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    detect, classify, recognise = (
        onnxruntime.InferenceSession(parts.unpacked() / "networks" / name, options)
        for name in parts.NETWORKS.values()
    )
    characters = reading.characters((parts.unpacked() / "characters.txt").read_text("utf-8"))

    def run(network: Any, x: Array) -> Array:  # noqa: ANN401  onnxruntime ships no types
        found: Array = network.run(None, {"x": x})[0]
        return found

    def read(page: Array) -> str:
        crops = reading.crop(page, run(detect, reading.prepare(page)))
        turned, lines = run(classify, crops.heads), run(recognise, crops.lines)
        return reading.join(lines, turned, crops.rows, characters)[0]

    return read


if __name__ == "__main__":
    main()
