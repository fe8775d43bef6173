"""The files of the OCR pipeline's models: trained networks and OpenCV, from hashed wheels."""

from __future__ import annotations

import py_compile
import shutil
import zipfile
from pathlib import Path
from typing import Final

import onnx

from hack.images import cache
from hack.images.wheels import REPOSITORY, wheelhouse

LOCK: Final = REPOSITORY / "requirements" / "ocr.lock"
#: Step -> its network in the wheel of rapidocr-onnxruntime.
NETWORKS: Final = {
    "detect": "ch_PP-OCRv4_det_infer.onnx",
    "classify": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "recognise": "ch_PP-OCRv4_rec_infer.onnx",
}
#: What of OpenCV no step needs: pictures that train other detectors.
UNUSED: Final = ("cv2/data",)
SCRIPTS: Final = {"step_model.py": "model.py", "reading.py": "reading.py"}


def write_network(step: str, folder: Path) -> Path:
    """Write `folder`/1/model.onnx, the network of a step, and return that file."""
    file = folder / "1" / "model.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(unpacked() / "networks" / NETWORKS[step], file)
    return file


def write_code(folder: Path, *, link: bool = False) -> Path:
    """Write `folder`/1: the script of the Python steps and all it imports; return its model.py.

    With ``link`` OpenCV stays where it is unpacked, for a server on this machine.
    """
    version = folder / "1"
    version.mkdir(parents=True, exist_ok=True)
    for source, target in SCRIPTS.items():
        shutil.copyfile(Path(__file__).with_name(source), version / target)
        # Else Python does so at the first load, and Triton takes the model for another one.
        py_compile.compile(str(version / target), doraise=True)
    shutil.copyfile(unpacked() / "characters.txt", version / "characters.txt")
    if link:
        (version / "packages").symlink_to(packages())
    else:
        shutil.copytree(packages(), version / "packages")
    return version / "model.py"


def packages() -> Path:
    """Return the folder from which Python imports what the steps need."""
    return unpacked() / "packages"


def unpacked() -> Path:
    """Return the cached folder with all parts, unpacked once per lock file."""
    return cache.entry("ocr", cache.digest([LOCK, Path(__file__)]), _unpack)


def _unpack(folder: Path) -> None:
    wheels = wheelhouse(LOCK)
    with zipfile.ZipFile(next(wheels.glob("opencv_python_headless-*.whl"))) as wheel:
        wheel.extractall(folder / "packages")
    for part in UNUSED:
        shutil.rmtree(folder / "packages" / part)
    (folder / "networks").mkdir()
    with zipfile.ZipFile(next(wheels.glob("rapidocr_onnxruntime-*.whl"))) as wheel:
        for name in NETWORKS.values():
            content = wheel.read(f"rapidocr_onnxruntime/models/{name}")
            (folder / "networks" / name).write_bytes(content)
    listed = _listed_characters(folder / "networks" / NETWORKS["recognise"])
    (folder / "characters.txt").write_text(listed, encoding="utf-8")


def _listed_characters(recogniser: Path) -> str:
    """Return the characters that the recogniser tells apart, as it carries them, one a line."""
    model = onnx.load(recogniser)
    return next(str(entry.value) for entry in model.metadata_props if entry.key == "character")
