"""What every reconcile does alike, of whichever kind: namesakes, what cannot be read, places.

``Frame`` has the steps of one: gather, plan, execute. What they are of a kind, its subclass
says (``handlers.reconcile`` of models, ``handlers.pipelines.reconcile`` of pipelines).
"""

import asyncio
import hashlib
import hmac
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, Generic, TypeVar

from pydantic import ValidationError

from ferryman.api.base import ApiType
from ferryman.api.conditions import ConditionType, Reason, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.resources import Key
from ferryman.clients import tracing
from ferryman.clients.bounded.objects import UNREAD
from ferryman.clients.kubernetes import ObjectReference
from ferryman.clients.kubernetes_errors import ConflictError, NotFoundError
from ferryman.core.manifests import Manifest
from ferryman.core.placement.departures.unschedulable import is_waiting
from ferryman.core.placement.validity import Compared
from ferryman.core.snapshot import ServingState
from ferryman.core.status import unreadable
from ferryman.handlers.reconciling.common import Common, Plan, Snapshot, Subject
from ferryman.handlers.sampling import Samplers

_log = logging.getLogger(__name__)

#: Everything is looked at again after so long, even if no event came.
RESYNC_S: Final = 600.0

O = TypeVar("O", bound=Subject)  # noqa: E741  the object
L = TypeVar("L")
S = TypeVar("S", bound=Snapshot)
W = TypeVar("W")
P = TypeVar("P", bound=Plan)


class Frame(ABC, Generic[O, L, S, W, P]):
    """Looks at one object, decides, and carries the decision out.

    Of its parameters: the object, what a look at its servers shows, the snapshot, the window, the
    plan.
    """

    of: ClassVar[type[ApiType]]
    """What objects of the kind are read as."""

    def __init__(self, common: Common, tuning: Samplers[Any, W]) -> None:
        self._common = common
        self._clocks = common.clocks
        self._tuning = tuning
        self._uids: dict[Key, str] = {}
        self._problems: dict[Key, str] = {}
        self._reporting = asyncio.Lock()

    @abstractmethod
    async def _look(self, subject: O, control_key: str) -> L:
        """Return what its servers say."""

    @abstractmethod
    def _snapshot(self, subject: O, looked: L) -> S:
        """Return all that a decision may use."""

    @abstractmethod
    def _planner(self, subject: O, snapshot: S, window: W | None, key: str) -> Callable[[], P]:
        """Return the decision, to be made in an executor or here."""

    @abstractmethod
    def _observe(self, subject: O, snapshot: S, decided: P, control_key: str) -> None:
        """Have what serves observed, or not."""

    @abstractmethod
    async def _carry_out(self, subject: O, decided: P, control_key: str) -> None:
        """Do what was decided."""

    @abstractmethod
    def _placed(self, subject: O) -> InferenceModel:
        """Return it as placement sees it."""

    @abstractmethod
    def _identity(self, subject: O) -> str:
        """Return what no other object has ever had: its control key follows from it."""

    @abstractmethod
    def _drop(self, key: Key) -> None:
        """Forget what is known of an object of this kind alone."""

    async def reconcile(self, key: Key) -> float | None:
        """Bring one object to where it should be; return when to look again.

        Raises KubernetesError when that did not succeed and is to be tried again.
        """
        cache, metrics = self._common.cache, self._common.metrics
        manifest = cache.subject(key)
        if manifest is None:
            await self._forget(key)
            return None
        if self._uids.setdefault(key, manifest["metadata"]["uid"]) != manifest["metadata"]["uid"]:
            # Another object of the same name: nothing that is known of the old one counts.
            await self._forget(key)
            self._uids[key] = manifest["metadata"]["uid"]
        about = tracing.of_object(
            key, manifest["metadata"]["uid"], manifest["metadata"].get("generation", 0)
        )
        with tracing.span(f"reconcile {key.kind}", about), metrics.reconcile_seconds.time():
            try:
                after_s = await self._reconcile(key, manifest)
            except (ConflictError, NotFoundError) as error:
                # Deleted, or replaced by a namesake, since we looked: its event is on the way.
                if cache.subject(key) is not manifest:
                    return None
                _log.info("the object went away", extra=key.in_log() | {"why": str(error)})
                raise
        metrics.reconciles.labels("ok").inc()
        return after_s

    async def _reconcile(self, key: Key, manifest: Manifest) -> float | None:
        subject = await self._read(key, manifest)
        if subject is None:
            tracing.describe({"ferryman.reason": Reason.INVALID_SPEC})
            return RESYNC_S
        control_key = self._control_key(subject)
        await self._common.writer.prove(key)
        async with self._common.aside(key):
            with tracing.span("look at servers"):
                looked = await self._look(subject, control_key)
        snapshot, decided = await self._decide(subject, looked, control_key)
        tracing.describe(_words(decided))
        self._note_problem(key, snapshot.serving.problem_reason)
        self._observe(subject, snapshot, decided, control_key)
        await self._carry_out(subject, decided, control_key)
        return RESYNC_S if decided.requeue_after_s is None else decided.requeue_after_s

    async def _read(self, key: Key, manifest: Manifest) -> O | None:
        """Return the object; where it cannot be read, say so in its status and return None."""
        if UNREAD in manifest:
            await self._report_unreadable(key, manifest, unreadable.too_large(manifest[UNREAD]))
            return None
        try:
            subject: Any = self.of.model_validate(manifest)
        except ValidationError as error:
            why, keep = unreadable.words(error), not unreadable.is_about_status(error)
            await self._report_unreadable(key, manifest, why, keep_status=keep)
            return None
        found: O = subject
        return found

    async def _decide(self, subject: O, looked: L, control_key: str) -> tuple[S, P]:
        """Decide with the window that ended, if one did, and reserve a new placement.

        From a window arrivals may be replayed for some tens of milliseconds: an executor does
        that. A new placement is decided without any other object being decided about meanwhile,
        so that each sees the other's.
        """
        placements = self._common.placements
        window, epoch = self._tuning.take(subject.key), placements.epoch
        if window is not None:
            snapshot = self._snapshot(subject, looked)
            planner = self._planner(subject, snapshot, window, control_key)
            # The window shows what came of the latest change.
            with tracing.span("decide", links=self._common.changes.link(subject.key)):
                decided = await self._common.run_in_executor(planner)
            if not decided.is_new_place:
                self._note_placement(subject, snapshot, decided, epoch)
                return snapshot, decided
            epoch = placements.epoch
        snapshot = self._snapshot(subject, looked)
        with tracing.span("decide"):
            decided = self._planner(subject, snapshot, None, control_key)()
        self._note_placement(subject, snapshot, decided, epoch)
        return snapshot, decided

    def _control_key(self, subject: O) -> str:
        """Return HMAC-SHA256(master key, identity) in hex: nothing to read back."""
        identity = self._identity(subject).encode()
        return hmac.new(self._common.master_key, identity, hashlib.sha256).hexdigest()

    def _is_valid(self, subject: O, serving: ServingState) -> bool:
        """Whether the placement would come out as it is."""
        now_s, waiting = self._clocks.seconds(), is_waiting(serving)
        return self._common.placements.valid(self._placed(subject), now_s, waiting=waiting)

    def _note_placement(self, subject: O, snapshot: S, decided: P, epoch: int) -> None:
        """Note what nodes were just compared for: what it will use, and that it is valid."""
        found, placed = decided.status.placement, self._placed(subject)
        if decided.reservation is None or found is None:
            return
        now_s = self._clocks.seconds()
        self._common.reservations.place(
            placed.key, decided.reservation, now_s, is_new=decided.is_new_place
        )
        waiting, generation = is_waiting(snapshot.serving), placed.metadata.generation
        compared = Compared(epoch, generation, found, now_s, waiting)
        self._common.placements.note(placed, compared)

    def _note_problem(self, key: Key, reason: str) -> None:
        """Apply everything anew when pods get into trouble: a Secret that vanished is not seen."""
        if reason and self._problems.get(key) != reason:
            self._common.applied.forget(key)
        self._problems[key] = reason

    async def _report_unreadable(
        self, key: Key, manifest: Manifest, why: str, *, keep_status: bool = True
    ) -> None:
        """Say in the status why the object cannot be read; keep the rest of the status."""
        self._tuning.forget(key)
        status = unreadable.status(manifest, why, self._clocks.now(), keep_status=keep_status)
        if status != manifest.get("status", {}):
            _log.warning("the object cannot be read", extra=key.in_log() | {"why": why})
            about = ObjectReference.of(key, manifest["metadata"]["uid"])
            # Such a write may keep the API server busy for a second: one at a time.
            async with self._common.aside(key), self._reporting:
                await self._common.writer.write_status(about, status)

    async def _forget(self, key: Key) -> None:
        common = self._common
        for known in (self._tuning, common.applied, common.reservations, common.placements):
            known.forget(key)
        common.cache.chains.forget(key)
        common.metrics.forget(key)
        common.changes.forget(key)
        self._uids.pop(key, None)
        self._problems.pop(key, None)
        self._drop(key)
        await common.servers.close(key)


def _words(decided: Plan) -> dict[str, str]:
    """Return what a span says of a decision: the words of the status."""
    ready = find(decided.status.conditions, ConditionType.READY)
    found = {"ferryman.reason": decided.reason}
    if ready is not None:
        found |= {"ferryman.ready": ready.status, "ferryman.ready.reason": ready.reason}
    return found
