"""Snapshots as files: what ``ferryman explain --snapshot`` reads and ``--save-snapshot`` writes.

The format is described in docs/snapshot-format.md.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ferryman.api.base import ApiType, Metadata, Time
from ferryman.cli.errors import InputError
from ferryman.cli.files import content as contents
from ferryman.cli.files import field_errors, own_file
from ferryman.core import timestamps
from ferryman.core.snapshot import Snapshot


class SnapshotError(InputError):
    """A file is no snapshot; the text names the file, the field and what is wrong with it."""


class SnapshotFile(Snapshot):
    """A snapshot and the moment it was taken at."""

    taken_at: Time | None = None

    @property
    def now(self) -> datetime | None:
        """The moment to decide at: ``takenAt``, else the newest heartbeat, if there is any."""
        heartbeats = (node.profile.heartbeat_time for node in self.nodes if node.profile)
        moments = [timestamps.parse(text) for text in heartbeats if text]
        return timestamps.parse(self.taken_at) if self.taken_at else max(moments, default=None)


def read(path: Path) -> tuple[SnapshotFile, tuple[str, ...]]:
    """Return the snapshot in a JSON or YAML file, and a warning for every unknown field.

    Raises SnapshotError when the file cannot be read or a field is malformed.
    """
    content = own_file.load(path, SnapshotError)
    try:
        found = SnapshotFile.model_validate(content)
    except ValidationError as error:
        raise SnapshotError(field_errors.describe(contents.name(path), error)) from error
    return found, tuple(
        f"{contents.name(path)}: {field} is unknown" for field in _unknown(found, content)
    )


def write(path: Path, snapshot: Snapshot, now: datetime) -> None:
    """Write a snapshot as YAML. Raises OutputError when the file cannot be written."""
    content = {"takenAt": timestamps.text(now.astimezone(UTC)), **snapshot.as_dict()}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    contents.write(path, text)


def _unknown(value: object, content: object, where: str = "") -> Iterator[str]:
    """Yield the fields of the content that the value did not take: misspelt ones, mostly."""
    if isinstance(value, tuple) and isinstance(content, list):
        for index, (inner, part) in enumerate(zip(value, content, strict=False)):
            yield from _unknown(inner, part, f"{where}[{index}]")
    # Objects as the API server returns them have more metadata than decisions read.
    if not isinstance(value, ApiType) or isinstance(value, Metadata):
        return
    if not isinstance(content, Mapping):
        return
    fields = _fields(value)
    for key, part in content.items():
        path = f"{where}.{key}".lstrip(".")
        if key in fields:
            yield from _unknown(fields[key], part, path)
        elif path not in {"model.apiVersion", "model.kind", "runtime.apiVersion", "runtime.kind"}:
            yield path


def _fields(value: ApiType) -> dict[str, Any]:
    kinds = type(value).model_fields
    by_name = {name: getattr(value, name) for name in kinds}
    return {**by_name, **{kinds[name].alias or name: inner for name, inner in by_name.items()}}
