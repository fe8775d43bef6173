"""Scenarios as files: what ``ferryman simulate`` reads. See docs/scenario-format.md."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from ferryman.cli import field_errors
from ferryman.core.twin.scenario import Scenario


class ScenarioError(Exception):
    """A file is no scenario; the text names the file, the field and what is wrong with it."""


def read(path: Path) -> tuple[Scenario, tuple[float, ...]]:
    """Return the scenario in a JSON or YAML file, and the gaps in seconds of its trace, if any.

    Raises ScenarioError when a file cannot be read, or a field is malformed or unknown.
    """
    try:
        content = yaml.safe_load(_text(path))
        # Types of the API ignore what they do not know; in a scenario it is a misspelling.
        scenario = Scenario.model_validate(content, extra="forbid")
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path} is neither JSON nor YAML: {error}") from error
    except ValidationError as error:
        raise ScenarioError(field_errors.describe(path, error)) from error
    trace = scenario.arrivals.trace
    return scenario, () if trace is None else _gaps(path.parent / trace.file)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path} cannot be read: {error}") from error


def _gaps(path: Path) -> tuple[float, ...]:
    lines = [line.strip() for line in _text(path).splitlines()]
    numbers = [(i, line) for i, line in enumerate(lines, start=1) if line and line[0] != "#"]
    return tuple(_number(path, i, line) for i, line in numbers)


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ScenarioError(f"{path}: line {line}: {text!r} is no number of seconds") from error
