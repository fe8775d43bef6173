"""Observation: one sampler per serving object, which hands finished windows to the reconcile.

A sampler reads the counters of all ready pods once a second and adds them up by the pure
functions of ``core.window``. It decides nothing.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from ferryman.api.batching import WindowSettings
from ferryman.api.inference_model import InferenceModel
from ferryman.api.resources import Key
from ferryman.api.statistics import Statistics
from ferryman.core.observation.window import Window, WindowState, observe
from ferryman.core.snapshot import PodView

_log = logging.getLogger(__name__)

PERIOD_S: Final = 1.0
#: So many readings in a row may lack a pod before the window goes on without it.
PATIENCE: Final = 5

Read = Callable[[Key, tuple[PodView, ...], str], Awaitable[Mapping[str, Statistics]]]


def ready(pods: Iterable[PodView]) -> tuple[PodView, ...]:
    """Return of the pods those that can be asked, without what changes all the time."""
    asked = (pod for pod in pods if pod.ready and pod.ip)
    return tuple(PodView(name=pod.name, ip=pod.ip, ready=True) for pod in asked)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a sampler observes, and how."""

    key: Key
    pods: tuple[PodView, ...]
    control_key: str
    settings: WindowSettings
    percentile: int
    hasty: bool = False
    """Whether a window that floods ends before its least length."""

    @classmethod
    def of(cls, model: InferenceModel, pods: tuple[PodView, ...], control_key: str) -> "Subject":
        """Return the ready pods of a model with its window settings and percentile."""
        return cls(
            key=model.key,
            pods=ready(pods),
            control_key=control_key,
            settings=model.spec.batching.window,
            hasty=model.spec.batching.algorithm == "Guarded",
            percentile=model.spec.objectives.percentile,
        )


class Observed(Protocol):
    """What a sampler is told of an object."""

    @property
    def key(self) -> Key:
        """Its kind, namespace and name."""
        ...

    @property
    def pods(self) -> tuple[PodView, ...]:
        """Its ready pods."""
        ...


S = TypeVar("S", bound=Observed)
W = TypeVar("W")


class Samplers(ABC, Generic[S, W]):
    """The samplers of all objects of a kind: started, changed and stopped as these come and go.

    ``deliver`` is called with a key whose window has ended, or whose pods have fallen silent;
    ``take`` then returns the window, if any.
    ``clock`` gives seconds and must be that of the statistics' ``now_s``.
    """

    def __init__(self, deliver: Callable[[Key], None], *, clock: Callable[[], float]) -> None:
        self._deliver = deliver
        self._clock = clock
        self._subjects: dict[Key, S] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._windows: dict[Key, W] = {}
        self._changed_at_s: dict[Key, float] = {}

    def watch(self, subject: S) -> None:
        """Observe an object from now on; without ready pods there is nothing to observe."""
        if not subject.pods:
            self._stop(subject.key)
            return
        self._subjects[subject.key] = subject
        task = self._tasks.get(subject.key)
        if task is None or task.done():
            name = f"sampler {subject.key.qualified_name}"
            self._tasks[subject.key] = asyncio.create_task(self._sample(subject.key), name=name)

    def changed(self, key: Key, shows_after_s: float = 0.0) -> None:
        """Take note that a configuration changes now: windows with it are void.

        So are those that begin before the change shows.
        """
        self._changed_at_s[key] = self._clock() + shows_after_s
        self._windows.pop(key, None)

    def take(self, key: Key) -> W | None:
        """Return the last finished window, once."""
        return self._windows.pop(key, None)

    def forget(self, key: Key) -> None:
        """Stop observing an object that is gone."""
        self._stop(key)
        self._changed_at_s.pop(key, None)

    async def close(self) -> None:
        """Stop all samplers and wait for their end."""
        tasks = list(self._tasks.values())
        for key in list(self._tasks):
            self._stop(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, key: Key) -> None:
        self._subjects.pop(key, None)
        self._windows.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    @abstractmethod
    async def _sample(self, key: Key) -> None:
        """Read the counters of an object again and again, until cancelled."""


class Tuning(Samplers[Subject, Window]):
    """The samplers of all models."""

    def __init__(
        self,
        read: Read,
        deliver: Callable[[Key], None],
        *,
        clock: Callable[[], float],
        period_s: float = PERIOD_S,
    ) -> None:
        super().__init__(deliver, clock=clock)
        self._read = read
        self._period_s = period_s

    async def _sample(self, key: Key) -> None:
        state, missed = WindowState(), 0
        while True:
            subject = self._subjects[key]
            samples = await self._reading(subject)
            complete = samples.keys() == {pod.name for pod in subject.pods}
            missed = 0 if complete else missed + 1
            if missed == PATIENCE + 1:
                self._told(subject, samples)
            if complete or missed > PATIENCE:
                state = self._advance(subject, state, samples)
            await asyncio.sleep(self._period_s)

    def _told(self, subject: Subject, samples: Mapping[str, Statistics]) -> None:
        """Say which pods do not show their counters, and have the conditions say so."""
        silent = sorted({pod.name for pod in subject.pods} - samples.keys())
        context = {**subject.key.in_log(), "pods": silent}
        _log.warning("pods do not show their counters: nothing is tuned by them", extra=context)
        self._deliver(subject.key)

    async def _reading(self, subject: Subject) -> Mapping[str, Statistics]:
        try:
            return await self._read(subject.key, subject.pods, subject.control_key)
        except Exception:  # noqa: BLE001  logged with its trace
            # A reading that fails in a way nobody foresaw must not end the observation.
            _log.exception("reading statistics failed", extra=subject.key.in_log())
            return {}

    def _advance(
        self, subject: Subject, state: WindowState, samples: Mapping[str, Statistics]
    ) -> WindowState:
        state, window = observe(
            state,
            samples,
            subject.settings,
            percentile=subject.percentile,
            now_s=self._clock(),
            changed_at_s=self._changed_at_s.get(subject.key),
            hasty=subject.hasty,
        )
        if window is not None:
            self._windows[subject.key] = window
            self._deliver(subject.key)
        return state
