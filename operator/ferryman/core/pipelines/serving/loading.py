"""What servers are known to have loaded of a pipeline, and the ensemble that they are to load."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ferryman.api.model_source import TritonConfig
from ferryman.core.errors import RejectedError
from ferryman.core.pipelines import signatures, validation
from ferryman.core.pipelines.assembly import ensemble_of
from ferryman.core.pipelines.fault import PipelineFault
from ferryman.core.pipelines.server import sources_of
from ferryman.core.pipelines.signatures import Signature
from ferryman.core.pipelines.snapshot import PipelineSnapshot
from ferryman.core.snapshot import PodView


@dataclass(frozen=True)
class EnsembleLoad:
    """The ensemble is to be loaded in pods whose steps are all there."""

    pods: tuple[PodView, ...]
    config_pbtxt: str


class FaultyGraphError(RejectedError):
    """The graph has faults: the first is the reason, and it says how many there are besides."""

    def __init__(self, faults: tuple[PipelineFault, ...]) -> None:
        rest = len(faults) - 1
        more = f" (and {rest} more, in status.faults)" if rest else ""
        super().__init__(faults[0].reason, f"{faults[0].message}{more}")
        self.faults = faults


def check(snapshot: PipelineSnapshot, known: Mapping[str, Signature]) -> None:
    """Raise FaultyGraphError where something is wrong, as far as this is known."""
    faults = validation.faults(snapshot.pipeline, known, snapshot.models.keys())
    if faults:
        raise FaultyGraphError(faults)


def known_signatures(snapshot: PipelineSnapshot, made_for: str = "") -> dict[str, Signature]:
    """Return what is known of each step's model: stated, and by pods made for this shown."""
    found = {}
    for name, source in sources_of(snapshot.pipeline, snapshot.models).items():
        stated, shown = signatures.of_overlay(source.config), _shown(snapshot, name, made_for)
        loaded = signatures.UNKNOWN if shown is None else signatures.of_config(shown)
        found[name] = signatures.merged(stated, loaded)
    return found


def _shown(snapshot: PipelineSnapshot, step: str, made_for: str) -> dict[str, Any] | None:
    loaded = snapshot.steps.get(step)
    return None if loaded is None else loaded.configs.get(made_for)


def ensemble(
    snapshot: PipelineSnapshot, known: Mapping[str, Signature], made_for: str
) -> TritonConfig | None:
    """Return the ensemble's configuration; None while steps that are to load may tell more.

    Raises FaultyGraphError where they are loaded, and it is still not known.
    """
    found = ensemble_of(snapshot.pipeline, known)
    if not isinstance(found, tuple):
        return found
    steps = (step.name for step in snapshot.pipeline.spec.steps)
    if all(_shown(snapshot, step, made_for) is not None for step in steps):
        raise FaultyGraphError(found)
    return None


def missing_ensemble(
    snapshot: PipelineSnapshot, config_pbtxt: str, made_for: str
) -> EnsembleLoad | None:
    """Return where the ensemble is not loaded although all steps are.

    One that Triton refused moments ago is left for a while.
    """
    refused = snapshot.ensemble_refusal and snapshot.refused_ensemble == config_pbtxt
    known_to_lack = snapshot.serving.model_ready is False
    if not config_pbtxt or refused or not snapshot.steps or not known_to_lack:
        return None
    lacking = tuple(
        pod
        for pod in snapshot.serving.pods
        if pod.config_hash == made_for
        and pod.batching is None
        and all(_has_step(loaded.pods, pod) for loaded in snapshot.steps.values())
    )
    return EnsembleLoad(lacking, config_pbtxt) if lacking else None


def _has_step(shown: tuple[PodView, ...], pod: PodView) -> bool:
    return any(each.name == pod.name and each.batching is not None for each in shown)
