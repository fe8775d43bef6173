"""Which node types could serve a model, and why the others could not.

A candidate is a node type with one processor class. It can serve when one of its nodes passes
every filter. Otherwise the refusal of the node that came furthest is shown: it names what is
missing last.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from ferryman.api import quantity
from ferryman.api.inference_runtime import InferenceRuntime, RuntimeProcessor
from ferryman.api.node_profile import Benchmark, NodeProfileStatus, Processor
from ferryman.core import times
from ferryman.core.filters import Place, Question, Refusal, permits, refuse
from ferryman.core.snapshot import NodeView
from ferryman.core.workload import Contender, Load, seconds_per_image, share


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
    node: str | None = None
    """The node that the refusal is about, where it is about one."""

    @property
    def kind(self) -> tuple[str, str]:
        """The node type and the processor class."""
        return self.node_type, self.processor


@dataclass(frozen=True, slots=True)
class _Sight:
    """A processor that some node has."""

    node: NodeView
    profile: NodeProfileStatus
    processor: Processor

    @property
    def kind(self) -> tuple[str, str]:
        return self.profile.node_type, self.processor.processor_class


def find(question: Question, nodes: Iterable[NodeView]) -> tuple[Candidate, ...]:
    """Return all candidates among the nodes that have a profile, sorted by name."""
    sights = sorted(
        (
            _Sight(node, node.profile, processor)
            for node in nodes
            if node.profile is not None and node.profile.node_type
            for processor in node.profile.processors
        ),
        key=lambda sight: (sight.kind, sight.node.name),
    )
    kinds = groupby(sights, key=lambda sight: sight.kind)
    return tuple(_candidate(question, list(of_a_kind)) for _, of_a_kind in kinds)


def _candidate(question: Question, sights: list[_Sight]) -> Candidate:
    node_type, processor = sights[0].kind
    product = sights[0].processor.product
    ruled_out = permits(question.model, question.runtime, processor)
    entry = question.runtime.processor(processor)
    if ruled_out is not None or entry is None:
        return Candidate(node_type, processor, product, refusal=ruled_out)
    table = _table(question.runtime, entry, sights)
    places = [Place(s.node, s.profile, s.processor, entry, table) for s in sights]
    answers = [(place, *refuse(question, place)) for place in places]
    fitting = [place for place, _, refusal in answers if refusal is None]
    if fitting and table is not None:
        contender = Contender(
            node_type=node_type,
            processor=processor,
            seconds_per_image=seconds_per_image(table.points),
            loads=tuple(map(_load, fitting)),
        )
        return Candidate(node_type, processor, product, tuple(fitting), table, contender)
    # max takes the first of those that came furthest: places are sorted by node name.
    place, _, refusal = max(answers, key=lambda answer: answer[1])
    return Candidate(
        node_type, processor, product, table=table, refusal=refusal, node=place.node.name
    )


def _table(
    runtime: InferenceRuntime, entry: RuntimeProcessor, sights: list[_Sight]
) -> Benchmark | None:
    """Return what any node of the type has measured under this runtime and image.

    The newest table with rows counts; a failure is shown where there is nothing better.
    """
    tables = [
        table
        for sight in sights
        for table in sight.profile.benchmarks
        if (table.node_type, table.processor_class) == sight.kind
        and (table.runtime, table.image) == (runtime.name, entry.image)
    ]
    return max(tables, key=lambda t: (bool(t.points), times.parse(t.measured_at)), default=None)


def _load(place: Place) -> Load:
    """Return how busy the processor is, with what was placed there moments ago added.

    Utilisation shows a new pod only after a while; without this, models created together would
    all go to the node that was idle when the first of them came.
    """
    node, processor = place.node, place.processor
    cpu_millicores = quantity.to_millicores(node.allocatable.get("cpu", 0))
    memory_bytes = quantity.to_units(node.allocatable.get("memory", 0))
    return Load(
        node=node.name,
        memory=share(
            processor.memory_utilisation, node.in_flight_memory_bytes / max(1, memory_bytes)
        ),
        utilisation=share(
            processor.utilisation, node.in_flight_cpu_millicores / max(1, cpu_millicores)
        ),
    )
