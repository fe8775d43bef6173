"""How load performance tables look."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from ferryman.api.node_profile import Benchmark, BenchmarkPoint
from ferryman.cli.tables import Column, Listing

NOTHING: Final = "-"
_COLUMNS: Final = ("BATCH", "IMAGES/S", "± (95 %)", "P50 MS", "P99 MS", "ROUNDS", "ENDED")


def show(tables: Iterable[Benchmark], console: Console) -> None:
    """Print each table with where and when it was measured, and what is amiss with it."""
    for table in tables:
        for line in _head(table):
            console.print(Text(line), soft_wrap=True)
        if table.points:
            console.print(_rows(table.points))


def _head(table: Benchmark) -> Iterator[str]:
    driver = f", driver {table.driver}" if table.driver else ""
    sharing = f", {table.sharing}" if table.sharing else ""
    under = f"under {table.runtime} ({table.image}{driver}{sharing})"
    yield f"{table.node_type} {table.processor_class} {under}"
    yield f"measured on {table.measured_on}, {table.measured_at}; {_instances(table)}"
    if table.error:
        rows = "; the rows are of an earlier one" if table.points else ""
        yield f"the measurement failed: {table.error}{rows}"
    if table.note:
        yield table.note


def _instances(table: Benchmark) -> str:
    if table.max_instances is None:
        return "how many instances are of use was not measured"
    return f"up to {table.max_instances} instances are of use"


def _rows(points: Sequence[BenchmarkPoint]) -> Listing:
    shown = Listing((Column(name, right=True) for name in _COLUMNS), lines=False)
    for point in points:
        shown.add(*_cells(point))
    return shown


def _cells(point: BenchmarkPoint) -> Iterator[str]:
    width = point.images_per_second_half_width
    yield str(point.batch_size)
    yield f"{point.images_per_second:g}"
    yield NOTHING if width is None else f"{width:.2g}"
    yield f"{point.latency_p50_milliseconds:g}"
    yield f"{point.latency_p99_milliseconds:g}"
    yield str(point.rounds or NOTHING)
    yield point.ended or NOTHING
