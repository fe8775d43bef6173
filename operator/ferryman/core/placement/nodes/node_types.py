"""Node types as a whole: what their nodes have in common, and how busy they are together."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from pydantic import Field

from ferryman.api.base import ApiType
from ferryman.api.node_profile import Benchmark, Processor
from ferryman.core.placement import fit
from ferryman.core.placement.load_tables import precedence
from ferryman.core.snapshot import NodeView


class Spread(ApiType):
    """A share from 0 to 1 over the nodes of a type that know it; None where none does."""

    least: float | None = None
    mean: float | None = None
    unknown: int = 0
    """Nodes that do not know it."""


class ProcessorSummary(ApiType):
    """The processors of one class on the nodes of one type."""

    processor: Processor
    """As one node has them: peers have the same. Without utilisation."""
    utilisation: Spread
    memory_utilisation: Spread
    unavailable: tuple[str, ...] = ()
    """Why it must not be used, one sentence for each node where that is so."""
    benchmarks: tuple[Benchmark, ...] = ()
    """The load performance tables, by runtime."""


class NodeTypeSummary(ApiType):
    """All nodes with one hardware fingerprint."""

    name: str
    """"" stands for nodes that no agent has reported from."""
    nodes: tuple[str, ...]
    usable_nodes: int
    """Nodes that are ready, and not cordoned."""
    taints: tuple[str, ...] = ()
    """Of usable nodes: what serves there must tolerate them."""
    price_per_hour: float | None = None
    """Of one node; the least where nodes differ, None where nobody said."""
    processors: tuple[ProcessorSummary, ...] = ()
    free: dict[str, int] = Field(default_factory=dict)
    """On usable nodes together, in millicores (cpu), bytes (memory) and devices: what is
    allocatable less what Ferryman's models reserve, as placement counts."""
    largest_free: dict[str, int] = Field(default_factory=dict)
    """The most of each that one of them has free."""


def summarise(nodes: Iterable[NodeView]) -> tuple[NodeTypeSummary, ...]:
    """Return the node types by name; nodes without a profile come last, as the type ""."""
    by_type: dict[str, list[NodeView]] = {}
    for node in sorted(nodes, key=lambda node: node.name):
        by_type.setdefault(node.node_type, []).append(node)
    names = sorted(by_type, key=lambda name: (not name, name))
    return tuple(_node_type(name, by_type[name]) for name in names)


def _node_type(name: str, peers: Sequence[NodeView]) -> NodeTypeSummary:
    usable = [node for node in peers if node.ready]
    resources = sorted({resource for node in usable for resource in _resources(node)})
    free = {resource: [fit.free(node, resource) for node in usable] for resource in resources}
    prices = [node.price_per_hour for node in peers if node.price_per_hour is not None]
    return NodeTypeSummary(
        name=name,
        nodes=tuple(node.name for node in peers),
        usable_nodes=len(usable),
        taints=tuple(sorted({taint for node in usable for taint in node.taints})),
        price_per_hour=min(prices, default=None),
        processors=tuple(_processors(name, peers)),
        free={resource: sum(amounts) for resource, amounts in free.items()},
        largest_free={resource: max(amounts) for resource, amounts in free.items()},
    )


def _resources(node: NodeView) -> list[str]:
    """Return what models can ask for: CPU, memory, and devices, which alone have a domain."""
    return [name for name in node.allocatable if name in {"cpu", "memory"} or "/" in name]


def _processors(name: str, peers: Sequence[NodeView]) -> Iterable[ProcessorSummary]:
    found = [
        (node.name, processor)
        for node in peers
        if node.profile is not None
        for processor in node.profile.processors
    ]
    for kind in sorted({processor.processor_class for _, processor in found}):
        own = [(node, one) for node, one in found if one.processor_class == kind]
        yield ProcessorSummary(
            processor=own[0][1].with_(
                utilisation=None, memory_utilisation=None, unavailable=None, unavailable_count=None
            ),
            utilisation=_spread([one.utilisation for _, one in own]),
            memory_utilisation=_spread([one.memory_utilisation for _, one in own]),
            unavailable=tuple(_unavailable(node, one) for node, one in own if one.unavailable),
            benchmarks=_tables(name, kind, peers),
        )


def _unavailable(node: str, one: Processor) -> str:
    """Say why a node's processors are out of use, and how many of them where others are left."""
    out = one.unavailable_count
    part = f"{out} of {one.count}, " if out is not None and out < one.count else ""
    return f"{node}: {part}{one.unavailable}"


def _spread(values: Sequence[float | None]) -> Spread:
    known = [value for value in values if value is not None]
    return Spread(
        least=min(known, default=None),
        mean=round(fmean(known), 3) if known else None,
        unknown=len(values) - len(known),
    )


def _tables(node_type: str, kind: str, peers: Sequence[NodeView]) -> tuple[Benchmark, ...]:
    """Return the newest table per runtime: peers share them, but not all in the same moment."""
    by_runtime: defaultdict[str, list[Benchmark]] = defaultdict(list)
    tables = [
        table
        for node in peers
        if node.profile is not None
        for table in node.profile.benchmarks
        if (table.node_type, table.processor_class) == (node_type, kind)
    ]
    for table in tables:
        by_runtime[table.runtime].append(table)
    return tuple(max(by_runtime[runtime], key=precedence) for runtime in sorted(by_runtime))
