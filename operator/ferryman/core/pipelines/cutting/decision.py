"""The one decision about cuts for speed, and what the status says of the servers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.pipelines.execution_status import (
    CallStatus,
    CutState,
    CutStatus,
    ExecutionStatus,
    MeasuredStep,
)
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.pipelines.cutting import calls, trial
from ferryman.core.pipelines.cutting.comparison import Comparison, compared
from ferryman.core.pipelines.cutting.figures import measured
from ferryman.core.pipelines.cutting.trial import CutSituation, decide_cut
from ferryman.core.pipelines.distribution import can_be_asked, in_the_way, is_ready
from ferryman.core.pipelines.execution import ExecutionChoice
from ferryman.core.pipelines.graph import listed
from ferryman.core.pipelines.snapshot import PipelineSnapshot

#: Of such a share of requests that fail, many do.
FAILING: Final = 0.01


@dataclass(frozen=True)
class Cutting:
    """What was measured of a pipeline's ways, and what is decided about cuts for speed."""

    call: CallStatus | None = None
    steps: tuple[MeasuredStep, ...] = ()
    cut: CutStatus | None = None
    away: Mapping[str, InferenceModel] | None = None
    """The steps that may be cut off for speed, and who serves them; None: none may be."""

    @property
    def applied(self) -> tuple[str, ...]:
        """The steps that are cut off for speed."""
        return trial.applied(self.cut)


def decide_cutting(
    snapshot: PipelineSnapshot,
    runtime: InferenceRuntime,
    window: PipelineWindow | None,
    now: datetime,
) -> Cutting:
    """Decide which steps of a pipeline are cut off for speed."""
    pipeline = snapshot.pipeline
    if all(step.model_ref is None for step in pipeline.spec.steps):
        return Cutting()
    before = pipeline.status.execution
    call = calls.kept(before.call if before else None, snapshot.call)
    steps = measured(snapshot, window)
    possible = _possible(snapshot, runtime)
    placed = pipeline.status.placement
    if placed is None or not possible:
        return Cutting(call, steps)
    cut = before.cut if before else None
    cut_off = trial.applied(cut)
    away = {name: model for name, model in possible.items() if name in cut_off or is_ready(model)}
    comparison = compared(pipeline, home_of(placed), away, steps=steps, call=call)
    seen = CutSituation(
        gains=comparison.clear_gain,
        gain_s=comparison.gain_s(cut_off) if set(cut_off) <= away.keys() else None,
        possible=possible.keys(),
        answering=[name for name, model in possible.items() if is_ready(model)],
        settled=_is_settled(snapshot),
        latency_ms=window.requests.mean_latency_ms if window else None,
        failing=window is not None
        and window.requests.failures > FAILING * window.requests.requests,
        generation=pipeline.metadata.generation,
        now=now,
    )
    return Cutting(call, steps, decide_cut(cut, seen), away)


def _possible(snapshot: PipelineSnapshot, runtime: InferenceRuntime) -> dict[str, InferenceModel]:
    """Return the steps that may be cut off for speed: with Auto, where one server holds all."""
    pipeline, placed = snapshot.pipeline, snapshot.pipeline.status.placement
    if pipeline.spec.execution.mode != "Auto" or placed is None:
        return {}
    if in_the_way(pipeline, snapshot.models, runtime):
        return {}
    entry = runtime.processor(placed.processor or "")
    return can_be_asked(pipeline, snapshot.models, entry)


def _is_settled(snapshot: PipelineSnapshot) -> bool:
    """Whether all pods are ready and of one make, and none of another is on its way."""
    serving = snapshot.serving
    return (
        serving.model_ready is True
        and len(serving.pods) == serving.updated_replicas == snapshot.pipeline.spec.replicas
        and all(pod.ready for pod in serving.pods)
        and len({pod.config_hash for pod in serving.pods}) == 1
    )


def home_of(placed: PlacementStatus) -> str:
    """Return what the place of the server is called that clients call."""
    return f"{placed.node_type} ({placed.processor})"


def told(
    pipeline: InferencePipeline,
    home: str,
    remote: Mapping[str, InferenceModel],
    cutting: Cutting,
) -> ExecutionStatus | None:
    """Return what the status says of the servers; ``remote``: steps that are cut off, and why."""
    for_speed = cutting.applied
    forced = [name for name in remote if name not in for_speed]
    away = remote if forced or cutting.away is None else cutting.away
    comparison = compared(
        pipeline, home, away, steps=cutting.steps, call=cutting.call, forced=forced
    )
    choice = comparison.choice if forced else _held(comparison, for_speed, cutting.cut)
    status = choice.as_status(comparison.graph.names)
    if status is None:
        return None
    return status.with_(call=cutting.call, steps=cutting.steps, cut=cutting.cut)


def _held(
    comparison: Comparison, for_speed: Collection[str], cut: CutStatus | None
) -> ExecutionChoice:
    """Return the choice with what serves as chosen, and with what the figures would have."""
    choice = comparison.choice
    best = () if choice.chosen is None else choice.chosen.cut
    split = comparison.split(for_speed)
    found = next(
        (e for e in choice.candidates if e.split and e.split.cut.keys() == split.cut.keys()), None
    )
    message = found.message if found else f"{listed(for_speed)} cut off"
    if cut is not None:
        message = f"{message}; {_WORDS[cut.state].format(listed(cut.steps), cut.message)}"
    elif best:
        message = f"{message}; what a cut gains is too little to change what serves"
    reason = Reason.CUT_GAINS if for_speed else Reason.ONE_SERVER_FITS
    return choice.held_to(split, reason, message)


_WORDS: Final[Mapping[CutState, str]] = {
    "Wanted": "{0} cut off, {1}: it is done once that has lasted for 10 min",
    "Trial": "{0} cut off on trial, as {1}",
    "Kept": "{0} stays cut off: {1}",
    "Doubted": "{0} is taken back once it has gained nothing for 10 min",
    "TakenBack": "{0} was cut off and taken back: {1}",
}
