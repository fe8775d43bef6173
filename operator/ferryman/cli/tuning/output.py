"""Where ``ferryman tune`` shows what happens: a live display, lines, JSON lines, a journal."""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.live import Live

from ferryman.actuation.events import Entry
from ferryman.actuation.session import SessionSettings
from ferryman.cli.terminal import console
from ferryman.cli.tuning import journal as tune_journal
from ferryman.cli.tuning import lines as tune_lines
from ferryman.cli.tuning import view as tune_view
from ferryman.cli.tuning.journal import Journal
from ferryman.cli.tuning.options import Target
from ferryman.clients.triton_survey import Survey


@dataclass(frozen=True, slots=True)
class Scene:
    """What is tuned, and under what terms."""

    target: Target
    settings: SessionSettings
    found: Survey
    kept: tuple[str, ...] = ()
    """What stays as the model's owner stated it."""

    @property
    def title(self) -> str:
        """Return it in words."""
        spec = self.settings.spec
        verb = "recommending for" if spec.mode == "Recommend" else "tuning"
        where = f"{self.target.address} (Triton {self.found.server_version})"
        return f"{verb} {self.target.model} on {where}, {spec.algorithm}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what is not observed, and what stays."""
        return (*self.found.not_observed, *self.kept)

    @property
    def objectives(self) -> str:
        """Return them in words."""
        return tune_lines.target_words(self.settings.objectives)


def open_all(
    scene: Scene, how: str | None, journal: Path | None, closing: ExitStack
) -> list[Callable[[Entry], None]]:
    """Return everybody who is to be told what happens: the display of this kind, the journal.

    They are closed with ``closing``. Raises OutputError when the journal cannot be written.
    """
    records: list[Callable[[dict[str, Any]], None]] = []
    if journal is not None:
        records.append(closing.enter_context(Journal(journal)).write)
    how = how or ("live" if sys.stdout.isatty() else "lines")
    if how == "json":
        records.append(print_json)
    listeners = [_recorder(scene, write) for write in records]
    if how == "live":
        listeners.append(_display(scene, closing))
    elif how == "lines":
        _print_head(scene)
        listeners.append(_print_line)
    return listeners


def _about(scene: Scene) -> dict[str, Any]:
    """Return the first record: what is tuned, and under what terms."""
    return {
        **tune_journal.head(datetime.now(UTC), 0.0),
        "event": "session",
        "url": scene.target.address,
        "model": scene.target.model,
        "triton": scene.found.server_version,
        "objectives": scene.settings.objectives.as_dict(),
        "batching": scene.settings.spec.as_dict(),
        "notObserved": list(scene.found.not_observed),
        "kept": list(scene.kept),
    }


def _recorder(scene: Scene, write: Callable[[dict[str, Any]], None]) -> Callable[[Entry], None]:
    write(_about(scene))

    def record(entry: Entry) -> None:
        """Write an event that is worth it."""
        found = tune_journal.as_json(entry)
        if found is not None:
            write(found)

    return record


def _display(scene: Scene, closing: ExitStack) -> Callable[[Entry], None]:
    spec, notes = scene.settings.spec, scene.notes
    story = tune_view.Story(scene.title, scene.objectives, spec, notes)
    live = closing.enter_context(
        Live(tune_view.render(story), console=console(), auto_refresh=False)
    )

    def show(entry: Entry) -> None:
        """Draw the display anew."""
        story.add(entry)
        live.update(tune_view.render(story), refresh=True)

    return show


def _print_head(scene: Scene) -> None:
    print(f"{scene.title}: {scene.objectives}")
    for note in scene.notes:
        print(f"note: {note}")
    sys.stdout.flush()


def _print_line(entry: Entry) -> None:
    words = tune_lines.line(entry)
    if words:
        print(words, flush=True)


def print_json(record: dict[str, Any]) -> None:
    """Print one record on a line of its own."""
    print(json.dumps(record, ensure_ascii=False), flush=True)
