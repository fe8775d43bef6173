"""What reconciles of every kind work with, and what they expect of a kind's objects and plans."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from ferryman.api.base import Metadata
from ferryman.api.conditions import Condition
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.api.resources import Key
from ferryman.clients.tracing import Changes
from ferryman.core.placement.reservations import Reservation
from ferryman.core.plan import Environment
from ferryman.core.snapshot import ServingState
from ferryman.handlers.apply import Applied, Writer
from ferryman.handlers.cache import Cache
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.placement_cache import PlacementCache
from ferryman.handlers.reservations import Reservations
from ferryman.handlers.servers import Servers
from ferryman.handlers.work_queue import Aside

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


class Subject(Protocol):
    """An object that is reconciled."""

    @property
    def key(self) -> Key:
        """Its kind, namespace and name."""
        ...

    @property
    def metadata(self) -> Metadata:
        """Its uid, among others."""
        ...


class Snapshot(Protocol):
    """What a decision sees."""

    @property
    def serving(self) -> ServingState:
        """What serves the object."""
        ...


class Status(Protocol):
    """What is reported."""

    @property
    def conditions(self) -> Sequence[Condition]:
        """What is the case."""
        ...

    @property
    def placement(self) -> PlacementStatus | None:
        """Where it is placed."""
        ...


class Plan(Protocol):
    """What a reconcile will do."""

    @property
    def status(self) -> Status:
        """What is reported."""
        ...

    @property
    def reason(self) -> str:
        """Why what serves is changed, or left as it is."""
        ...

    @property
    def requeue_after_s(self) -> float | None:
        """When to look again; None: not before the next round."""
        ...

    @property
    def reservation(self) -> Reservation | None:
        """What it will use, where nodes were compared."""
        ...

    @property
    def is_new_place(self) -> bool:
        """Whether it goes elsewhere."""
        ...


@dataclass(frozen=True, slots=True)
class Common:
    """What reconciles of every kind work with."""

    cache: Cache
    reservations: Reservations
    placements: PlacementCache
    servers: Servers
    writer: Writer
    applied: Applied
    metrics: Metrics
    clocks: Clocks
    master_key: bytes
    environment: Environment
    run_in_executor: RunInExecutor
    aside: Aside
    """Entered while others' servers take as long as they like."""
    changes: Changes
