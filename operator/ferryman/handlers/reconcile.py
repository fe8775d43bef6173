"""The one level-based reconcile of a model, whatever the trigger: gather, plan, execute."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ferryman.api.inference_model import InferenceModel
from ferryman.api.resources import Key
from ferryman.api.statistics import ServerModel
from ferryman.clients import pbtxt
from ferryman.clients.triton import TritonServer
from ferryman.core.batching.changes import in_progress
from ferryman.core.batching.restored_state import recalled
from ferryman.core.observation.window import Window
from ferryman.core.placement.validity import must_compare
from ferryman.core.plan import Plan, plan
from ferryman.core.snapshot import Advice, PodView, Snapshot
from ferryman.core.tuners.select import TunerState
from ferryman.handlers import gather
from ferryman.handlers.execute import Executor
from ferryman.handlers.gather import Nodes
from ferryman.handlers.reconciling.common import Common
from ferryman.handlers.reconciling.frame import Frame
from ferryman.handlers.sampling import Subject, Tuning

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a reconcile of a model works with."""

    common: Common
    nodes: Nodes
    tuning: Tuning
    executor: Executor
    advice: Callable[[Key], Advice | None]
    """Where rebalancing wants a model to go."""


#: Pod -> what its Triton says.
Answers = Mapping[str, ServerModel]


class Reconciler(Frame[InferenceModel, Answers, Snapshot, Window, Plan]):
    """Looks at one model, decides, and carries the decision out."""

    of = InferenceModel

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.common, parts.tuning)
        self._parts = parts
        self._states: dict[Key, TunerState] = {}

    async def _look(self, subject: InferenceModel, control_key: str) -> Answers:
        key = subject.key
        pods = self._parts.nodes.on_living(self._common.cache.pods(key))
        return await self._common.servers.poll(key, pods, control_key)

    def _snapshot(self, subject: InferenceModel, looked: Answers) -> Snapshot:
        cache, advice = self._common.cache, self._parts.advice(subject.key)
        serving = gather.serving(cache, subject.key, looked)
        valid = self._is_valid(subject, serving)
        compare = must_compare(subject, serving, advice, self._clocks.now(), valid=valid)
        now_s = self._clocks.seconds()
        nodes = self._parts.nodes.views((subject.key,), now_s) if compare else None
        return gather.snapshot(cache, subject, nodes, serving, advice=advice)

    def _planner(
        self, subject: InferenceModel, snapshot: Snapshot, window: Window | None, key: str
    ) -> Callable[[], Plan]:
        return partial(
            plan,
            snapshot,
            window=window,
            state=self._states.get(subject.key) or recalled(subject),
            now=self._clocks.now(),
            encode=pbtxt.encode,
            control_key=key,
            environment=self._common.environment,
            may_measure=self._parts.executor.may_measure,
        )

    async def _carry_out(self, subject: InferenceModel, decided: Plan, control_key: str) -> None:
        key = subject.key

        def server(pod: PodView) -> TritonServer:
            return self._common.servers.server(key, pod.ip, control_key)

        def on_change(shows_after_s: float) -> None:
            self._tuning.changed(key, shows_after_s)

        if decided.status != subject.status or decided.actuation is not None:
            _log.info("decided", extra=key.in_log() | _decision(decided))
        self._states[key] = await self._parts.executor.carry_out(
            subject, decided, server, on_change
        )

    def _placed(self, subject: InferenceModel) -> InferenceModel:
        return subject

    def _identity(self, subject: InferenceModel) -> str:
        return f"{subject.key.qualified_name}/{subject.metadata.uid}"

    def _observe(
        self, subject: InferenceModel, snapshot: Snapshot, decided: Plan, control_key: str
    ) -> None:
        serving = snapshot.serving
        settled = in_progress(decided.status.batching) is None
        pods = serving.pods if serving.model_ready and settled else ()
        self._parts.tuning.watch(Subject.of(subject, pods, control_key))

    def _drop(self, key: Key) -> None:
        self._states.pop(key, None)


def _decision(decided: Plan) -> dict[str, Any]:
    """Return a decision in one line, for the log."""
    status = decided.status
    placement, applied, change = status.placement, status.batching.applied, decided.actuation
    return {
        "conditions": {c.type: f"{c.status} {c.reason}" for c in status.conditions},
        "node_type": placement.node_type if placement else None,
        "batching": applied.as_dict() if applied else None,
        "reason": decided.reason,
        "change": change.after.as_dict() if change else None,
    }
