"""What carrying out a plan is of every kind: the status, its events, the objects, in this order.

What is changed in what serves is each kind's own (``handlers.execute`` of models,
``handlers.pipelines.execute`` of pipelines).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from ferryman.api.base import ApiType
from ferryman.clients.kubernetes import ObjectReference
from ferryman.clients.kubernetes_errors import PermanentError
from ferryman.core.manifests import Manifest
from ferryman.core.status.events import Event
from ferryman.core.status.readiness import NotReady
from ferryman.handlers.apply import problem_of
from ferryman.handlers.reconciling.common import Common, Subject

T = TypeVar("T", bound=ApiType)
T_co = TypeVar("T_co", bound=ApiType, covariant=True)


class Reported(Subject, Protocol[T_co]):
    """An object with the status that it has."""

    @property
    def status(self) -> T_co:
        """What was written last."""
        ...


class Decided(Protocol[T_co]):
    """A plan, as far as every kind's is alike."""

    @property
    def status(self) -> T_co:
        """What is reported."""
        ...

    @property
    def events(self) -> Sequence[Event]:
        """What is told once."""
        ...

    @property
    def objects(self) -> Sequence[Manifest]:
        """What is applied."""
        ...


O = TypeVar("O", bound=Reported[ApiType])  # noqa: E741  the object
P = TypeVar("P", bound=Decided[ApiType])


class Carrying(ABC, Generic[O, T, P]):
    """Writes plans to the API server. Of its parameters: the object, its status, the plan."""

    def __init__(self, common: Common) -> None:
        self._aside = common.aside
        self._writer = common.writer
        self._metrics = common.metrics
        self._clock = common.clocks.now
        self._changes = common.changes

    @abstractmethod
    def _begun(self, plan: P) -> T:
        """Return the plan's status, with the change that is about to be made written down."""

    @abstractmethod
    def _applied(self, status: T) -> T:
        """Return a status that says that objects were applied."""

    @abstractmethod
    def _refused(self, plan: P, problem: NotReady) -> T:
        """Return the status that says why objects are not applied; nothing else was begun."""

    @abstractmethod
    def _show(self, subject: O, status: T) -> None:
        """Show a status in the metrics."""

    async def _write(self, subject: O, plan: P, *, goes_on: bool) -> T:
        """Write the status, tell of it and apply the objects; return the status after that.

        In this order, so that an operator that dies in between finds the decision written down
        and carries on from it. Where a change of what serves ``goes_on``, the last status is left
        to it. Raises KubernetesError; everything is then tried again. What the API server refuses
        for good is said in the status as well.
        """
        begun = self._begun(plan)
        await self._write_status(subject, subject.status, begun)
        # At once: the next try would see no transition any more.
        await self._writer.post(reference(subject), plan.events)
        try:
            await self._writer.apply(subject.key, plan.objects)
        except PermanentError as error:
            await self._report(subject, begun, plan, error)
            raise
        status = self._applied(begun) if plan.objects else begun
        if not goes_on:
            await self._write_status(subject, begun, status)
        return status

    async def _write_status(self, subject: O, before: ApiType, status: T) -> None:
        self._show(subject, status)
        if status != before:
            await self._writer.write_status(reference(subject), status.as_dict())

    async def _report(self, subject: O, before: T, plan: P, error: PermanentError) -> None:
        """Say why objects are not applied, unless that was said; the rest is as was decided."""
        problem = problem_of(error)
        refused = self._refused(plan, problem)
        if refused != plan.status:
            await self._write_status(subject, before, refused)
            told = Event("Warning", problem.reason, problem.message)
            await self._writer.post(reference(subject), (told,))


def reference(subject: Subject) -> ObjectReference:
    """Return what writes and events about an object refer to."""
    return ObjectReference.of(subject.key, subject.metadata.uid)
