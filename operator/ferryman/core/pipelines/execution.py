"""How the steps of a pipeline are put on servers, and why.

What is compared is how long a request takes that meets no other: the longest way through the
graph, the calls between servers counted. Throughput is no reason to cut: a second replica of the
whole adds as much as a second server for a part of it, and needs no calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ferryman.api.conditions import Reason
from ferryman.api.pipelines.execution_status import ExecutionCandidate, ExecutionStatus
from ferryman.core.pipelines.graph import Graph, listed
from ferryman.core.pipelines.splits import Crossing, Home, ServerPlace, ServerSplit, StepNeeds, rank

#: The most candidates that the status can hold.
_MOST_SHOWN: Final = 16

Mode = Literal["Auto", "Ensemble", "Distributed"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A way to put the steps on servers, or a home without one, and what speaks for it or not."""

    home: ServerPlace
    split: ServerSplit | None
    reason: Reason
    message: str


@dataclass(frozen=True)
class ExecutionChoice:
    """What was chosen of what was compared, and why."""

    chosen: ServerSplit | None
    """None: there is no way that the specification allows."""
    reason: Reason
    message: str
    candidates: tuple[Judged, ...]

    def held_to(self, split: ServerSplit, reason: Reason, message: str) -> "ExecutionChoice":
        """Return that a way is kept to, whichever was the best."""
        others = tuple(
            each for each in self.candidates if each.split is None or not _same(each.split, split)
        )
        held = Judged(split.home, split, reason, message)
        return ExecutionChoice(split, reason, message, (held, *others))

    def as_status(self, order: Sequence[str]) -> ExecutionStatus | None:
        """Return what the status says; None while nothing is chosen."""
        if self.chosen is None:
            return None
        first = sorted(self.candidates, key=lambda each: each.split is not self.chosen)
        return ExecutionStatus(
            mode=self.chosen.mode,
            reason=self.reason,
            message=self.message,
            candidates=tuple(self._candidate(each, order) for each in first[:_MOST_SHOWN]),
        )

    def _candidate(self, judged: Judged, order: Sequence[str]) -> ExecutionCandidate:
        split = judged.split
        return ExecutionCandidate(
            place=judged.home.name,
            servers=() if split is None else split.servers(order),
            chosen=split is not None and split is self.chosen,
            latency_milliseconds=None if split is None else _ms(split.latency_s),
            added_milliseconds=None if split is None else _ms(split.added_s),
            reason=judged.reason,
            message=judged.message,
        )


def choose(
    graph: Graph,
    needs: Mapping[str, StepNeeds],
    places: Sequence[ServerPlace],
    crossing: Crossing | None,
    mode: Mode = "Auto",
    *,
    elsewhere: Sequence[ServerPlace] | None = None,
) -> ExecutionChoice:
    """Choose how to put the steps of a graph without faults on servers.

    ``places`` are in the order in which placement prefers them: the first that holds all steps is
    taken, unless steps that are cut off make a request faster than it is on any one server. What
    was not measured speaks for no cut. None for ``crossing``: it was not measured. Steps that are
    cut off go ``elsewhere``, where the pipeline has no home; None: to any of the places.
    """
    away = tuple(places if elsewhere is None else elsewhere)
    homes = [Home(graph, needs, place, away, crossing) for place in places]
    compared = _Compared(
        mode,
        whole=tuple(home.whole for home in homes if mode != "Distributed" and home.whole),
        parted=tuple(home.parted for home in homes if mode != "Ensemble" and home.parted),
    )
    judged = (
        *(_judged_whole(home) for home in homes if mode != "Distributed"),
        *(_judged_parted(home, compared) for home in homes if _has_parts(home, mode)),
    )
    why = next((entry for entry in judged if entry.split and entry.split is compared.chosen), None)
    if why is None:
        return ExecutionChoice(None, Reason.NO_CANDIDATE, _nowhere(judged, mode), judged)
    return ExecutionChoice(why.split, why.reason, why.message, judged)


def _same(one: ServerSplit, other: ServerSplit) -> bool:
    return one.home == other.home and one.cut.keys() == other.cut.keys()


@dataclass(frozen=True)
class _Compared:
    mode: Mode
    whole: tuple[ServerSplit, ...]
    parted: tuple[ServerSplit, ...]

    @property
    def fastest_s(self) -> float | None:
        """How long a request takes on the fastest one server; None: not known of all."""
        known = [each.latency_s for each in self.whole if each.latency_s is not None]
        return min(known, default=None) if len(known) == len(self.whole) else None

    @property
    def best_cut(self) -> ServerSplit | None:
        return min(self.parted, key=rank, default=None)

    @property
    def cut_gains(self) -> bool:
        best, fastest_s = self.best_cut, self.fastest_s
        if best is None or best.latency_s is None or fastest_s is None:
            return False
        return best.latency_s < fastest_s

    @property
    def chosen(self) -> ServerSplit | None:
        return self.best_cut if self.cut_gains or not self.whole else self.whole[0]


def _has_parts(home: Home, mode: Mode) -> bool:
    """Whether it is worth a word that steps could be cut off: nobody asks where none can leave."""
    can_leave = home.whole is None or home.parted is not None
    return mode == "Distributed" or (mode == "Auto" and can_leave)


def _judged_whole(home: Home) -> Judged:
    place, split = home.place, home.whole
    if split is not None:
        message = f"one server on {place.name} holds all steps{_takes(split)}"
        return Judged(place, split, Reason.ONE_SERVER_FITS, message)
    if home.strangers:
        message = f"{listed(home.strangers)} cannot run on {place.name}"
    else:
        message = (
            f"all steps together hold {_mib(home.memory_bytes(()))} MiB, and a server on "
            f"{place.name} has {_mib(place.memory_bytes or 0)}"
        )
    return Judged(place, None, Reason.DOES_NOT_FIT, message)


def _judged_parted(home: Home, compared: _Compared) -> Judged:
    place, split = home.place, home.parted
    if split is None:
        message = f"with {place.name} as home, not every step has a place"
        return Judged(place, None, Reason.DOES_NOT_FIT, message)
    ways = listed(f"{name} to {split.cut[name].name}" for name in split.cut)
    what = f"with {place.name} as home, {ways} cut off{_takes(split)}"
    reason, message = _verdict(split, compared)
    return Judged(place, split, reason, f"{what}; {message}")


def _verdict(split: ServerSplit, compared: _Compared) -> tuple[Reason, str]:
    fastest_s = compared.fastest_s
    if split is compared.chosen:
        if compared.cut_gains:
            return Reason.CUT_GAINS, f"on one server it takes {_ms(fastest_s):g} ms"
        if compared.mode == "Distributed":
            return Reason.CUT_NEEDED, "execution.mode asks for several servers"
        return Reason.CUT_NEEDED, "no one server holds all steps"
    if split.latency_s is None or (compared.whole and fastest_s is None):
        return Reason.NOT_MEASURED, "whether that gains is unknown, as not all was measured"
    if fastest_s is not None and fastest_s <= split.latency_s:
        return Reason.CUT_COSTS_MORE, f"on one server it takes {_ms(fastest_s):g} ms"
    return Reason.CUT_COSTS_MORE, "what was chosen does as well"


def _nowhere(judged: Sequence[Judged], mode: Mode) -> str:
    found = "; ".join(each.message for each in judged) or "there is no place to run it"
    remedy = "choose execution.mode Auto, " if mode != "Auto" else ""
    return (
        f"{found}: {remedy}allow further processors in placement, or give the steps smaller models"
    )


def _takes(split: ServerSplit) -> str:
    if split.latency_s is None:
        return ""
    calls = f", {_ms(split.added_s):g} ms of it calls" if split.added_s else ""
    return f": a request takes {_ms(split.latency_s):g} ms{calls}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 1)


def _mib(count_bytes: int) -> int:
    return -(-count_bytes // 2**20)
