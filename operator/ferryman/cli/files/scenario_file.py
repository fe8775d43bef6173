"""Scenarios as files: what ``ferryman simulate`` reads. See docs/scenario-format.md."""

from math import nan
from pathlib import Path
from typing import Final

from ferryman.cli.errors import InputError
from ferryman.cli.files import content, own_file
from ferryman.clients import pbtxt
from ferryman.core.simulator.scenario import Scenario

#: Of a trace: thirty years.
_LONGEST_GAP_S: Final = 1e9


class ScenarioError(InputError):
    """A file is no scenario; the text names the file, the field and what is wrong with it."""


def read(path: Path) -> tuple[Scenario, tuple[float, ...]]:
    """Return the scenario in a JSON or YAML file, and the gaps in seconds of its trace, if any.

    Raises ScenarioError when a file cannot be read, or a field is malformed or unknown.
    """
    scenario = own_file.read(path, Scenario, ScenarioError)
    try:
        pbtxt.parse(scenario.config)
    except pbtxt.ConfigInvalid as error:
        raise ScenarioError(f"{content.name(path)}: config: {error}") from error
    trace = scenario.arrivals.trace
    return scenario, () if trace is None else gaps_s(path.parent / trace.file)


def gaps_s(path: Path) -> tuple[float, ...]:
    """Return the gaps of a trace in seconds. Raises ScenarioError where they are none."""
    lines = [line.strip() for line in content.text(path, ScenarioError).splitlines()]
    numbers = [(i, line) for i, line in enumerate(lines, start=1) if line and line[0] != "#"]
    gaps = tuple(_number(path, i, line) for i, line in numbers)
    if not any(gaps):
        raise ScenarioError(f"{content.name(path)}: no line has a gap of more than 0 seconds")
    return gaps


def _number(path: Path, line: int, text: str) -> float:
    try:
        gap_s = float(text)
    except ValueError:
        gap_s = nan
    if not 0 <= gap_s <= _LONGEST_GAP_S:
        raise ScenarioError(
            f"{content.name(path)}: line {line}: {text!r} is no number of seconds from 0 to "
            f"{_LONGEST_GAP_S:_.0f}"
        )
    return gap_s
