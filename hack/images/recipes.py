"""What goes into each image: its tag, the inputs its digest covers, and its build context.

A context has the layout of the repository root, reduced to what the Dockerfile copies.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from hack import livecap
from hack.images import cache
from hack.images.wheels import INSTALLER_LOCK, REPOSITORY, wheelhouse
from hack.models import sleeper
from hack.version import VERSION

WHEEL_TIMEOUT_S = 300
#: What Triton's libraries are compiled from, here and not in a container: no build downloads a
#: compiler.
LIBRARIES = ("livecap/livecap.c", "livecap/drain.c", "hack/livecap.py")
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")


@dataclass(frozen=True)
class Recipe(ABC):
    """An image: how it is called and how its context is made."""

    name: str
    tag: str

    @abstractmethod
    def digest(self) -> str:
        """Return a digest of everything that the image is made of, but for its base."""

    @abstractmethod
    def fill(self, context: Path) -> Path:
        """Write the build context and return its Dockerfile."""


@dataclass(frozen=True)
class PythonImage(Recipe):
    """An image built from a Dockerfile of the repository, a wheelhouse and Triton's libraries."""

    dockerfile: str
    lock: str
    sources: tuple[str, ...] = ()
    own_wheel_sources: tuple[str, ...] = ()

    def digest(self) -> str:
        """Cover the Dockerfile, the locks, all sources, and the compiler of the libraries."""
        parts = (self.dockerfile, self.lock, *self.sources, *self.own_wheel_sources, *LIBRARIES)
        files = [INSTALLER_LOCK, *(REPOSITORY / part for part in parts)]
        return cache.digest(files, self.tag, livecap.version())

    def fill(self, context: Path) -> Path:
        """Put the sources, all wheels and the libraries where the Dockerfile expects them."""
        for part in (self.lock, *self.sources):
            _copy(REPOSITORY / part, context / part)
        wheels = context / "build" / "wheels" / self.name
        shutil.copytree(wheelhouse(REPOSITORY / self.lock), wheels)
        livecap.build(context / "build" / "livecap")
        livecap.build_drain(context / "build" / "livecap")
        if self.own_wheel_sources:
            build_own_wheel(self.own_wheel_sources, wheels.with_name("own"))
        return REPOSITORY / self.dockerfile


@dataclass(frozen=True)
class ModelImage(Recipe):
    """A model's version folder and nothing else, to be mounted as an image volume."""

    writer: Callable[[], Callable[[Path], object]]
    lock: str = ""
    """Of wheels that it is made of."""

    def digest(self) -> str:
        """Cover the scripts, and the packages whose versions decide their bytes."""
        packages = ("numpy", "onnx", "scikit-learn")
        versions = [f"{package} {metadata.version(package)}" for package in packages]
        sources = ("hack/models", *filter(None, (self.lock,)))
        return cache.digest([REPOSITORY / part for part in sources], self.tag, *versions)

    def fill(self, context: Path) -> Path:
        """Write the version folder and a Dockerfile beside the context's root folder."""
        self.writer()(context / "root")
        for extra in (p for p in (context / "root").iterdir() if p.name != "1"):
            extra.unlink()
        dockerfile = context / "Dockerfile"
        dockerfile.write_text("FROM scratch\nCOPY root/ /\n")
        return dockerfile


def build_own_wheel(sources: tuple[str, ...], destination: Path) -> None:
    """Build the project's wheel from a copy, so that nothing is left in the work tree."""
    scratch = destination / ".source"
    for part in sources:
        _copy(REPOSITORY / part, scratch / part)
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", destination, scratch],
        check=True,
        timeout=WHEEL_TIMEOUT_S,
    )
    shutil.rmtree(scratch)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=IGNORED)
    else:
        shutil.copy2(source, target)


def _resnet50() -> Callable[[Path], Path]:
    from hack.models import resnet50  # noqa: PLC0415  needs onnx, other images do not

    return resnet50.write


def _digits() -> Callable[[Path], Path]:
    from hack.models import digits  # noqa: PLC0415  needs scikit-learn, other images do not

    return digits.write


def _strips() -> Callable[[Path], Path]:
    from hack.models import strips  # noqa: PLC0415  needs onnxruntime, other images do not

    return strips.write


def _sleeper() -> Callable[[Path], Path]:
    return sleeper.write


def _ocr_code() -> Callable[[Path], Path]:
    from hack.models.ocr import parts  # noqa: PLC0415  needs onnx, other images do not

    return parts.write_code


def _ocr_network(step: str) -> Callable[[Path], Path]:
    from hack.models.ocr import parts  # noqa: PLC0415  needs onnx, other images do not

    return partial(parts.write_network, step)


def _ocr_image(name: str, writer: Callable[[], Callable[[Path], object]]) -> ModelImage:
    return ModelImage(name, f"ferryman.dev/models/{name}:1", writer, lock="requirements/ocr.lock")


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        PythonImage(
            "operator",
            f"ferryman.dev/ferryman:{VERSION}",
            dockerfile="operator/Dockerfile",
            lock="requirements/operator.lock",
            own_wheel_sources=("pyproject.toml", "README.md", "operator/ferryman"),
        ),
        PythonImage(
            "triton-cpu",
            "ferryman.dev/triton-cpu:2.51",
            dockerfile="images/triton-cpu/Dockerfile",
            lock="requirements/triton-cpu.lock",
            sources=("images/triton-cpu",),
        ),
        ModelImage("resnet50", "ferryman.dev/models/resnet50:1", _resnet50),
        ModelImage("digits", "ferryman.dev/models/digits:1", _digits),
        ModelImage("strips", "ferryman.dev/models/strips:1", _strips),
        ModelImage("sleeper", "ferryman.dev/models/sleeper:1", _sleeper),
        _ocr_image("ocr-steps", _ocr_code),
        _ocr_image("ocr-detect", partial(_ocr_network, "detect")),
        _ocr_image("ocr-classify", partial(_ocr_network, "classify")),
        _ocr_image("ocr-recognise", partial(_ocr_network, "recognise")),
    )
}

#: The models of the OCR pipeline.
OCR = ("ocr-steps", "ocr-detect", "ocr-classify", "ocr-recognise")
#: Names that stand for several images.
GROUPS = {
    "models": ("resnet50", "digits", "strips", *OCR),
    "ocr": OCR,
    # What the demo serves, beside what the test cluster has.
    "demo": ("strips", *OCR),
    "tests": ("sleeper",),
    # What the test cluster serves.
    "cluster": ("operator", "triton-cpu", "resnet50", "digits", "sleeper"),
    "all": tuple(RECIPES),
}
