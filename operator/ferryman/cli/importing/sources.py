"""What people have, as files: InferenceServices, a Triton model repository, a measured table."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from ferryman.cli.errors import InputError, why
from ferryman.cli.files import content, own_file, profile_file
from ferryman.cli.files.profile_file import BOUND, GROUP, INSTANCES, MODEL, THROUGHPUT, Row
from ferryman.clients import pbtxt
from ferryman.core.importing.analyzer import Measured
from ferryman.core.importing.outcome import LeftOut
from ferryman.core.importing.triton.model import StoredModel

CONFIG: Final = "config.pbtxt"
TABLE: Final = ".csv"
CONFIGURATION: Final = ".pbtxt"
#: What `kubectl get -A` prints of a thousand services has less.
_MOST_BYTES: Final = 16 * 2**20
#: Those that people write have a few thousand bytes.
_MOST_CONFIG_BYTES: Final = 2**20
_MOST_ENTRIES: Final = 1_000
_NO_MODEL: Final = (
    f"it has neither a {CONFIG} nor a version's folder, whose name is a number without leading 0"
)
_CONFIG_COLUMN: Final = "Model Config Path"
_SATISFIES: Final = "Satisfies Constraints"
#: Triton ignores other folders, and those that begin with 0 (its docs/model_repository.md).
_VERSION: Final = re.compile("[1-9][0-9]*")
_LATENCY: Final = re.compile(r"p(50|90|95|99) Latency \(ms\)")


def documents(path: Path) -> list[object]:
    """Return the documents of a file of objects, lists taken apart. Raises InputError."""
    return [
        each for found in own_file.load_all(path, InputError, _MOST_BYTES) for each in _of(found)
    ]


def _of(found: object) -> Iterator[object]:
    """Yield the items of a Kubernetes list, or a document that is none."""
    items = found.get("items") if isinstance(found, dict) else None
    if (
        isinstance(found, dict)
        and str(found.get("kind", "")).endswith("List")
        and items is not None
    ):
        yield from items if isinstance(items, list) else [items]
    else:
        yield found


def configuration(path: Path, name: str | None) -> StoredModel:
    """Return the model that one config.pbtxt is of. Raises InputError."""
    stated = _config(path)
    called = name or str(stated.get("name") or _named(path.parent))
    return StoredModel(called, stated)


def repository(folder: Path) -> tuple[list[StoredModel], list[LeftOut]]:
    """Return the models of a repository, or of one model's folder, and folders that are none.

    Raises InputError where there is no model, or the one model cannot be read.
    """
    if _is_model(folder):
        return [_stored(folder)], []
    entries = [each for each in _entries(folder) if each.name[0] != "."]
    folders = [each for each in entries if each.is_dir()]
    models = [_as_far_as_readable(each) for each in folders if _is_model(each)]
    if not models:
        raise InputError(
            f"{folder} is no model repository: no folder in it has a {CONFIG} or a version's "
            "folder (InferenceServices are imported by their file)"
        )
    lost = [each for each in entries if each.is_symlink() and not each.exists()]
    return models, [
        *(LeftOut(each.name, _NO_MODEL) for each in folders if not _is_model(each)),
        *(LeftOut(each.name, "it is a link to what is not there") for each in lost),
    ]


def measured(path: Path) -> list[Measured]:
    """Return the rows of Model Analyzer's table that say how a configuration did.

    Raises InputError.
    """
    found = [_measured(path, line, row) for line, row in profile_file.rows(path)]
    known = [each for each in found if each is not None]
    if not known:
        raise InputError(
            f"{content.name(path)}: no row has a single group of instances, for example 2:GPU"
        )
    return known


def _measured(path: Path, line: int, row: Row) -> Measured | None:
    group = GROUP.fullmatch(row[INSTANCES])
    if group is None or not int(group[1]):
        return None
    bound = profile_file.whole(path, line, row, BOUND)
    per_second = profile_file.number(path, line, row, THROUGHPUT)
    latencies = ((_LATENCY.fullmatch(key), key) for key in row if row[key])
    return Measured(
        model=row[MODEL],
        config=row.get(_CONFIG_COLUMN) or row[MODEL],
        instances=int(group[1]),
        max_batch_size=bound,
        per_second=per_second,
        latency_ms={
            int(found[1]): profile_file.number(path, line, row, key)
            for found, key in latencies
            if found is not None
        },
        satisfies=row.get(_SATISFIES) != "No",
    )


def _is_model(folder: Path) -> bool:
    # A configuration that cannot be read is one all the same, and said to be.
    return os.path.lexists(folder / CONFIG) or any(_versions(folder))


def _versions(folder: Path) -> Iterator[Path]:
    return (each for each in _entries(folder) if _VERSION.fullmatch(each.name) and each.is_dir())


def _as_far_as_readable(folder: Path) -> StoredModel:
    """Return a model of several, of which one that cannot be read keeps none from the others."""
    try:
        return _stored(folder)
    except InputError as error:
        return StoredModel(_named(folder), problem=str(error))


def _stored(folder: Path) -> StoredModel:
    file = folder / CONFIG
    files = {entry.name for version in _versions(folder) for entry in _entries(version)}
    # Without version folders its files are those of version 1, as in a volume of Ferryman's.
    files |= {entry.name for entry in _entries(folder) if entry.is_file()} - {CONFIG}
    stated = _config(file) if os.path.lexists(file) else None
    return StoredModel(_named(folder), stated, frozenset(files))


def _named(folder: Path) -> str:
    """Return what a folder is called where it stands, whatever it is a link to."""
    return Path(os.path.abspath(folder)).name  # noqa: PTH100  Path.resolve follows links


def _config(path: Path) -> dict[str, object]:
    text = content.text(path, InputError, _MOST_CONFIG_BYTES)
    try:
        return pbtxt.stated(text)
    except pbtxt.ConfigInvalid as error:
        raise InputError(f"{content.name(path)}: {error}") from error


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, of which a folder of models has few. Raises InputError."""
    try:
        found = list(islice(folder.iterdir(), _MOST_ENTRIES + 1))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {why(error)}") from error
    if len(found) > _MOST_ENTRIES:
        raise InputError(f"{folder} has more than {_MOST_ENTRIES:_} entries: import a part of it")
    return sorted(found)
