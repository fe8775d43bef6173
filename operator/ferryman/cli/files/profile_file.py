"""Service times as files: a profile of our own, or Model Analyzer's table. See docs/tune.md.

Model Analyzer does not say how large the batches were that Triton executed. Where twice as many
requests wait as all instances take at once, they are full: that is what it does unless told
otherwise, and only such rows are used. A full batch then takes its size times the instances by the
throughput.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from ferryman.cli.errors import InputError
from ferryman.cli.files import content, field_errors, own_file
from ferryman.core.tuners.profile import Profile

MODEL: Final = "Model"
BATCH: Final = "Batch"
CONCURRENCY: Final = "Concurrency"
INSTANCES: Final = "Instance Group"
BOUND: Final = "Max Batch Size"
THROUGHPUT: Final = "Throughput (infer/sec)"
_COLUMNS: Final = (MODEL, BATCH, CONCURRENCY, INSTANCES, BOUND, THROUGHPUT)
GROUP: Final = re.compile(r"([0-9]{1,4})[/:](?:CPU|GPU)")
_WHOLE: Final = re.compile(r"([0-9]{1,18})(?:\.0+)?")
_MS_PER_S: Final = 1e3
#: So many times what all instances take at once must be asked for at once.
_SATURATED: Final = 2

Row = Mapping[str, str]
#: (instances, batch size) -> the shortest time that was found, in ms.
Found = dict[tuple[int, int], float]


class ProfileError(InputError):
    """A file is no profile; the text names the file and what is wrong with it."""


def read(path: Path) -> Profile:
    """Return the profile in a JSON or YAML file. Raises ProfileError."""
    return own_file.read(path, Profile, ProfileError)


def read_model_analyzer(path: Path, model: str) -> Profile:
    """Return what Model Analyzer's table of inference metrics (CSV) says of a model.

    Raises ProfileError when there is no such table in the file, or no row of it is of use.
    """
    every = list(rows(path))
    own = [(line, row) for line, row in every if row[MODEL] == model]
    if not own:
        others = ", ".join(sorted({row[MODEL] for _, row in every})) or "no model"
        raise ProfileError(f"{content.name(path)}: there is no row of {model}, but of {others}")
    found: Found = {}
    for line, row in own:
        _take_in(found, path, line, row)
    if not found:
        raise ProfileError(
            f"{content.name(path)}: no row of {model} has {BATCH} x {CONCURRENCY} of at least "
            f"{_SATURATED} x {BOUND} x instances: only then are batches known to be full"
        )
    return _profile(path, found)


def rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield line numbers and rows of every table that has our columns; blank lines end a table.

    Raises ProfileError where there is none, or a line is cut short.
    """
    header: list[str] = []
    headers: list[list[str]] = []
    lines = content.text(path, ProfileError).splitlines()
    for line, cells in enumerate(_cells(path, lines), start=1):
        values = [cell.strip() for cell in cells]
        if not any(values):
            header = []
        elif not header:
            header = values
            headers.append(header)
        elif _is_ours(header):
            if len(values) != len(header):
                raise ProfileError(
                    f"{content.name(path)}: line {line} has {len(values)} columns, "
                    f"its header {len(header)}"
                )
            yield line, _row(path, line, header, values)
    if not any(map(_is_ours, headers)):
        raise ProfileError(f"{content.name(path)}: {_no_table(headers)}")


def _is_ours(header: Sequence[str]) -> bool:
    return set(_COLUMNS) <= set(header)


def _row(path: Path, line: int, header: Sequence[str], values: Sequence[str]) -> Row:
    """Return the cells by their columns, of which one may stand twice if it says the same."""
    found: dict[str, str] = {}
    for name, value in zip(header, values, strict=True):
        if found.setdefault(name, value) != value:
            raise ProfileError(
                f"{content.name(path)}: line {line}: the column {name!r} is there twice, with "
                f"{found[name]!r} and {value!r}: keep one of them"
            )
    return found


def _no_table(headers: Sequence[Sequence[str]]) -> str:
    """Return what is missing: of a table that is nearly ours, which columns."""
    is_it = "is it Model Analyzer's metrics-model-inference.csv, with commas between the cells?"
    nearest = max(headers, key=lambda header: len({*header} & {*_COLUMNS}), default=())
    missing = [name for name in _COLUMNS if name not in nearest]
    if len(missing) < len(_COLUMNS):
        return f"its table lacks {_columns(missing)}: {is_it}"
    return f"no table has {_columns(missing)}: {is_it}"


def _columns(names: Sequence[str]) -> str:
    return f"the column{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _cells(path: Path, lines: list[str]) -> Iterator[list[str]]:
    try:
        yield from csv.reader(lines)
    except csv.Error as error:
        raise ProfileError(f"{content.name(path)} is no table of CSV: {error}") from error


def _take_in(found: Found, path: Path, line: int, row: Row) -> None:
    """Note what a row says, if it is of use."""
    group = GROUP.fullmatch(row[INSTANCES])
    if group is None:
        return
    batch, concurrency, bound = (
        whole(path, line, row, name) for name in (BATCH, CONCURRENCY, BOUND)
    )
    throughput, instances = number(path, line, row, THROUGHPUT), int(group[1])
    if (
        not batch
        or batch > bound
        or batch * concurrency < _SATURATED * bound * instances
        or not instances
    ):
        return
    size = bound // batch * batch
    took_ms = size * instances / throughput * _MS_PER_S
    found[instances, size] = min(took_ms, found.get((instances, size), took_ms))


def number(path: Path, line: int, row: Row, column: str) -> float:
    """Return a figure of a row, which is above 0. Raises ProfileError."""
    try:
        value = float(row[column])
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ProfileError(
            f"{content.name(path)}: line {line}: {column} must be a number above 0, "
            f"not {row[column]!r}"
        )
    return value


def whole(path: Path, line: int, row: Row, column: str) -> int:
    """Return a count of a row, 0 or more. Raises ProfileError."""
    text = row[column]
    # Tables that went through a spreadsheet have 8.0 for 8.
    found = _WHOLE.fullmatch(text)
    if found is None:
        raise ProfileError(
            f"{content.name(path)}: line {line}: {column} must be a whole number, not {text!r}"
        )
    return int(found[1])


def _profile(path: Path, found: Found) -> Profile:
    counts = sorted({instances for instances, _ in found})
    curves = [
        {
            "instances": count,
            "points": [
                {"batchSize": size, "milliseconds": took_ms}
                for (instances, size), took_ms in sorted(found.items())
                if instances == count
            ],
        }
        for count in counts
    ]
    try:
        return Profile.model_validate({"curves": curves})
    except ValidationError as error:
        raise ProfileError(field_errors.describe(content.name(path), error)) from error
