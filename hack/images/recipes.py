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
from importlib import metadata
from pathlib import Path

from hack import livecap
from hack.images import cache
from hack.images.wheels import INSTALLER_LOCK, REPOSITORY, wheelhouse
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

    writer: Callable[[], Callable[[Path], Path]]

    def digest(self) -> str:
        """Cover the scripts, and the packages whose versions decide their bytes."""
        packages = ("numpy", "onnx", "scikit-learn")
        versions = [f"{package} {metadata.version(package)}" for package in packages]
        return cache.digest([REPOSITORY / "hack" / "models"], self.tag, *versions)

    def fill(self, context: Path) -> Path:
        """Write /1/model.onnx and a Dockerfile beside the context's root folder."""
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
    )
}

#: Names that stand for several images.
GROUPS = {"models": ("resnet50", "digits"), "all": tuple(RECIPES)}
