"""How node types look: a table for people, JSON for programs."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ferryman.api.node_profile import Benchmark, BenchmarkPoint, Processor
from ferryman.cli.tables import Column, Listing
from ferryman.core.placement.nodes.node_types import NodeTypeSummary, Spread
from ferryman.core.triton import advisories

NOTHING = "-"
NO_PROFILE = "(no profile)"
_COLUMNS = (
    Column("NODE TYPE"),
    Column("NODES", fold=8),
    Column("PROCESSOR", fold=20),
    Column("RUNTIME"),
    Column("PEAK"),
    Column("MEASURED", fold=16),
    Column("UTILISATION", fold=11),
    Column("MEMORY", fold=11),
    Column("FREE", fold=16),
)


def as_json(types: Iterable[NodeTypeSummary]) -> dict[str, Any]:
    """Return all that is known of the node types, with the API's field names."""
    return {"nodeTypes": [kind.as_dict() for kind in types]}


def show(types: Sequence[NodeTypeSummary], console: Console) -> None:
    """Print one row for each node type, processor class and runtime, and what is amiss."""
    if not types:
        console.print("no nodes")
        return
    table = Listing(_COLUMNS, lines=False)
    for kind in types:
        for row in _rows(kind):
            table.add(*row)
    console.print(table)
    for line in remarks(types):
        console.print(Text(line), soft_wrap=True)


def remarks(types: Iterable[NodeTypeSummary]) -> Iterator[str]:
    """Yield what a person should know besides: failures, notes, processors that are out."""
    for kind in types:
        if kind.taints:
            name = kind.name or NO_PROFILE
            yield f"{name}: tainted {', '.join(kind.taints)}: what serves there must tolerate it"
        for summary in kind.processors:
            where = f"{kind.name} {summary.processor.processor_class}"
            yield from (f"{where}: unavailable on {why}" for why in summary.unavailable)
            for table in summary.benchmarks:
                yield from _table_remarks(f"{where} under {table.runtime}", table)


def _table_remarks(where: str, table: Benchmark) -> Iterator[str]:
    if table.error:
        yield f"{where}: the last measurement failed ({table.measured_at}): {table.error}"
    if table.note:
        yield f"{where}: {table.note}"
    vulnerable = advisories.words(table.image)
    if vulnerable is not None:
        yield f"{where}: {vulnerable}"


def _rows(kind: NodeTypeSummary) -> Iterator[Sequence[str]]:
    head = (kind.name or NO_PROFILE, _nodes(kind))
    free = ", ".join(_amount(name, kind.free[name]) for name in kind.free) or NOTHING
    if not kind.processors:
        yield (*head, *[NOTHING] * 6, free)
    for summary in kind.processors:
        for table in summary.benchmarks or (None,):
            yield (
                *head,
                describe_processor(summary.processor),
                table.runtime if table else NOTHING,
                *_measured(table),
                _spread(summary.utilisation),
                _spread(summary.memory_utilisation),
                free,
            )
            # What belongs to the node type stands in its first row.
            head, free = ("", ""), ""


def _nodes(kind: NodeTypeSummary) -> str:
    count = len(kind.nodes)
    return f"{count}" if kind.usable_nodes == count else f"{kind.usable_nodes} of {count} usable"


def describe_processor(processor: Processor) -> str:
    """Return class, product, number, memory and sharing in words."""
    count = f"{processor.count} x " if processor.count > 1 else ""
    memory = f", {processor.memory_bytes / 2**30:.3g} GiB" if processor.memory_bytes else ""
    sharing = "" if processor.sharing == "none" else f", shared by {processor.sharing}"
    return f"{processor.processor_class}: {count}{processor.product}{memory}{sharing}"


def _measured(table: Benchmark | None) -> tuple[str, str]:
    if table is None:
        return "not measured", NOTHING
    # Of the time the minute is enough here; JSON has all of it.
    when = f"{table.measured_at[:16].replace('T', ' ')} on {table.measured_on}"
    if not table.points:
        return "failed", when
    best = max(table.points, key=lambda point: point.images_per_second)
    return describe_peak(best), when


def describe_peak(point: BenchmarkPoint) -> str:
    """Return a row's throughput, its interval and its batch size in words."""
    width = point.images_per_second_half_width
    interval = "" if width is None else f" ± {width:.2g}"
    return f"{point.images_per_second:g}{interval} images/s at {point.batch_size}"


def _spread(spread: Spread) -> str:
    if spread.least is None or spread.mean is None:
        return "unknown"
    unknown = f" ({spread.unknown} unknown)" if spread.unknown else ""
    return f"{spread.least:.2f} / {spread.mean:.2f}{unknown}"


def _amount(resource: str, amount: int) -> str:
    if resource == "cpu":
        return f"{amount / 1_000:g} CPU"
    return f"{amount / 2**30:.3g} GiB" if resource == "memory" else f"{amount} {resource}"
