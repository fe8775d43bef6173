"""Which node types could serve a model, and why the others could not.

A candidate is a node type with one processor class. It can serve when one of its nodes passes
every filter. Otherwise the refusal of the node that came furthest is shown: it names what is
missing last.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import NamedTuple

from ferryman.api import quantity
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime, RuntimeProcessor
from ferryman.api.node_profile import Benchmark, NodeProfileStatus, Processor
from ferryman.core.placement import fit, load_tables
from ferryman.core.placement.filters import (
    FilterContext,
    Place,
    first_refusal,
    unusable,
    why_forbidden,
)
from ferryman.core.placement.refusal import Refusal
from ferryman.core.placement.workload import Contender, Utilisation, known_share, seconds_per_image
from ferryman.core.snapshot import NodeView


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node type with one processor class: a contender, or refused."""

    node_type: str
    processor: str
    product: str
    places: tuple[Place, ...] = ()
    """Where it fits; none where it is refused."""
    table: Benchmark | None = None
    """What was measured for the type, also where it is refused by its nodes."""
    contender: Contender | None = None
    refusal: Refusal | None = None
    room: int = 0
    """Replicas that its nodes have room for together; no more than the model has are counted."""
    node: str | None = None
    """The node that the refusal is about, where it is about one."""

    @property
    def kind(self) -> tuple[str, str]:
        """The node type and the processor class."""
        return self.node_type, self.processor


class _Sight(NamedTuple):
    """A processor that some node has."""

    node: NodeView
    profile: NodeProfileStatus
    processor: Processor


def replicas(model: InferenceModel) -> int:
    """Return the replicas to find room for: a model that is scaled to zero will come back."""
    return max(1, model.replicas)


def find(question: FilterContext, nodes: Iterable[NodeView]) -> tuple[Candidate, ...]:
    """Return all candidates among the nodes that have a profile, sorted by name.

    Where one has room for all replicas, those that have not are refused.
    """
    kinds: defaultdict[tuple[str, str], list[_Sight]] = defaultdict(list)
    for node in sorted(nodes, key=attrgetter("name")):
        profile = node.profile
        if profile is not None and profile.node_type:
            for processor in profile.processors:
                kind = profile.node_type, processor.processor_class
                kinds[kind].append(_Sight(node, profile, processor))
    found = tuple(_candidate(question, kind, kinds[kind]) for kind in sorted(kinds))
    wanted = replicas(question.model)
    if not any(candidate.room >= wanted for candidate in found):
        return found
    return tuple(_whole_or_refused(candidate, wanted) for candidate in found)


def _whole_or_refused(candidate: Candidate, wanted: int) -> Candidate:
    if not candidate.places or candidate.room >= wanted:
        return candidate
    message = f"{candidate.node_type} has room for {candidate.room} of {wanted} replicas"
    refusal = Refusal(Reason.INSUFFICIENT_RESOURCES, message)
    return replace(candidate, places=(), contender=None, refusal=refusal)


def _room(question: FilterContext, entry: RuntimeProcessor, places: Sequence[Place]) -> int:
    wanted, room = replicas(question.model), 0
    spec = question.model.spec
    requests = fit.requested(spec.resources, entry, spec.devices)
    for place in places:
        room += fit.copies(place.node, requests)
        if room >= wanted:
            return wanted
    return room


def _candidate(question: FilterContext, kind: tuple[str, str], sights: list[_Sight]) -> Candidate:
    node_type, processor = kind
    product = sights[0].processor.product
    ruled_out = why_forbidden(question.model, question.runtime, processor)
    entry = question.runtime.processor(processor)
    if ruled_out is not None or entry is None:
        return Candidate(node_type, processor, product, refusal=ruled_out)
    table = _table(question.runtime, entry, kind, sights)
    why_not = unusable(question.runtime, entry, table)
    places = [Place(s.node, s.profile, s.processor, entry, why_not) for s in sights]
    answers = [(place, *first_refusal(question, place)) for place in places]
    fitting = [place for place, _, refusal in answers if refusal is None]
    if fitting and table is not None:
        contender = Contender(
            node_type=node_type,
            processor=processor,
            seconds_per_image=seconds_per_image(table.points),
            loads=tuple(map(_load, fitting)),
        )
        room = _room(question, entry, fitting)
        return Candidate(node_type, processor, product, tuple(fitting), table, contender, room=room)
    # max takes the first of those that came furthest: places are sorted by node name.
    place, _, refusal = max(answers, key=lambda answer: answer[1])
    return Candidate(
        node_type, processor, product, table=table, refusal=refusal, node=place.node.name
    )


def _table(
    runtime: InferenceRuntime, entry: RuntimeProcessor, kind: tuple[str, str], sights: list[_Sight]
) -> Benchmark | None:
    """Return what any node of the type has measured under this runtime and image."""
    return load_tables.newest(
        table
        for sight in sights
        for table in sight.profile.benchmarks
        if (table.node_type, table.processor_class) == kind
        and (table.runtime, table.image) == (runtime.name, entry.image)
    )


def _load(place: Place) -> Utilisation:
    """Return how busy the processor is, with what was placed there moments ago added.

    Utilisation shows a new pod only after a while; without this, models created together would
    all go to the node that was idle when the first of them came.
    """
    node, processor = place.node, place.processor
    if not node.in_flight_cpu_millicores and not node.in_flight_memory_bytes:
        return Utilisation(
            node.name,
            known_share(processor.memory_utilisation),
            known_share(processor.utilisation),
        )
    cpu_millicores = quantity.to_millicores(node.allocatable.get("cpu", 0))
    memory_bytes = quantity.to_units(node.allocatable.get("memory", 0))
    return Utilisation(
        node=node.name,
        memory=known_share(
            processor.memory_utilisation, node.in_flight_memory_bytes / max(1, memory_bytes)
        ),
        utilisation=known_share(
            processor.utilisation, node.in_flight_cpu_millicores / max(1, cpu_millicores)
        ),
    )
