"""The one level-based reconcile of a pipeline, whatever the trigger: gather, plan, execute."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any, Final

from ferryman.api.inference_model import InferenceModel
from ferryman.api.pipelines.execution_status import CallStatus
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.resources import Key
from ferryman.clients import pbtxt
from ferryman.clients.triton import TritonServer
from ferryman.core.balancing.state import BalancerState
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.pipelines import journal
from ferryman.core.pipelines.plan import PipelinePlan, plan_pipeline
from ferryman.core.pipelines.server import as_server
from ferryman.core.pipelines.service import Situation
from ferryman.core.pipelines.snapshot import LoadedStep, PipelineSnapshot
from ferryman.core.placement.validity import must_compare
from ferryman.core.snapshot import PodView, ServingState
from ferryman.handlers.pipelines.calls import CallMeter
from ferryman.handlers.pipelines.execute import PipelineExecutor
from ferryman.handlers.pipelines.gather import PipelineLooks
from ferryman.handlers.pipelines.sampling import PipelineSubject, PipelineTuning
from ferryman.handlers.reconciling.common import Common
from ferryman.handlers.reconciling.frame import Frame

_log = logging.getLogger(__name__)

#: What runs in place of a step that other servers have.
STEP_PROXY: Final = (files("ferryman.served") / "step_proxy.py").read_text(encoding="utf-8")
#: An ensemble that Triton refused is tried again after so long.
REFUSED_FOR_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class PipelineParts:
    """What a reconcile of a pipeline works with."""

    common: Common
    looks: PipelineLooks
    calls: CallMeter
    tuning: PipelineTuning
    executor: PipelineExecutor


#: What serves the pipeline as a whole, and each of its steps, and what a call between them costs.
Looked = tuple[ServingState, Mapping[str, LoadedStep], CallStatus | None]


class PipelineReconciler(
    Frame[InferencePipeline, Looked, PipelineSnapshot, PipelineWindow, PipelinePlan]
):
    """Looks at one pipeline, decides, and carries the decision out."""

    of = InferencePipeline

    def __init__(self, parts: PipelineParts) -> None:
        super().__init__(parts.common, parts.tuning)
        self._parts = parts
        self._states: dict[Key, BalancerState] = {}
        self._refusals: dict[Key, tuple[str, str, float]] = {}

    async def _look(self, subject: InferencePipeline, control_key: str) -> Looked:
        looks = self._parts.looks
        serving, steps = await looks.look(subject, control_key)
        return serving, steps, await self._parts.calls.cost(subject.key, looks.asked(subject))

    def _snapshot(self, subject: InferencePipeline, looked: Looked) -> PipelineSnapshot:
        serving, steps, call = looked
        looks, now_s = self._parts.looks, self._clocks.seconds()
        valid = self._is_valid(subject, serving)
        placed = self._placed(subject)
        compare = must_compare(placed, serving, None, self._clocks.now(), valid=valid)
        nodes = looks.nodes.views((subject.key,), now_s) if compare else None
        text, words, at_s = self._refusals.get(subject.key, ("", "", now_s))
        refused = (text, words) if now_s - at_s < REFUSED_FOR_S else ("", "")
        return looks.snapshot(subject, serving, dict(steps), nodes, refused, call=call)

    def _planner(
        self,
        subject: InferencePipeline,
        snapshot: PipelineSnapshot,
        window: PipelineWindow | None,
        key: str,
    ) -> Callable[[], PipelinePlan]:
        situation = Situation(
            snapshot=snapshot,
            window=window,
            state=self._states.get(subject.key) or BalancerState(),
            now=self._clocks.now(),
            encode=pbtxt.encode,
            control_key=key,
            environment=self._common.environment,
            program=STEP_PROXY,
        )
        return partial(plan_pipeline, situation)

    async def _carry_out(
        self, subject: InferencePipeline, decided: PipelinePlan, control_key: str
    ) -> None:
        key, executor = subject.key, self._parts.executor

        def server(pod: PodView, model: str) -> TritonServer:
            return self._common.servers.server(key, pod.ip, control_key, model)

        def on_change(shows_after_s: float) -> None:
            self._tuning.changed(key, shows_after_s)

        if decided.status != subject.status or decided.change is not None:
            _log.info("decided", extra=key.in_log() | _decision(decided))
        made = await executor.carry_out(subject, decided, server, on_change)
        self._states[key] = decided.if_refused if made == "NotMade" else decided.state
        if decided.ensemble is not None:
            text = decided.ensemble.config_pbtxt
            words = await executor.load_ensemble(subject, decided.ensemble, server, on_change)
            self._refusals[key] = text, words, self._clocks.seconds()

    def _placed(self, subject: InferencePipeline) -> InferenceModel:
        return as_server(subject)

    def _identity(self, subject: InferencePipeline) -> str:
        """Return it with the kind, so that no model of the same name has it, whatever uids are."""
        key = subject.key
        return f"{key.kind}/{key.qualified_name}/{subject.metadata.uid}"

    def _observe(
        self,
        subject: InferencePipeline,
        snapshot: PipelineSnapshot,
        decided: PipelinePlan,
        control_key: str,
    ) -> None:
        serving = snapshot.serving
        settled = journal.in_progress(decided.status.balancing) is None
        pods = serving.pods if serving.model_ready and settled else ()
        self._parts.tuning.watch(PipelineSubject.of(subject, pods, control_key))

    def _drop(self, key: Key) -> None:
        self._parts.looks.completed.forget(key)
        self._parts.calls.forget(key)
        self._states.pop(key, None)
        self._refusals.pop(key, None)


def _decision(decided: PipelinePlan) -> dict[str, Any]:
    """Return a decision in one line, for the log."""
    status, change = decided.status, decided.change
    return {
        "conditions": {c.type: f"{c.status} {c.reason}" for c in status.conditions},
        "node_type": status.placement.node_type if status.placement else None,
        "workers": status.workers,
        "limiting": status.limiting_step,
        "reason": decided.reason,
        "change": {step: each.as_dict() for step, each in change.after.items()} if change else None,
    }
