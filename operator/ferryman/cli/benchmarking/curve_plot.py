"""Throughput and latency against batch size for all node types, as one small SVG file.

All axes are logarithmic: batch sizes double, and processors differ by orders of magnitude.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log2, log10
from typing import Final

from ferryman.api.node_profile import BenchmarkPoint
from ferryman.cli.files import content
from ferryman.core.placement.nodes.node_types import NodeTypeSummary

WIDTH: Final = 960
PANEL_WIDTH: Final = 400
PANEL_HEIGHT: Final = 260
LEFT: Final = 56
TOP: Final = 40
GAP: Final = 64
LEGEND_PX: Final = 16
COLOURS: Final = ("#1b6ca8", "#c8553d", "#3c8d40", "#8d5fb0", "#c9a227", "#3a9ea5", "#777777")
DASHED: Final = ' stroke-dasharray="4 3"'
#: Figures of a decade that get a line of their own.
_STEPS: Final = (1, 2, 5)

Value = Callable[[BenchmarkPoint], float]


@dataclass(frozen=True, slots=True)
class Curve:
    """One load performance table."""

    name: str
    colour: str
    points: Sequence[BenchmarkPoint]


@dataclass(frozen=True, slots=True)
class Panel:
    """A pair of axes: where it stands, and the values at its edges (powers, as exponents)."""

    left: float
    title: str
    largest_batch: float
    low: float
    high: float

    def x(self, batch_size: int) -> float:
        """Return where a batch size is, in pixels."""
        return self.left + PANEL_WIDTH * log2(batch_size) / (self.largest_batch or 1)

    def y(self, value: float) -> float:
        """Return where a value is, in pixels; what lies below the axis is put on it."""
        share = (log10(value) - self.low) / (self.high - self.low) if value > 0 else 0.0
        return TOP + PANEL_HEIGHT * (1 - max(0.0, share))


def plot(types: Iterable[NodeTypeSummary]) -> str:
    """Return the chart. Raises ValueError when there is no load performance table to draw."""
    curves = tuple(_curves(types))
    if not curves:
        raise ValueError("there is nothing to plot: no node type has been measured")
    rates = _panel(LEFT, "images per second (bars: 95 % interval)", curves, (_rate,))
    latencies = _panel(
        LEFT + PANEL_WIDTH + GAP, "latency in ms (line: p50, dashed: p99)", curves, (_p50, _p99)
    )
    height = TOP + PANEL_HEIGHT + 48 + LEGEND_PX * len(curves)
    box = f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_axes(rates),
        *_axes(latencies),
    ]
    for number, curve in enumerate(curves):
        parts += [_line(rates, curve, _rate), *_bars(rates, curve)]
        parts += [_line(latencies, curve, _p50), _line(latencies, curve, _p99, DASHED)]
        y = TOP + PANEL_HEIGHT + 52 + LEGEND_PX * number
        parts.append(_text(LEFT, y, curve.name, fill=curve.colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _rate(point: BenchmarkPoint) -> float:
    return point.images_per_second


def _p50(point: BenchmarkPoint) -> float:
    return point.latency_p50_milliseconds


def _p99(point: BenchmarkPoint) -> float:
    return point.latency_p99_milliseconds


def _curves(types: Iterable[NodeTypeSummary]) -> Iterator[Curve]:
    tables = [
        (f"{kind.name} {table.processor_class} under {table.runtime}", table.points)
        for kind in types
        for summary in kind.processors
        for table in summary.benchmarks
        if table.points
    ]
    for number, (name, points) in enumerate(tables):
        yield Curve(name, COLOURS[number % len(COLOURS)], points)


def _panel(left: float, title: str, curves: Sequence[Curve], values: Sequence[Value]) -> Panel:
    points = [point for curve in curves for point in curve.points]
    shown = [value(point) for point in points for value in values]
    low, high = floor(log10(min(shown))), ceil(log10(max(shown)))
    largest = max(point.batch_size for point in points)
    return Panel(left, title, log2(largest), low, high if high > low else low + 1)


def _axes(panel: Panel) -> Iterator[str]:
    right, bottom = panel.left + PANEL_WIDTH, TOP + PANEL_HEIGHT
    yield _text(panel.left, TOP - 14, panel.title)
    for value in _ticks(panel):
        y = panel.y(value)
        yield _rule(panel.left, y, right, y)
        yield _text(panel.left - 5, y + 4, f"{value:g}", anchor="end")
    for power in range(floor(panel.largest_batch) + 1):
        x = panel.x(2**power)
        yield _rule(x, TOP, x, bottom)
        yield _text(x, bottom + 15, str(2**power), anchor="middle")
    yield _text(panel.left, bottom + 30, "batch size")


def _ticks(panel: Panel) -> Iterator[float]:
    for power in range(round(panel.low), round(panel.high)):
        yield from (step * 10.0**power for step in _STEPS)
    yield 10.0**panel.high


def _line(panel: Panel, curve: Curve, value: Value, style: str = "") -> str:
    where = " ".join(
        f"{panel.x(point.batch_size):.1f},{panel.y(value(point)):.1f}" for point in curve.points
    )
    drawn = f'fill="none" stroke="{curve.colour}" stroke-width="1.6"{style}'
    return f'<polyline {drawn} points="{where}"/>'


def _bars(panel: Panel, curve: Curve) -> Iterator[str]:
    """Draw each throughput's interval; a dot alone where none is known."""
    for point in curve.points:
        x, width = panel.x(point.batch_size), point.images_per_second_half_width or 0.0
        y = panel.y(point.images_per_second)
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{curve.colour}"/>'
        if width:
            high = panel.y(point.images_per_second + width)
            low = panel.y(point.images_per_second - width)
            yield _rule(x, high, x, low, stroke=curve.colour)


def _rule(x1: float, y1: float, x2: float, y2: float, *, stroke: str = "#dddddd") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{stroke}"/>'


def _text(x: float, y: float, words: str, *, anchor: str = "start", fill: str = "#222222") -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {where} fill="{fill}">{content.xml(words)}</text>'
