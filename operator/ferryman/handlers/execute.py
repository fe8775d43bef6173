"""Execute: carry out a plan, writing only what differs from what is there."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ferryman.actuation.actuate import actuate
from ferryman.api import names
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.resources import Key
from ferryman.clients.kubernetes import Kubernetes, ObjectReference
from ferryman.clients.kubernetes_errors import Fault, KubernetesError, PermanentError
from ferryman.clients.triton import TritonServer
from ferryman.core.batching.actuators import ACTUATORS
from ferryman.core.batching.changes import Actuation
from ferryman.core.manifests import Manifest
from ferryman.core.plan import Plan, record_outcome, record_started
from ferryman.core.snapshot import PodView
from ferryman.core.status import apply_problems, conditions
from ferryman.core.status.events import Event, of_outcome
from ferryman.core.status.readiness import NotReady
from ferryman.handlers.cache import (
    Cache,
    trim_deployment,
    trim_pod,
    version,
)
from ferryman.handlers.metrics import Metrics

_log = logging.getLogger(__name__)

#: Kinds whose status the cluster writes all the time: their specification's generation counts.
_BY_GENERATION: Final = ("Deployment",)


class NameTakenError(PermanentError):
    """An object of a name that is to be ours is there, and somebody else's."""

    fault: Fault = "user"

    def __init__(self, problem: NotReady) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Applied:
    """What was applied last, and which version of the object that made."""

    digest: str
    version: int
    uid: str


class Applied:
    """What was applied to each serving object last."""

    def __init__(self) -> None:
        self._known: dict[Key, dict[str, _Applied]] = {}

    def is_current(self, key: Key, manifest: Manifest, live: Manifest | None) -> bool:
        """Whether the object is as it was applied, as far as the watches have seen.

        The watch may lag behind our own write; only a later version is somebody else's.
        """
        known = self._known.get(key, {}).get(manifest["kind"])
        if known is None or known.digest != _digest(manifest):
            return False
        return live is None or _version(manifest["kind"], live) <= known.version

    def knows(self, key: Key, kind: str) -> bool:
        """Whether an object of this kind was applied for the model."""
        return kind in self._known.get(key, {})

    def note(self, key: Key, manifest: Manifest, answer: Manifest) -> None:
        """Take note of the API server's answer to an apply."""
        self._known.setdefault(key, {})[manifest["kind"]] = _Applied(
            _digest(manifest),
            _version(manifest["kind"], answer),
            str(answer["metadata"].get("uid", "")),
        )

    def forget(self, key: Key, kind: str | None = None, uid: str | None = None) -> None:
        """Have an object applied anew (all of a model's without a kind).

        With a uid only if it is that very object that was applied.
        """
        if kind is None:
            self._known.pop(key, None)
            return
        known = self._known.get(key, {})
        if kind in known and uid in {None, known[kind].uid}:
            del known[kind]


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _version(kind: str, manifest: Manifest) -> int:
    if kind in _BY_GENERATION:
        return int(manifest["metadata"].get("generation", 0))
    return version(manifest)


class Executor:
    """Writes plans to the API server and to Triton."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        cache: Cache,
        applied: Applied,
        metrics: Metrics,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._kubernetes = kubernetes
        self._cache = cache
        self._applied = applied
        self._metrics = metrics
        self._clock = clock

    async def carry_out(
        self,
        model: InferenceModel,
        plan: Plan,
        server: Callable[[PodView], TritonServer],
        on_change: Callable[[float], None],
    ) -> None:
        """Write the status, apply the objects, change the batching, and tell of it.

        ``on_change`` is called when what serves changes, with the seconds until that shows.

        In this order, so that an operator that dies in between finds the decision written down
        and carries on from it. Raises KubernetesError; everything is then tried again. What the
        API server refuses for good is said in the status as well.
        """
        status = plan.status
        if plan.actuation is not None:
            status = record_started(status, plan.actuation, self._clock())
        await self._write_status(model, status)
        # At once: the next try would see no transition any more.
        await self._post(model, plan.events)
        model = model.with_(status=status)
        try:
            await self._apply(model.key, plan.objects)
        except PermanentError as error:
            await self._report(model, plan.status, error)
            raise
        if plan.objects:
            status = conditions.applied(status, self._clock())
        if plan.actuation is None:
            await self._write_status(model, status)
            return
        await self._change(model, status, plan.actuation, server, on_change)

    async def write_raw_status(self, about: ObjectReference, status: Manifest) -> None:
        """Write a status of an object that cannot be read as a whole."""
        answer = await self._kubernetes.apply_status(about, status)
        self._cache.remember_subject(about.key, answer)

    async def _write_status(self, model: InferenceModel, status: InferenceModelStatus) -> None:
        self._metrics.show(model, status)
        if status != model.status:
            await self.write_raw_status(reference(model), status.as_dict())

    async def _apply(self, key: Key, objects: Sequence[Manifest]) -> None:
        await self._check_names(key, objects)
        for manifest in objects:
            live = self._cache.live(manifest["kind"], key)
            if self._applied.is_current(key, manifest, live):
                continue
            answer = await self._kubernetes.apply(manifest)
            self._applied.note(key, manifest, answer)
            if manifest["kind"] == "Deployment":
                # Until the watch shows it, the one of before would count as rolled out.
                self._cache.remember("deployments", key, trim_deployment(answer))

    async def _check_names(self, key: Key, objects: Sequence[Manifest]) -> None:
        """Raise NameTakenError if what would be created is there already, and is not ours.

        The watches show what has our label only. For Secrets one may not ask, but none of ours
        is without the other objects.
        """
        unknown = [
            manifest
            for manifest in objects
            if (kind := manifest["kind"]) != "Secret"
            and not self._applied.knows(key, kind)
            and self._cache.live(kind, key) is None
        ]
        found = await asyncio.gather(*map(self._kubernetes.find, unknown))
        for manifest, there in zip(unknown, found, strict=True):
            if there is not None and not _is_ours(there, manifest):
                name = manifest["metadata"]["name"]
                raise NameTakenError(apply_problems.name_taken(manifest["kind"], name))

    async def _report(
        self, model: InferenceModel, status: InferenceModelStatus, error: PermanentError
    ) -> None:
        """Say why objects are not applied, unless that was said; the rest is as was decided.

        A change of batching that was to follow was not begun.
        """
        problem = _problem(error)
        refused = conditions.with_problem(status, problem, self._clock())
        if refused != status:
            await self._write_status(model, refused)
            await self._post(model, (Event("Warning", problem.reason, problem.message),))

    async def _change(
        self,
        model: InferenceModel,
        status: InferenceModelStatus,
        actuation: Actuation,
        server: Callable[[PodView], TritonServer],
        on_change: Callable[[float], None],
    ) -> None:
        async def annotate(pod: PodView, bound: int) -> None:
            await self._annotate(model, pod, bound)

        traits = ACTUATORS[actuation.actuator]
        on_change(0.0)
        try:
            result = await actuate(actuation, server, annotate)
        finally:
            on_change(traits.settles_s)
        self._metrics.changed(actuation.actuator, result.outcome)
        _log.info(
            "batching changed",
            extra=_described(model)
            | {
                "reason": actuation.reason,
                "before": actuation.before.as_dict(),
                "after": actuation.after.as_dict(),
                "outcome": result.outcome,
                "detail": result.message,
            },
        )
        now = self._clock()
        finished = record_outcome(status, actuation, result.outcome, result.message, now)
        await self._write_status(model.with_(status=status), finished)
        await self._post(model, (of_outcome(actuation, result.outcome, result.message),))

    async def _annotate(self, model: InferenceModel, pod: PodView, bound: int) -> None:
        """Write a pod's live cap, and see it at once: the watch may lag behind."""
        annotations = {names.ANNOTATION_MAX_BATCH_SIZE: str(bound)}
        namespace = model.key.namespace
        answer = await self._kubernetes.annotate_pod(namespace, pod.name, annotations)
        self._cache.remember_pod(trim_pod(answer))

    async def _post(self, model: InferenceModel, events: Iterable[Event]) -> None:
        """Tell what happened. An event that cannot be posted is no reason to decide again."""
        for event in events:
            try:
                await self._kubernetes.post_event(
                    reference(model), event.type, event.reason, event.message
                )
            except KubernetesError as error:
                _log.warning("an event was not posted", extra=_described(model) | _why(error))


def reference(model: InferenceModel) -> ObjectReference:
    """Return what writes and events about a model refer to."""
    return ObjectReference.of(model.key, model.metadata.uid)


def _is_ours(there: Manifest, manifest: Manifest) -> bool:
    """Whether an object is the model's: by its label, or by its owner where the label was lost."""
    metadata, ours = there["metadata"], manifest["metadata"]
    label = (metadata.get("labels") or {}).get(names.LABEL_MODEL)
    owners = {owner["uid"] for owner in metadata.get("ownerReferences") or ()}
    return label == ours["labels"][names.LABEL_MODEL] or ours["ownerReferences"][0]["uid"] in owners


def _problem(error: PermanentError) -> NotReady:
    if isinstance(error, NameTakenError):
        return error.problem
    return apply_problems.apply_refused(str(error))


def _described(model: InferenceModel) -> dict[str, Any]:
    return model.key.in_log()


def _why(error: KubernetesError) -> dict[str, Any]:
    return {"why": str(error), "fault": error.fault}
