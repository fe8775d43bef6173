"""The models that a server holds, and the names of what each has of its own: no two share one.

A server with a single model has the plain names, so that nothing of it changes with what servers
of several models need.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Final

from ferryman.api import names
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.api.model_fetch import FetchSpec
from ferryman.api.model_source import TritonConfig

#: "max-batch-size." and a slug are the name of an annotation, "model-" and a slug that of a volume:
#: both have 63 characters at most.
MAX_SLUG: Final = 48
_DIGEST: Final = 12
_PLAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_ODD: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Slot:
    """The names of what a pod has for one of its models."""

    volume: str
    """Of the pod, with the model's files."""
    path: str
    """Where that is mounted."""
    config_file: str
    """The entry of the ConfigMap."""
    program_file: str
    """Likewise, of a program that the operator wrote."""
    cap_file: str
    """Where the live cap is read from."""
    cap_annotation: str
    """By which a pod's live cap is changed."""

    @property
    def secret_volume(self) -> str:
        """Of the pod, with what shows the source of the files who asks."""
        return f"secret-{self.volume}"

    @property
    def ca_volume(self) -> str:
        """Of the pod, with the authorities that are trusted."""
        return f"ca-{self.volume}"

    @property
    def cap_path(self) -> str:
        """The live cap's file within its volume."""
        return PurePosixPath(self.cap_file).name


SOLE: Final = Slot(
    volume="model",
    path=names.PATH_MODEL,
    config_file=names.CONFIG_FILE,
    program_file="model.py",
    cap_file=names.LIVE_CAP_FILE,
    cap_annotation=names.ANNOTATION_MAX_BATCH_SIZE,
)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One of the models that a server holds."""

    name: str
    """Inside Triton."""
    storage_uri: str | None
    """Where its files are; None: it has none, as an ensemble."""
    slot: Slot = SOLE
    live_cap: RuntimeLiveCap | None = None
    """What pods are made for, whether the configuration uses it or not."""
    config: TritonConfig | None = None
    """What pods start with; None while it is not known: such a model is not loaded yet."""
    untuned_config: TritonConfig = field(default_factory=dict)
    """What pods are made for: without what is changed while they run."""
    program: str = ""
    """Of a model that the operator wrote itself; "": it has none, or files of its own."""
    tensor_parallel: int | None = None
    """Over how many devices vLLM is told to spread it; None: it is no model of vLLM's."""
    fetch: FetchSpec | None = None
    """How its files are fetched, where they are."""


def slot(model_name: str) -> Slot:
    """Return the slot of one model among several."""
    own = slug(model_name)
    return Slot(
        volume=f"{SOLE.volume}-{own}",
        path=f"{names.PATH_MODEL}/{own}",
        config_file=f"{own}.pbtxt",
        program_file=f"{own}.py",
        cap_file=f"{names.PATH_LIVE_CAP}/{own}",
        cap_annotation=f"{names.ANNOTATION_MAX_BATCH_SIZE}.{own}",
    )


def slug(name: str) -> str:
    """Return a DNS label for a name, and another one for every other name.

    A name that is a label already is its own. Any other one is what can be kept of it and a digest,
    with two hyphens in between, which no name that is its own has.
    """
    if len(name) <= MAX_SLUG and "--" not in name and _PLAIN.fullmatch(name):
        return name
    digest = sha256(name.encode()).hexdigest()[:_DIGEST]
    kept = _ODD.sub("-", name.lower()).strip("-")[: MAX_SLUG - _DIGEST - 2].rstrip("-")
    return f"{kept or 'x'}--{digest}"


def is_model_volume(name: str) -> bool:
    """Whether a volume of a serving pod holds a model's files."""
    return name == SOLE.volume or name.startswith(f"{SOLE.volume}-")


def cap_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return those of a pod's annotations by which live caps are changed."""
    key = SOLE.cap_annotation
    return {k: v for k, v in annotations.items() if k == key or k.startswith(f"{key}.")}
