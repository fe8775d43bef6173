"""Where the steps of a pipeline could go: on one server, or with some of them cut off.

The server that clients call, *home*, runs the ensemble; a step that is cut off has servers of its
own, and home has a proxy in its place, which calls them. So each cut adds a call and the transfer
of what the step reads and makes, whatever else is cut, and where a step is cut off to does not
depend on the others: for a home it is decided which steps leave.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Final

from ferryman.api.pipelines.inference_pipeline import ExecutionMode
from ferryman.core.pipelines.graph import Graph

#: Of so many steps all sets are compared; of more, some.
MAX_COMPARED_STEPS: Final = 10


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """Where a server could run: a node type with a processor class."""

    name: str
    memory_bytes: int | None = None
    """What the models of one server may take; None: unknown, and then it limits nothing."""


@dataclass(frozen=True, slots=True)
class StepNeeds:
    """What a request asks of one step."""

    seconds: Mapping[str, float | None]
    """By place: how long the step takes there for one request; None: not measured. Without an
    entry it cannot run there."""
    memory_bytes: int | None = None
    """What its instances hold; None: unknown, and then it counts as nothing."""
    traffic_bytes: float | None = None
    """What it reads and makes for one request; None: unknown."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """What a call between two servers was measured to cost."""

    call_s: float
    """However little it carries."""
    bytes_per_s: float

    def seconds(self, traffic_bytes: float) -> float:
        """Return what a call takes that carries so much, both ways together."""
        return self.call_s + traffic_bytes / self.bytes_per_s


@dataclass(frozen=True)
class ServerSplit:
    """One way to put the steps on servers."""

    home: ServerPlace
    cut: Mapping[str, ServerPlace]
    """Steps with servers of their own, and where."""
    latency_s: float | None
    """How long a request takes that meets no other; None: unknown."""
    added_s: float | None
    """The calls' part of all steps together; None: unknown."""

    @property
    def mode(self) -> ExecutionMode:
        """What the specification calls it."""
        return "Distributed" if self.cut else "Ensemble"

    def servers(self, order: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Return the steps of each server, home first."""
        return (
            tuple(name for name in order if name not in self.cut),
            *((name,) for name in order if name in self.cut),
        )


@dataclass(frozen=True)
class Home:
    """One place as the home of a pipeline."""

    graph: Graph
    needs: Mapping[str, StepNeeds]
    place: ServerPlace
    places: tuple[ServerPlace, ...]
    crossing: Crossing | None

    @cached_property
    def strangers(self) -> tuple[str, ...]:
        """Steps that cannot run here."""
        return tuple(
            name for name in self.graph.order if self.place.name not in self.needs[name].seconds
        )

    @cached_property
    def whole(self) -> ServerSplit | None:
        """All steps here, if they fit."""
        return None if self.strangers or not self.holds(()) else self.split(())

    @cached_property
    def parted(self) -> ServerSplit | None:
        """The best way that cuts something off; None where there is none.

        It is exact for up to MAX_COMPARED_STEPS steps. Of more, all are cut off that gain by it,
        and what makes nothing slower by staying stays.
        """
        if any(name not in self.away for name in self.strangers):
            return None
        free = [name for name in self.away if name not in self.strangers]
        sets = self._all_sets(free) if len(free) <= MAX_COMPARED_STEPS else self._few_sets(free)
        fitting = (self.split(cut) for cut in sets if cut and self.holds(cut))
        return min(fitting, key=rank, default=None)

    @cached_property
    def away(self) -> Mapping[str, ServerPlace]:
        """Where each step that can be cut off goes: where it and its calls take least time."""
        found: dict[str, ServerPlace] = {}
        for name in self.graph.order:
            fitting = [
                place
                for place in self.places
                if place.name in self.needs[name].seconds and _fits(self.needs[name], place)
            ]
            if fitting:
                seconds = self.needs[name].seconds
                found[name] = min(fitting, key=lambda place: _known(seconds[place.name]))
        return found

    def holds(self, cut: Iterable[str]) -> bool:
        """Say whether what is left has room here."""
        room = self.place.memory_bytes
        return room is None or self.memory_bytes(cut) <= room

    def memory_bytes(self, cut: Iterable[str]) -> int:
        """Return what the steps that are left hold, as far as it is known."""
        gone = set(cut)
        return sum(
            self.needs[name].memory_bytes or 0 for name in self.graph.order if name not in gone
        )

    def split(self, cut: Iterable[str]) -> ServerSplit:
        """Return what it means to cut these steps off."""
        cut = tuple(cut)
        calls = {name: self._call_s(name) for name in cut}
        seconds = {name: self._seconds(name, calls) for name in self.graph.order}
        known = {name: value for name, value in seconds.items() if value is not None}
        added = [value for value in calls.values() if value is not None]
        return ServerSplit(
            home=self.place,
            cut={name: self.away[name] for name in cut},
            latency_s=self.graph.longest(known) if len(known) == len(seconds) else None,
            added_s=sum(added) if len(added) == len(calls) else None,
        )

    def _seconds(self, name: str, calls: Mapping[str, float | None]) -> float | None:
        place = self.away[name] if name in calls else self.place
        there, call = self.needs[name].seconds[place.name], calls.get(name, 0.0)
        return None if there is None or call is None else there + call

    def _call_s(self, name: str) -> float | None:
        traffic = self.needs[name].traffic_bytes
        if self.crossing is None or traffic is None:
            return None
        return self.crossing.seconds(traffic)

    def _all_sets(self, free: Sequence[str]) -> Iterator[tuple[str, ...]]:
        for size in range(len(free) + 1):
            for some in combinations(free, size):
                yield (*self.strangers, *some)

    def _few_sets(self, free: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Yield each step alone, and all that gain or must make room, less what may stay."""
        for name in free:
            yield (*self.strangers, name)
        cut = [*self.strangers, *(name for name in free if self._gain_s(name) > 0)]
        left = sorted(set(free) - set(cut), key=lambda name: -(self.needs[name].memory_bytes or 0))
        while not self.holds(cut) and left:
            cut.append(left.pop(0))
        latency = _known(self.split(cut).latency_s)
        for name in sorted(set(cut) - set(self.strangers), key=self._gain_s):
            fewer = [each for each in cut if each != name]
            if fewer and self.holds(fewer) and _known(self.split(fewer).latency_s) <= latency:
                cut = fewer
        yield tuple(cut)

    def _gain_s(self, name: str) -> float:
        """Return how much less time a step takes away from here, calls counted; 0: unknown."""
        here = self._seconds(name, {})
        away = self._seconds(name, {name: self._call_s(name)})
        return 0.0 if here is None or away is None else here - away


def _fits(needs: StepNeeds, place: ServerPlace) -> bool:
    return place.memory_bytes is None or (needs.memory_bytes or 0) <= place.memory_bytes


def _known(seconds: float | None) -> float:
    """Return a time to compare; what is unknown comes last."""
    return float("inf") if seconds is None else seconds


def rank(split: ServerSplit) -> tuple[float, int]:
    """Return what ways are ordered by: how long a request takes, then how many cuts they need."""
    return _known(split.latency_s), len(split.cut)
