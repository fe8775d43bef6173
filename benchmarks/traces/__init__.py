"""Recorded inter-arrival times, and how they are read; each file says where it comes from."""

from functools import cache
from pathlib import Path
from typing import Final

from ferryman.cli.files import scenario_file
from ferryman.core.simulator.scenario import Scenario

#: An hour of requests for a conversational language model, 5.4 a second.
AZURE: Final = "azure-llm-2023-conv.txt"
_FOLDER: Final = Path(__file__).parent


@cache
def gaps_s(name: str) -> tuple[float, ...]:
    """Return the gaps of a trace in seconds. Raises ScenarioError when it cannot be read."""
    return scenario_file.gaps_s(path_of(name))


def gaps_of(scenario: Scenario) -> tuple[float, ...]:
    """Return the gaps of the trace that a scenario names; of others, none."""
    trace = scenario.arrivals.trace
    return () if trace is None else gaps_s(trace.file)


def path_of(name: str) -> Path:
    """Return the file of a trace."""
    return _FOLDER / name
