"""The live display of ``ferryman tune``: what is in force, what was seen, what was decided."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from ferryman.actuation.events import (
    Began,
    ChangeBegun,
    ChangeEnded,
    Decided,
    Entry,
    Moved,
    Observed,
    Reading,
    Silence,
)
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.cli.tables import Column, Listing
from ferryman.cli.tuning import lines as tune_lines
from ferryman.core.wording import describe

SHOWN_WINDOWS: Final = 10
SHOWN_CHANGES: Final = 5
_COLUMNS: Final = (
    "at s", "window s", "requests/s", "failed", "batch", "queue ms", "compute ms", "latency ms",
)  # fmt: skip
_STYLES: Final = {True: "green", False: "red", None: "dim"}
_OUTCOMES: Final = {"Applied": "green", "Refused": "red", "RolledBack": "red"}


@dataclass
class Story:
    """What has happened so far, as far as it is shown; ``add`` takes every event."""

    title: str
    target: str
    """The objectives in words."""
    spec: BatchingSpec
    notes: tuple[str, ...] = ()
    """What cannot be seen on this server."""
    applied: Batching | None = None
    windows: deque[tuple[float, Observed]] = field(
        default_factory=lambda: deque(maxlen=SHOWN_WINDOWS)
    )
    decision: Decided | None = None
    changes: deque[tuple[float, ChangeEnded]] = field(
        default_factory=lambda: deque(maxlen=SHOWN_CHANGES)
    )
    now: str = "waiting for the first reading"
    """What is going on."""

    def add(self, entry: Entry) -> None:
        """Take note of an event."""
        match entry.event:
            case Began() | Moved() as event:
                self.applied = event.applied
            case Reading() as event:
                self.now = self._progress(event)
            case Silence():
                self.now = tune_lines.line(entry).strip()
            case Observed() as event:
                self.windows.append((entry.elapsed_s, event))
            case Decided() as event:
                self.decision = event
            case ChangeBegun():
                self.now = tune_lines.line(entry).strip()
            case ChangeEnded() as event:
                self.applied, self.now = event.applied, "waiting for the first reading"
                self.changes.append((entry.elapsed_s, event))

    def _progress(self, event: Reading) -> str:
        window = self.spec.window
        return (
            f"window: {event.requests} of {window.max_requests} requests, "
            f"{event.window_s:.0f} of {window.min_seconds} to {window.max_seconds} s"
        )


def render(story: Story) -> RenderableType:
    """Return the display."""
    parts: list[RenderableType] = [Text(story.title, style="bold"), _standing(story)]
    if story.windows:
        parts.append(_windows(story))
    if story.decision is not None:
        parts.append(_decision(story.decision))
    if story.changes:
        parts.append(_changes(story))
    parts += [Text(f"note: {note}", style="yellow") for note in story.notes]
    parts.append(Text(f"{story.now}   (Ctrl-C ends)", style="dim"))
    return Group(*parts)


def _standing(story: Story) -> Text:
    limits = story.spec.limits
    size, delay, instances = (
        limits.max_batch_size,
        limits.max_queue_delay_microseconds,
        limits.instances,
    )
    in_force = "-" if story.applied is None else describe(story.applied)
    return Text.assemble(
        ("in force    ", "dim"),
        (in_force, "bold"),
        ("\nobjectives  ", "dim"),
        story.target,
        ("\nlimits      ", "dim"),
        f"batch {size.min} to {size.max}, delay {delay.min} to {delay.max} µs, "
        f"instances {instances.min} to {instances.max}",
    )


def _windows(story: Story) -> Listing:
    figures = (Column(name, right=True) for name in _COLUMNS)
    table = Listing((*figures, Column("objectives")), title="windows")
    for at_s, observed in story.windows:
        window, met = observed.window, observed.verdict.met
        size = window.mean_batch_size
        table.add(
            f"{at_s:.0f}",
            f"{window.seconds:.1f}",
            f"{window.requests_per_s:.1f}",
            str(window.failures + (window.rejected or 0)),
            "-" if size is None else f"{size:.2f}",
            tune_lines.ms(window.queue_ms),
            tune_lines.ms(window.compute_ms),
            tune_lines.latency(window),
            Text(tune_lines.met_words(observed.verdict), style=_STYLES[met]),
        )
    return table


def _decision(decided: Decided) -> Text:
    done = decided.step
    wish = "" if done.batching == decided.applied else f" {describe(done.batching)}"
    text = Text.assemble(
        ("decision    ", "dim"),
        (f"{done.verb.lower()}{wish}", "bold"),
        f"  {done.reason}\n            {done.message}",
    )
    needs = tune_lines.needs_words(done.needs)
    if needs:
        text.append(f"\n            {needs}", style="yellow")
    return text


def _changes(story: Story) -> Listing:
    columns = (
        Column("at s"),
        Column("from", fold=11),
        Column("to", fold=11),
        *map(Column, ("how", "outcome", "took s")),
        Column("why", fold=20, below=True),
    )
    table = Listing(columns, title="changes")
    for at_s, change in story.changes:
        table.add(
            f"{at_s:.0f}",
            describe(change.before),
            describe(change.after),
            change.actuator,
            Text(change.outcome, style=_OUTCOMES.get(change.outcome, "yellow")),
            f"{change.took_s:.1f}",
            str(change.reason) if change.outcome == "Applied" else change.message,
        )
    return table
