"""From a fleet to the problem: on which node types each model could be served, at what cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from ferryman.api.conditions import Reason
from ferryman.core.fleet.fleet import Fleet, FleetModel, FleetNodeType, FleetProcessor
from ferryman.core.fleet.guide import Key, guide, scaled
from ferryman.core.fleet.problem import (
    Amounts,
    ModelDemand,
    NodePool,
    Option,
    Part,
    PlacementProblem,
)
from ferryman.core.fleet.sizing import Size, TooSlow, size

A = TypeVar("A", Size, TooSlow)
Curve = tuple[float, ...]
"""tau(1), tau(2), … in milliseconds."""

#: An option that moves a model counts so many times its cost.
MOVE_FACTOR: Final = 1.2
#: What needs more replicas than this on a node type is not placed there.
MAX_REPLICAS: Final = 10_000
CPU: Final = "cpu"
MEMORY: Final = "memory"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a node type is no option for a model."""

    node_type: str
    processor: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class FleetPlace:
    """A processor class on a node type, and what one node of the type has."""

    kind: FleetNodeType
    processor: FleetProcessor
    has: Amounts


@dataclass(frozen=True, slots=True)
class Offers:
    """What each model was found to need where it could be served, and where it could not."""

    problem: PlacementProblem
    sizes: Mapping[str, Mapping[Key, Size]]
    """By model, and by node type and processor class: one for each option."""
    refused: Mapping[str, tuple[Refused, ...]]
    """By model."""


def offers(fleet: Fleet, *, priced: bool) -> Offers:
    """Return the placement problem of a fleet, and what its options stand for.

    A cost is the share of a node that a model takes, or, ``priced``, the price of that share.
    Raises ValueError when a price is missing then.
    """
    places = {
        (kind.name, processor.processor_class): FleetPlace(kind, processor, _amounts(kind))
        for kind in fleet.node_types
        for processor in kind.processors
    }
    speeds = {
        key: place.processor.images_per_second
        for key, place in places.items()
        if place.processor.images_per_second
    }
    answers = {model.name: dict(_answers(model, places, speeds)) for model in fleet.models}
    sizes = {name: _of(Size, own) for name, own in answers.items()}
    refused = {
        name: tuple(
            Refused(*key, why.reason, why.message) for key, why in _of(TooSlow, own).items()
        )
        for name, own in answers.items()
    }
    prices = {kind.name: (_price(kind) if priced else 1.0) for kind in fleet.node_types}
    demands = tuple(_demand(model, places, sizes[model.name], prices) for model in fleet.models)
    return Offers(PlacementProblem(_node_types(fleet, places), demands), sizes, refused)


def _of(kind: type[A], answers: Mapping[Key, Size | TooSlow]) -> dict[Key, A]:
    return {key: answer for key, answer in answers.items() if isinstance(answer, kind)}


def _demand(
    model: FleetModel,
    places: Mapping[Key, FleetPlace],
    sizes: Mapping[Key, Size],
    prices: Mapping[str, float],
) -> ModelDemand:
    options = (_option(model, places[key], size, prices[key[0]]) for key, size in sizes.items())
    now = model.present
    present = None if now is None else (now.node_type, now.processor_class)
    return ModelDemand(model.name, tuple(options), present, MOVE_FACTOR)


def _node_types(fleet: Fleet, places: Mapping[Key, FleetPlace]) -> tuple[NodePool, ...]:
    has = {node_type: place.has for (node_type, _), place in places.items()}
    return tuple(
        NodePool(kind.name, (has[kind.name],) * kind.count, tuple(_parts(kind, has[kind.name])))
        for kind in fleet.node_types
    )


def _parts(kind: FleetNodeType, has: Amounts) -> Iterator[Part]:
    """Yield the processors that a node has several of: a replica runs on one of them."""
    for processor in kind.processors:
        if processor.count > 1:
            limited = (_time(processor), _memory(processor))
            yield Part(processor.count, tuple(name for name in limited if name in has))


def _answers(
    model: FleetModel, places: Mapping[Key, FleetPlace], speeds: Mapping[Key, float]
) -> Iterator[tuple[Key, Size | TooSlow]]:
    """Return for each place what the model needs there, or why it cannot be served there."""
    measured = dict(_measured(model, places))
    for key, place in places.items():
        yield key, _ruled_out(model, place) or _sized(model, place, _guided(key, measured, speeds))


def _ruled_out(model: FleetModel, place: FleetPlace) -> TooSlow | None:
    name = place.processor.processor_class
    if model.processors and name not in model.processors:
        allowed = ", ".join(model.processors)
        return TooSlow(Reason.PROCESSOR_NOT_ALLOWED, f"the model allows {allowed} only")
    if model.node_types and place.kind.name not in model.node_types:
        allowed = ", ".join(model.node_types)
        return TooSlow(Reason.NODE_TYPE_NOT_ALLOWED, f"the model allows {allowed} only")
    needed, has = model.copies * model.memory_mebibytes, place.processor.memory_mebibytes
    if has and needed > has:
        message = f"{needed:g} MiB for {model.copies} copies, a {name} has {has:g} MiB"
        return TooSlow(Reason.INSUFFICIENT_RESOURCES, message)
    return None


def _sized(model: FleetModel, place: FleetPlace, curve_ms: Curve | None) -> Size | TooSlow:
    if curve_ms is None:
        message = "no reference benchmark tells how fast it is compared to where it was measured"
        return TooSlow(Reason.NOT_BENCHMARKED, message)
    found = size(model.objectives, model.rate_per_second, model.replicas, curve_ms)
    if isinstance(found, TooSlow):
        return found
    if found.replicas > MAX_REPLICAS:
        message = f"{found.replicas:,} replicas needed, no more than {MAX_REPLICAS:,} are placed"
        return TooSlow(Reason.NEEDS_CAPACITY, message)
    lack = _lack(_uses(model, place, found), place.has)
    return TooSlow(Reason.INSUFFICIENT_RESOURCES, lack) if lack else found


def _measured(model: FleetModel, places: Mapping[Key, FleetPlace]) -> Iterator[tuple[Key, Curve]]:
    """Return where the model was measured, and its service times there in milliseconds."""
    for time in model.service_times:
        bound = int(min(model.max_batch_size, time.largest))
        name = time.processor_class or _only_class(time.node_type, places)
        yield (time.node_type, name), time.curve_ms(bound)


def _only_class(node_type: str, places: Mapping[Key, FleetPlace]) -> str:
    return next(processor for name, processor in places if name == node_type)


def _guided(key: Key, measured: Mapping[Key, Curve], speeds: Mapping[Key, float]) -> Curve | None:
    """Return how long batches take somewhere, scaled where that was not measured."""
    found = guide(key, measured, speeds)
    return None if found is None else tuple(scaled(ms, found[1]) for ms in measured[found[0]])


def _option(model: FleetModel, place: FleetPlace, found: Size, price: float) -> Option:
    uses = _uses(model, place, found)
    share = max(amount / place.has[name] for name, amount in uses.items() if amount)
    cost = found.replicas * share * price
    name = place.processor.processor_class
    return Option(place.kind.name, name, found.replicas, uses, cost)


def _amounts(kind: FleetNodeType) -> Amounts:
    """Return what one node has, of what the fleet states."""
    own = {CPU: kind.cpu, MEMORY: kind.memory_mebibytes}
    found = {name: amount for name, amount in own.items() if amount is not None}
    for processor in kind.processors:
        found[_time(processor)] = float(processor.count)
        if processor.memory_mebibytes:
            found[_memory(processor)] = processor.count * processor.memory_mebibytes
    return found


def _uses(model: FleetModel, place: FleetPlace, found: Size) -> Amounts:
    """Return what one replica uses, of what is limited on the node type."""
    processor = place.processor
    uses = {
        _time(processor): 1.0 if processor.exclusive else found.time,
        _memory(processor): model.copies * model.memory_mebibytes,
        CPU: model.cpu,
        MEMORY: model.host_memory_mebibytes,
    }
    return {name: amount for name, amount in uses.items() if amount and name in place.has}


def _time(processor: FleetProcessor) -> str:
    return f"{processor.processor_class} time"


def _memory(processor: FleetProcessor) -> str:
    return f"{processor.processor_class} memory"


def _lack(uses: Amounts, has: Amounts) -> str | None:
    """Return what an empty node has too little of."""
    short = [name for name, amount in uses.items() if amount > has[name]]
    if not short:
        return None
    name = short[0]
    return f"needs {in_words(name, uses[name])}, a node has {has[name]:g}"


def in_words(name: str, amount: float) -> str:
    """Return an amount of a resource with its unit, for people."""
    unit = "MiB of " if name.endswith(MEMORY) else ""
    return f"{amount:.6g} {unit}{name}"


def _price(kind: FleetNodeType) -> float:
    if kind.price_per_hour is None:
        raise ValueError(f"nodeTypes: {kind.name} has no pricePerHour: state it to go by prices")
    return kind.price_per_hour
