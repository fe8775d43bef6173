"""How a change of batching reaches Triton: what each way is able to do, and what it takes.

Whoever needs to know something of an actuator asks this table, so that another one is an entry
here and nothing elsewhere decides by a name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ferryman.api.batching import Actuator, Batching
from ferryman.core.snapshot import LiveCapView
from ferryman.core.tuners.protocol import InEffect


@dataclass(frozen=True, slots=True)
class Server:
    """What one server can have changed without a reload."""

    live_cap: LiveCapView | None = None
    """None where it has none."""
    instances_known: bool = True
    """False when its instance groups differ: nothing says that instances would change."""
    in_place: bool = True
    """Whether Triton can compare what it loaded with what it is to load, so that instances alone
    change in place."""


@dataclass(frozen=True, slots=True)
class Move:
    """A change of batching on some servers."""

    before: Batching
    after: Batching
    servers: tuple[Server, ...]
    in_effect: InEffect


@dataclass(frozen=True, slots=True)
class Traits:
    """What distinguishes an actuator."""

    reaches: Callable[[Move], bool]
    """Whether it alone puts a change in force on every server."""
    reloads: bool = False
    """Whether the model is loaded anew: that is what guardrails limit and what is drained for."""
    annotates: bool = False
    """Whether the bound is written where the live cap reads it."""
    loads: bool = False
    """Whether Triton is told to load a configuration."""
    keeps_bound: bool = False
    """Whether what is loaded keeps the bound that was loaded before, whatever is capped."""
    settles_s: float = 0.0
    """For so long after the change batches may still be formed as before."""


def _capped(move: Move) -> bool:
    """Whether the cap alone puts it in force.

    What each server was loaded with counts: preferred sizes beyond a cap show only once it is
    raised.
    """
    return bool(move.servers) and all(_reached_by_cap(server, move) for server in move.servers)


def _reached_by_cap(server: Server, move: Move) -> bool:
    cap, bound = server.live_cap, move.after.max_batch_size
    if cap is None or bound > cap.largest:
        return False
    capped = move.in_effect(cap.loaded.with_(max_batch_size=bound))
    instances = capped.instances if server.instances_known else move.after.instances
    return capped.with_(instances=instances) == move.after


def _instances_alone(move: Move) -> bool:
    same = move.before.with_(instances=move.after.instances) == move.after
    return same and all(server.in_place for server in move.servers)


def _anything(_: Move) -> bool:
    return True


#: From a pod's annotation to batches under the new bound: the kubelet projects it within about a
#: second, the library looks every 100 ms, and what was batched before is executed first.
_LIVE_CAP_SETTLES_S: Final = 2.0
#: Cheapest first.
ACTUATORS: Final[Mapping[Actuator, Traits]] = {
    "LiveCap": Traits(reaches=_capped, annotates=True, settles_s=_LIVE_CAP_SETTLES_S),
    "InPlace": Traits(reaches=_instances_alone, loads=True, keeps_bound=True),
    "Reload": Traits(reaches=_anything, reloads=True, annotates=True, loads=True),
}


def cheapest(
    before: Batching,
    after: Batching,
    servers: tuple[Server, ...] = (),
    in_effect: InEffect = Batching.canonical,
) -> Actuator:
    """Return the cheapest way to make a change on all of these servers."""
    move = Move(before, after, servers, in_effect)
    return next(name for name, traits in ACTUATORS.items() if traits.reaches(move))
