"""Line charts as small SVG files."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 240
LEFT: Final = 48
RIGHT: Final = 150
TOP: Final = 28
BOTTOM: Final = 30
#: Points of a line: more are averaged.
POINTS: Final = 100
COLOURS: Final = ("#888888", "#1b6ca8", "#c8553d", "#3c8d40", "#8d5fb0", "#c9a227")
_TICKS: Final = 4
_LINE_PX: Final = 15


def chart(
    title: str,
    lines: Mapping[str, Sequence[float]],
    unit: str,
    *,
    over: str = "window",
    at: Sequence[object] = (),
) -> str:
    """Return a chart of series of equal length over windows; what is named last lies on top.

    Points that are no windows are ``over`` something else, and ``at`` names each of them.
    """
    count = max((len(values) for values in lines.values()), default=0)
    most = max((max(values, default=0.0) for values in lines.values()), default=0.0) or 1.0
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 16, title),
        *_axes(most),
        *_across(at or _windows(count)),
        _text(LEFT, HEIGHT - 3, f"{over}; {unit}"),
    ]
    for number, (name, values) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = f'fill="none" stroke="{colour}" stroke-width="1.4"'
        parts.append(f'<polyline {line} points="{_points(values, most)}"/>')
        parts.append(_text(WIDTH - RIGHT + 8, TOP + 10 + number * _LINE_PX, name, fill=colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes(most: float) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in range(_TICKS + 1):
        y = bottom - (bottom - TOP) * tick // _TICKS
        parts += [
            f'<line x1="{LEFT}" y1="{y}" x2="{right}" y2="{y}" stroke="#dddddd"/>',
            _text(LEFT - 4, y + 4, f"{most * tick / _TICKS:.3g}", anchor="end"),
        ]
    return parts


def _windows(count: int) -> list[object]:
    return [count * tick // _TICKS for tick in range(_TICKS + 1)]


def _across(names: Sequence[object]) -> list[str]:
    width, spaces = WIDTH - RIGHT - LEFT, max(1, len(names) - 1)
    return [
        _text(LEFT + width * i // spaces, HEIGHT - BOTTOM + 14, f"{name}", anchor="middle")
        for i, name in enumerate(names)
    ]


def _text(x: int, y: int, words: str, *, anchor: str = "start", fill: str = "#222222") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'


def _points(values: Sequence[float], most: float) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    thinned = thin(values)
    step = (right - LEFT) / max(1, len(thinned) - 1)
    return " ".join(
        f"{LEFT + i * step:.1f},{bottom - (bottom - TOP) * value / most:.1f}"
        for i, value in enumerate(thinned)
    )


def thin(values: Sequence[float]) -> list[float]:
    """Return means of neighbours where there are more than a chart has points."""
    every = max(1, -(-len(values) // POINTS))
    groups = (values[i : i + every] for i in range(0, len(values), every))
    return [sum(group) / len(group) for group in groups]
