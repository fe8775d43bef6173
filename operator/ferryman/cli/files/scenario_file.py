"""Scenarios as files: what ``ferryman simulate`` reads. See docs/scenario-format.md."""

from pathlib import Path

from ferryman.cli.errors import InputError
from ferryman.cli.files import content, own_file
from ferryman.core.simulator.scenario import Scenario


class ScenarioError(InputError):
    """A file is no scenario; the text names the file, the field and what is wrong with it."""


def read(path: Path) -> tuple[Scenario, tuple[float, ...]]:
    """Return the scenario in a JSON or YAML file, and the gaps in seconds of its trace, if any.

    Raises ScenarioError when a file cannot be read, or a field is malformed or unknown.
    """
    scenario = own_file.read(path, Scenario, ScenarioError)
    trace = scenario.arrivals.trace
    return scenario, () if trace is None else gaps_s(path.parent / trace.file)


def gaps_s(path: Path) -> tuple[float, ...]:
    """Return the gaps of a trace in seconds. Raises ScenarioError when it cannot be read."""
    lines = [line.strip() for line in content.text(path, ScenarioError).splitlines()]
    numbers = [(i, line) for i, line in enumerate(lines, start=1) if line and line[0] != "#"]
    return tuple(_number(path, i, line) for i, line in numbers)


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ScenarioError(f"{path}: line {line}: {text!r} is no number of seconds") from error
