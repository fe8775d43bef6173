"""Execute: carry out a plan, writing only what differs from what is there."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ferryman.api import names
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.clients.kubernetes import Kubernetes, ObjectReference
from ferryman.clients.kubernetes_errors import KubernetesError
from ferryman.clients.triton import TritonServer
from ferryman.core.changes import Actuation
from ferryman.core.events import Event, of_outcome
from ferryman.core.plan import Plan, record_outcome, record_started
from ferryman.core.snapshot import PodView
from ferryman.handlers.actuate import actuate
from ferryman.handlers.cache import Cache, Key, Manifest, trim_model, trim_pod, version
from ferryman.handlers.metrics import Metrics

_log = logging.getLogger(__name__)

#: Kinds whose status the cluster writes all the time: their specification's generation counts.
_BY_GENERATION: Final = ("Deployment",)
#: From a pod's annotation to batches under the new bound: the kubelet projects it within about a
#: second, the library looks every 100 ms, and what was batched before is executed first.
LIVE_CAP_SETTLES_S: Final = 2.0


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
        and carries on from it. Raises KubernetesError; everything is then tried again.
        """
        status = plan.status
        if plan.actuation is not None:
            status = record_started(status, plan.actuation, self._clock())
        await self._write_status(model, status)
        # At once: the next try would see no transition any more.
        await self._post(model, plan.events)
        await self._apply(model.key, plan.objects)
        if plan.actuation is not None:
            await self._change(model, status, plan.actuation, server, on_change)

    async def write_raw_status(self, about: ObjectReference, status: Manifest) -> None:
        """Write a status of an object that cannot be read as a whole."""
        answer = await self._kubernetes.apply_status(about, status)
        self._cache.remember("models", (about.namespace, about.name), trim_model(answer))

    async def _write_status(self, model: InferenceModel, status: InferenceModelStatus) -> None:
        self._metrics.show(model, status)
        if status != model.status:
            await self.write_raw_status(reference(model), status.as_dict())

    async def _apply(self, key: Key, objects: Iterable[Manifest]) -> None:
        for manifest in objects:
            live = self._cache.live(manifest["kind"], key)
            if self._applied.is_current(key, manifest, live):
                continue
            answer = await self._kubernetes.apply(manifest)
            self._applied.note(key, manifest, answer)

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

        on_change(0.0)
        try:
            result = await actuate(actuation, server, annotate)
        finally:
            on_change(LIVE_CAP_SETTLES_S if actuation.actuator == "LiveCap" else 0.0)
        self._metrics.reloads.labels(actuation.actuator, result.outcome).inc()
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
        namespace, _ = model.key
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
    namespace, name = model.key
    return ObjectReference(names.API_VERSION, "InferenceModel", namespace, name, model.metadata.uid)


def _described(model: InferenceModel) -> dict[str, Any]:
    return {"model": "/".join(model.key)}


def _why(error: KubernetesError) -> dict[str, Any]:
    return {"why": str(error), "fault": error.fault}
