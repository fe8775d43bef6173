"""The one level-based reconcile, whatever the trigger: gather, plan, execute."""

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationError

from ferryman.api.inference_model import InferenceModel
from ferryman.api.resources import Key
from ferryman.api.statistics import ServerModel
from ferryman.clients import pbtxt
from ferryman.clients.kubernetes import ObjectReference
from ferryman.clients.kubernetes_errors import ConflictError, NotFoundError
from ferryman.clients.triton import TritonServer
from ferryman.core.batching.changes import in_progress
from ferryman.core.batching.restored_state import recalled
from ferryman.core.manifests import Manifest
from ferryman.core.observation.window import Window
from ferryman.core.placement.validity import must_compare
from ferryman.core.plan import Environment, Plan, plan
from ferryman.core.snapshot import Advice, PodView, Snapshot
from ferryman.core.status import unreadable
from ferryman.core.tuners.select import TunerState
from ferryman.handlers import gather
from ferryman.handlers.cache import Cache
from ferryman.handlers.execute import Applied, Executor
from ferryman.handlers.gather import Nodes
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.placement_cache import PlacementCache
from ferryman.handlers.reservations import Reservations
from ferryman.handlers.sampling import Subject, Tuning
from ferryman.handlers.servers import Servers

_log = logging.getLogger(__name__)

#: Everything is looked at again after so long, even if no event came.
RESYNC_S: Final = 600.0


T = TypeVar("T")


class RunInExecutor(Protocol):
    """Has a decision made where it does not hold up the event loop."""

    def __call__(self, decide: Callable[[], T], /) -> Awaitable[T]:
        """Return what the decision comes to."""
        ...


@dataclass(frozen=True, slots=True)
class Clocks:
    """The time: of the calendar for statuses, and of a clock that never jumps for intervals."""

    now: Callable[[], datetime]
    seconds: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a reconcile works with."""

    cache: Cache
    nodes: Nodes
    reservations: Reservations
    placements: PlacementCache
    servers: Servers
    tuning: Tuning
    executor: Executor
    applied: Applied
    metrics: Metrics
    advice: Callable[[Key], Advice | None]
    """Where rebalancing wants a model to go."""


class Reconciler:
    """Looks at one model, decides, and carries the decision out."""

    def __init__(
        self,
        parts: Parts,
        clocks: Clocks,
        *,
        master_key: bytes,
        environment: Environment,
        run_in_executor: RunInExecutor,
    ) -> None:
        self._parts = parts
        self._clocks = clocks
        self._master_key = master_key
        self._environment = environment
        self._run_in_executor = run_in_executor
        self._states: dict[Key, TunerState] = {}
        self._uids: dict[Key, str] = {}
        self._problems: dict[Key, str] = {}

    async def reconcile(self, key: Key) -> float | None:
        """Bring one model to where it should be; return when to look again.

        Raises KubernetesError when that did not succeed and is to be tried again.
        """
        manifest = self._parts.cache.subject(key)
        if manifest is None:
            await self._forget(key)
            return None
        if self._uids.setdefault(key, manifest["metadata"]["uid"]) != manifest["metadata"]["uid"]:
            # Another object of the same name: nothing that is known of the old one counts.
            await self._forget(key)
            self._uids[key] = manifest["metadata"]["uid"]
        with self._parts.metrics.reconcile_seconds.time():
            try:
                after_s = await self._reconcile(key, manifest)
            except (ConflictError, NotFoundError) as error:
                # Deleted, or replaced by a namesake, since we looked: its event is on the way.
                if self._parts.cache.subject(key) is not manifest:
                    return None
                _log.info("the model went away", extra=key.in_log() | {"why": str(error)})
                raise
        self._parts.metrics.reconciles.labels("ok").inc()
        return after_s

    async def _reconcile(self, key: Key, manifest: Manifest) -> float | None:
        try:
            model = InferenceModel.model_validate(manifest)
        except ValidationError as error:
            await self._report_unreadable(key, manifest, error)
            return RESYNC_S
        control_key = self._control_key(model)
        pods = self._parts.nodes.on_living(self._parts.cache.pods(key))
        answers = await self._parts.servers.poll(key, pods, control_key)
        snapshot, decided = await self._decide(model, answers, control_key)
        self._note_problem(key, snapshot.serving.problem_reason)
        self._observe(model, snapshot, decided, control_key)
        await self._carry_out(model, decided, control_key)
        self._states[key] = decided.state
        return RESYNC_S if decided.requeue_after_s is None else decided.requeue_after_s

    async def _decide(
        self, model: InferenceModel, answers: Mapping[str, ServerModel], control_key: str
    ) -> tuple[Snapshot, Plan]:
        """Decide with the window that ended, if one did, and reserve a new placement.

        From a window the tuner may predict, by replaying arrivals, for some tens of
        milliseconds: an executor does that. A new placement is decided without any other model
        being decided about meanwhile, so that each sees the other's.
        """
        window, epoch = self._parts.tuning.take(model.key), self._parts.placements.epoch
        if window is not None:
            snapshot = self._snapshot(model, answers)
            decided = await self._run_in_executor(self._planner(snapshot, window, control_key))
            if not decided.is_new_place:
                self._note_placement(snapshot, decided, epoch)
                return snapshot, decided
            epoch = self._parts.placements.epoch
        snapshot = self._snapshot(model, answers)
        decided = self._planner(snapshot, None, control_key)()
        self._note_placement(snapshot, decided, epoch)
        return snapshot, decided

    def _snapshot(self, model: InferenceModel, answers: Mapping[str, ServerModel]) -> Snapshot:
        cache, advice = self._parts.cache, self._parts.advice(model.key)
        serving, now_s = gather.serving(cache, model.key, answers), self._clocks.seconds()
        valid = self._parts.placements.valid(model, now_s)
        compare = must_compare(model, serving, advice, self._clocks.now(), valid=valid)
        nodes = self._parts.nodes.views((model.key,), now_s) if compare else None
        return gather.snapshot(cache, model, nodes, serving, advice=advice)

    def _planner(
        self, snapshot: Snapshot, window: Window | None, control_key: str
    ) -> Callable[[], Plan]:
        model = snapshot.model
        return partial(
            plan,
            snapshot,
            window=window,
            state=self._states.get(model.key) or recalled(model),
            now=self._clocks.now(),
            encode=pbtxt.encode,
            control_key=control_key,
            environment=self._environment,
        )

    async def _carry_out(self, model: InferenceModel, decided: Plan, control_key: str) -> None:
        def server(pod: PodView) -> TritonServer:
            return self._parts.servers.server(model.key, pod.ip, control_key)

        def on_change(shows_after_s: float) -> None:
            self._parts.tuning.changed(model.key, shows_after_s)

        if decided.status != model.status or decided.actuation is not None:
            _log.info("decided", extra=model.key.in_log() | _decision(decided))
        await self._parts.executor.carry_out(model, decided, server, on_change)

    def _control_key(self, model: InferenceModel) -> str:
        """Return HMAC-SHA256(master key, "NAMESPACE/NAME/UID") in hex: nothing to read back."""
        identity = f"{model.key.qualified_name}/{model.metadata.uid}"
        return hmac.new(self._master_key, identity.encode(), hashlib.sha256).hexdigest()

    def _note_placement(self, snapshot: Snapshot, decided: Plan, epoch: int) -> None:
        """Note what nodes were just compared for: what it will use, and that it is valid."""
        model, found = snapshot.model, decided.status.placement
        if decided.reservation is None or found is None:
            return
        now_s = self._clocks.seconds()
        at_s = now_s if decided.is_new_place else None
        self._parts.reservations.place(model.key, decided.reservation, at_s)
        self._parts.placements.note(model, found, epoch, now_s)

    def _note_problem(self, key: Key, reason: str) -> None:
        """Apply everything anew when pods get into trouble: a Secret that vanished is not seen."""
        if reason and self._problems.get(key) != reason:
            self._parts.applied.forget(key)
        self._problems[key] = reason

    def _observe(
        self, model: InferenceModel, snapshot: Snapshot, decided: Plan, control_key: str
    ) -> None:
        serving = snapshot.serving
        settled = in_progress(decided.status.batching) is None
        pods = serving.pods if serving.model_ready and settled else ()
        self._parts.tuning.watch(Subject.of(model, pods, control_key))

    async def _report_unreadable(
        self, key: Key, manifest: Manifest, error: ValidationError
    ) -> None:
        """Say in the status why the object cannot be read; keep the rest of the status."""
        self._parts.tuning.forget(key)
        status = unreadable.status(manifest, error, self._clocks.now())
        if status != manifest.get("status", {}):
            why = unreadable.words(error)
            _log.warning("the object cannot be read", extra=key.in_log() | {"why": why})
            about = ObjectReference.of(key, manifest["metadata"]["uid"])
            await self._parts.executor.write_raw_status(about, status)

    async def _forget(self, key: Key) -> None:
        self._parts.tuning.forget(key)
        self._parts.applied.forget(key)
        self._parts.reservations.forget(key)
        self._parts.placements.forget(key)
        self._parts.metrics.forget(key)
        self._states.pop(key, None)
        self._uids.pop(key, None)
        self._problems.pop(key, None)
        await self._parts.servers.close(key)


def _decision(decided: Plan) -> dict[str, Any]:
    """Return a decision in one line, for the log."""
    status = decided.status
    placement, applied, change = status.placement, status.batching.applied, decided.actuation
    return {
        "conditions": {c.type: f"{c.status} {c.reason}" for c in status.conditions},
        "node_type": placement.node_type if placement else None,
        "batching": applied.as_dict() if applied else None,
        "reason": status.batching.reason,
        "change": change.after.as_dict() if change else None,
    }
