"""A whole fleet as a file states it: node types and models, for ``ferryman place``.

The format is described in docs/fleet-format.md.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from ferryman.api.base import ApiType
from ferryman.api.batching import MAX_BATCH_SIZE
from ferryman.api.objectives import Objectives
from ferryman.api.scalars import ProcessorClass
from ferryman.core.queue_model.service_curve import Coefficients, Knot, curve_ms, must_be_a_curve

#: Of all types together.
MAX_NODES: Final = 100_000

#: No batch takes less: what is smaller is a slip of units, and out of range when scaled.
SHORTEST_MS: Final = 1e-6

Word = Annotated[str, Field(min_length=1, max_length=253)]
Positive = Annotated[float, Field(ge=1e-6, le=1e12)]
Amount = Annotated[float, Field(ge=0, le=1e12)]


class FleetProcessor(ApiType):
    """All processors of one class on a node of the type."""

    processor_class: Annotated[ProcessorClass, Field(alias="class")]
    count: Annotated[int, Field(ge=1, le=1024)] = 1
    memory_mebibytes: Amount = 0.0
    """Of one processor. Where a model says what it needs, there must be room for it."""
    exclusive: bool = False
    """Whether a replica takes a whole processor, as with a device that is not shared."""
    images_per_second: Positive | None = None
    """The reference benchmark: ResNet50 at the best batch size. It scales service times that
    were measured on other node types."""


class FleetNodeType(ApiType):
    """Nodes with the same hardware."""

    name: Word
    count: Annotated[int, Field(ge=0, le=100_000)]
    price_per_hour: Amount | None = None
    """Of one node, in any currency; needed for the policy Cheapest."""
    cpu: Amount | None = None
    """Cores that models may request on a node; absent: not looked at."""
    memory_mebibytes: Amount | None = None
    """Memory that models may request on a node; absent: not looked at."""
    processors: Annotated[tuple[FleetProcessor, ...], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        classes = [each.processor_class for each in self.processors]
        if len(set(classes)) < len(classes):
            raise ValueError("each class may be there once: state its count instead")
        return self


class MeasuredTime(ApiType):
    """How long a batch takes on a node type: knots with straight lines between, or a formula."""

    node_type: Word
    processor_class: Annotated[ProcessorClass | None, Field(alias="class")] = None
    """May be absent where the node type has one class only."""
    knots: Annotated[tuple[Knot, ...], Field(max_length=4096)] | None = None
    coefficients: Coefficients | None = None

    @model_validator(mode="after")
    def _is_a_curve(self) -> Self:
        must_be_a_curve(self.knots, self.coefficients)
        shortest_ms = min(k.milliseconds for k in self.knots) if self.knots else self.curve_ms(1)[0]
        if shortest_ms < SHORTEST_MS:
            raise ValueError(f"a batch takes at least {SHORTEST_MS:f} ms")
        return self

    @property
    def largest(self) -> float:
        """The largest batch size that was measured; infinite for a formula."""
        return self.knots[-1].batch_size if self.knots else inf

    def curve_ms(self, bound: int) -> tuple[float, ...]:
        """Return tau(1), …, tau(bound) in milliseconds; beyond the last knot, what it says."""
        return curve_ms(self.knots, self.coefficients, bound)


class Spot(ApiType):
    """A processor class on a node type."""

    node_type: Word
    processor_class: Annotated[ProcessorClass, Field(alias="class")]


class FleetModel(ApiType):
    """A model, what is asked of it, and what is known of its cost."""

    name: Word
    rate_per_second: Positive
    """Inferences that are asked for, by all clients together."""
    objectives: Objectives
    replicas: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Absent: the least number that meets the objectives."""
    memory_mebibytes: Amount = 0.0
    """Of one copy on the processor."""
    copies: Annotated[int, Field(ge=1, le=4)] = 2
    """Copies that must fit at once: Triton holds two while it reloads a model."""
    cpu: Amount = 0.0
    """Cores that a replica requests."""
    host_memory_mebibytes: Amount = 0.0
    """Memory of the node that a replica requests."""
    max_batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)] = 128
    processors: Annotated[tuple[ProcessorClass, ...], Field(max_length=16)] = ()
    """Allowed processor classes; empty allows all."""
    node_types: Annotated[tuple[Word, ...], Field(max_length=1024)] = ()
    """Allowed node types; empty allows all."""
    service_times: Annotated[tuple[MeasuredTime, ...], Field(min_length=1, max_length=1024)]
    """Where it was measured. Elsewhere it is predicted by the reference benchmark."""
    present: Spot | None = None
    """Where it is served now: to move it counts as a cost."""

    @model_validator(mode="after")
    def _has_an_objective(self) -> Self:
        if self.objectives.latency is None and self.objectives.throughput is None:
            raise ValueError("objectives: state latency, throughput or both")
        return self


class Fleet(ApiType):
    """Everything that decides where models go."""

    node_types: Annotated[tuple[FleetNodeType, ...], Field(min_length=1, max_length=1024)]
    models: Annotated[tuple[FleetModel, ...], Field(max_length=100_000)]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        kinds = {kind.name: kind for kind in self.node_types}
        _must_differ("nodeTypes", [kind.name for kind in self.node_types])
        _must_differ("models", [model.name for model in self.models])
        if sum(kind.count for kind in self.node_types) > MAX_NODES:
            raise ValueError(f"nodeTypes: more than {MAX_NODES} nodes")
        for index, model in enumerate(self.models):
            _check(f"models[{index}]", model, kinds)
        return self


def _must_differ(where: str, names: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            raise ValueError(f"{where}[{index}].name: {name} is that of {where}[{seen[name]}], too")
        seen[name] = index


def _check(where: str, model: FleetModel, kinds: Mapping[str, FleetNodeType]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, time in enumerate(model.service_times):
        place = f"{where}.serviceTimes[{index}]"
        key = time.node_type, _class(place, time.node_type, time.processor_class, kinds)
        if key in seen:
            raise ValueError(f"{place}: {key[1]} on {key[0]} is there twice")
        seen.add(key)
    for index, name in enumerate(model.node_types):
        if name not in kinds:
            raise ValueError(f"{where}.nodeTypes[{index}]: there is no node type {name}")
    if model.present is not None:
        spot = model.present
        _class(f"{where}.present", spot.node_type, spot.processor_class, kinds)


def _class(where: str, name: str, processor: str | None, kinds: Mapping[str, FleetNodeType]) -> str:
    """Return the class that is meant. Raises ValueError where there is none, or more than one."""
    if name not in kinds:
        raise ValueError(f"{where}.nodeType: there is no node type {name}")
    classes = [each.processor_class for each in kinds[name].processors]
    if processor is None and len(classes) > 1:
        raise ValueError(f"{where}.class: state it, {name} has {', '.join(classes)}")
    if processor is not None and processor not in classes:
        raise ValueError(f"{where}.class: {name} has no {processor}, only {', '.join(classes)}")
    return processor or classes[0]
