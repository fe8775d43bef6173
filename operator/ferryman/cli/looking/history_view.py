"""A decision journal as a table, as a plot in the terminal, and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingChange,
    InferencePipelineStatus,
    StepAssignment,
)
from ferryman.cli.files import content
from ferryman.cli.tables import Column, Listing
from ferryman.core import timestamps
from ferryman.core.wording import describe

_STYLES: Final = {"Applied": "green", "InProgress": "yellow"}
_BARS: Final = " ▁▂▃▄▅▆▇█"
_PLOT_WIDTH: Final = 60
_WIDTH: Final = 640
_HEIGHT: Final = 220
_LEFT: Final = 52
_TOP: Final = 30
_BOTTOM: Final = 34


@dataclass(frozen=True, slots=True)
class Entry:
    """One change."""

    time: str
    before: str
    after: str
    how: str
    reason: str
    message: str
    outcome: str
    bounds: tuple[int, int] | None = None
    """The batch size bound before and after; of pipelines, whose steps have one each, none."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "time": self.time,
            "before": self.before,
            "after": self.after,
            "actuator": self.how,
            "reason": self.reason,
            "message": self.message,
            "outcome": self.outcome,
        }

    @property
    def in_force(self) -> int | None:
        """The bound that was in force afterwards: that of before where it was not applied."""
        if self.bounds is None:
            return None
        return self.bounds[self.outcome in ("Applied", "InProgress")]


def of_model(status: InferenceModelStatus) -> list[Entry]:
    """Return the changes of a model, the oldest first."""
    return [
        Entry(
            change.time,
            describe(change.before),
            describe(change.after),
            change.actuator,
            change.reason,
            change.message,
            change.outcome,
            (change.before.max_batch_size, change.after.max_batch_size),
        )
        for change in reversed(status.batching.changes)
    ]


def of_pipeline(status: InferencePipelineStatus) -> list[Entry]:
    """Return the changes of a pipeline's steps, the oldest first."""
    return [_balanced(change) for change in reversed(status.balancing.changes)]


def _balanced(change: BalancingChange) -> Entry:
    before, after = _steps(change.before), _steps(change.after)
    return Entry(
        change.time, before, after, "InPlace", change.reason, change.message, change.outcome
    )


def _steps(steps: Sequence[StepAssignment]) -> str:
    return ", ".join(f"{each.step} {each.instances} x {each.max_batch_size}" for each in steps)


def show(name: str, entries: Sequence[Entry], console: Console, *, wide: bool) -> None:
    """Print the table, and below it the bound over time where there is one."""
    console.print(Text(name, "bold"))
    if not entries:
        console.print("Nothing was changed yet.")
        return
    columns = [*map(Column, ("TIME", "BEFORE", "AFTER", "HOW", "WHY", "OUTCOME"))]
    listing = Listing([*columns, Column("MESSAGE", fold=24, below=True)] if wide else columns)
    for each in entries:
        outcome = Text(each.outcome, _STYLES.get(each.outcome, "red"))
        cells = (each.time, each.before, each.after, each.how, each.reason, outcome)
        listing.add(*cells, *([each.message] if wide else []))
    console.print(listing)
    if line := sparkline(entries):
        console.print(line, soft_wrap=True)


def steps(entries: Sequence[Entry]) -> list[tuple[float, int]]:
    """Return from when on, in seconds since the first change, which bound was in force."""
    first = timestamps.parse(entries[0].time) if entries else None
    found: list[tuple[float, int]] = []
    for each in entries:
        if first is not None and each.bounds is not None and each.in_force is not None:
            at_s = (timestamps.parse(each.time) - first).total_seconds()
            found += [] if found else [(at_s, each.bounds[0])]
            found.append((at_s, each.in_force))
    return found


def sparkline(entries: Sequence[Entry]) -> str:
    """Return the bound over time as a row of bars, with its least and largest value."""
    found = steps(entries)
    if not found:
        return ""
    whole_s, most = found[-1][0] or 1.0, max(bound for _, bound in found)
    moments = [whole_s * i / (_PLOT_WIDTH - 1) for i in range(_PLOT_WIDTH)]
    bounds = [found[0][1], *(_at(found, moment_s) for moment_s in moments)]
    top = len(_BARS) - 1
    bars = "".join(_BARS[max(1, round(bound / most * top))] for bound in bounds)
    least = min(bound for _, bound in found)
    return f"max_batch_size {bars} {least} to {most}, over {whole_s:.0f} s"


def _at(found: Sequence[tuple[float, int]], moment_s: float) -> int:
    return next(bound for at_s, bound in reversed(found) if at_s <= moment_s)


def picture(name: str, entries: Sequence[Entry]) -> str:
    """Return the bound over time as SVG, each change with its reason."""
    found = steps(entries)
    whole_s, most = found[-1][0] or 1.0, max(bound for _, bound in found)
    right, bottom = _WIDTH - 20, _HEIGHT - _BOTTOM

    def place(at_s: float, bound: float) -> tuple[float, float]:
        x = _LEFT + (right - _LEFT) * at_s / whole_s
        return x, bottom - (bottom - _TOP) * bound / most

    corners: list[tuple[float, float]] = []
    for at_s, bound in found:
        x, y = place(at_s, bound)
        corners += [(x, corners[-1][1])] if corners else []
        corners.append((x, y))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 16, f"{name}: max_batch_size"),
        f'<line x1="{_LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="#999999"/>',
        _text(8, _TOP + 4, str(most)),
        _text(8, bottom, "0"),
        _text(_LEFT, _HEIGHT - 8, f"from {entries[0].time} to {entries[-1].time}"),
        f'<polyline fill="none" stroke="#1b6ca8" stroke-width="1.6" points="{points}"/>',
    ]
    for each, (at_s, bound) in zip(entries, found[1:], strict=True):
        x, y = place(at_s, bound)
        title = content.xml(f"{each.time} {each.reason}: {each.before} to {each.after}")
        circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1b6ca8">'
        parts.append(f"{circle}<title>{title}</title></circle>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x}" y="{y}" fill="#222222">{content.xml(words)}</text>'
