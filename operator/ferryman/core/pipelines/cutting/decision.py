"""The one decision about cuts for speed, and what the status says of the servers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.pipelines.execution_status import (
    CallStatus,
    CutStatus,
    ExecutionStatus,
    MeasuredStep,
)
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.observation.window import Window
from ferryman.core.pipelines.cutting import calls, trial, words
from ferryman.core.pipelines.cutting.comparison import Comparison, compared
from ferryman.core.pipelines.cutting.figures import measured
from ferryman.core.pipelines.cutting.trial import CutSituation, decide_cut
from ferryman.core.pipelines.distribution import can_be_asked, in_the_way, is_ready
from ferryman.core.pipelines.execution import ExecutionChoice
from ferryman.core.pipelines.graph import listed
from ferryman.core.pipelines.serving.balancer import is_settled
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
    returned: Mapping[str, int] = field(default_factory=dict)
    """Steps that were cut off until now, and the workers that they had before."""

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
    cut, placed = before.cut if before else None, pipeline.status.placement
    possible = _possible(snapshot, runtime)
    if placed is None or not possible:
        return Cutting(call, steps, returned=_returned(cut, None, steps))
    cut_off = trial.applied(cut)
    answering = {name: model for name, model in possible.items() if is_ready(model)}
    away = {name: possible[name] for name in possible if name in (*answering, *cut_off)}
    comparison = compared(pipeline, home_of(placed), away, steps=steps, call=call)
    seen = CutSituation(
        gains=comparison.clear_gain,
        gain_s=comparison.gain_s(cut_off) if away.keys() >= set(cut_off) else None,
        possible=possible,
        answering=answering,
        settled=_serves_one_make(snapshot),
        latency_ms=window.requests.mean_latency_ms if window else None,
        failing=window is not None and _fails(window.requests),
        generation=pipeline.metadata.generation,
        now=now,
    )
    after = decide_cut(cut, seen)
    return Cutting(call, steps, after, away, _returned(cut, after, steps))


def _fails(requests: Window) -> bool:
    return requests.failures > FAILING * requests.requests


def _returned(
    before: CutStatus | None, after: CutStatus | None, steps: Sequence[MeasuredStep]
) -> dict[str, int]:
    back = set(trial.applied(before)) - set(trial.applied(after))
    return {
        each.name: each.instances
        for each in steps
        if each.name in back and each.instances is not None
    }


def _possible(snapshot: PipelineSnapshot, runtime: InferenceRuntime) -> dict[str, InferenceModel]:
    """Return the steps that may be cut off for speed: with Auto, where one server holds all."""
    pipeline, placed = snapshot.pipeline, snapshot.pipeline.status.placement
    if pipeline.spec.execution.mode != "Auto" or placed is None:
        return {}
    if in_the_way(pipeline, snapshot.models, runtime):
        return {}
    entry = runtime.processor(placed.processor or "")
    return can_be_asked(pipeline, snapshot.models, entry)


def _serves_one_make(snapshot: PipelineSnapshot) -> bool:
    """Whether all pods are ready and of one make, and none of another is on its way."""
    serving = snapshot.serving
    made_for = {pod.config_hash for pod in serving.pods}
    return (
        len(made_for) == 1
        and serving.updated_replicas == snapshot.pipeline.spec.replicas
        and is_settled(snapshot, *made_for)
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
    """Return what the status says of the servers; ``remote``: who serves what is cut off."""
    for_speed = cutting.applied
    forced = [name for name in remote if name not in for_speed]
    away = remote if forced or cutting.away is None else cutting.away
    steps, before = cutting.steps, pipeline.status.placement
    if before is not None and home_of(before) != home:  # nothing is known of the new place
        steps = tuple(each.with_(here_milliseconds=None) for each in steps)
    comparison = compared(pipeline, home, away, steps=steps, call=cutting.call, forced=forced)
    choice = comparison.choice if forced else _held(comparison, for_speed, cutting.cut)
    status = choice.as_status(comparison.graph.names)
    if status is None:
        return None
    return status.with_(call=cutting.call, steps=steps, cut=cutting.cut)


def _held(
    comparison: Comparison, for_speed: Collection[str], cut: CutStatus | None
) -> ExecutionChoice:
    """Return the choice with what serves as chosen, and with what the figures would have."""
    choice = comparison.choice
    best = () if choice.chosen is None else choice.chosen.cut
    split = comparison.split(for_speed)
    alike = (e for e in choice.candidates if e.split and e.split.cut.keys() == split.cut.keys())
    message = next((each.message for each in alike), f"{listed(for_speed)} cut off")
    if cut is not None:
        message = f"{message}; {words.sentence(cut)}"
    elif best:
        message = f"{message}; what a cut gains is too little to change what serves"
    reason = Reason.CUT_GAINS if for_speed else Reason.ONE_SERVER_FITS
    return choice.held_to(split, reason, message)
