"""Results as files: one for each scenario and contender, with all its seeds.

benchmarks/results/scenarios/SCENARIO/CONTENDER.json holds the hash of what the results depend
on, and a result for each seed. Results of another hash are forgotten when new ones are written.
ORIGIN.json beside them says when and where the latest of them came to be.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import common

FOLDER: Final = common.RESULTS / "scenarios"

ORIGIN: Final = "ORIGIN.json"

Result = dict[str, Any]


def read(scenario: str, contender: str, inputs: str, folder: Path = FOLDER) -> dict[int, Result]:
    """Return the results by seed, as far as they depend on these inputs."""
    kept, seeds = _content(scenario, contender, folder)
    return seeds if kept == inputs else {}


def read_outdated(
    scenario: str, contender: str, inputs: str, folder: Path = FOLDER
) -> dict[int, Result]:
    """Return the results by seed, if they depend on other inputs than these."""
    kept, seeds = _content(scenario, contender, folder)
    return {} if kept == inputs else seeds


def add(
    scenario: str,
    contender: str,
    inputs: str,
    found: Mapping[int, Result],
    folder: Path = FOLDER,
) -> None:
    """Add results by seed to those of the same inputs; whole files or none are written."""
    _write(
        scenario, contender, inputs, {**read(scenario, contender, inputs, folder), **found}, folder
    )


def renew(scenario: str, contender: str, inputs: str, folder: Path = FOLDER) -> None:
    """Have results of other inputs count for these."""
    _write(scenario, contender, inputs, _content(scenario, contender, folder)[1], folder)


def _content(scenario: str, contender: str, folder: Path) -> tuple[str, dict[int, Result]]:
    path = _path(scenario, contender, folder)
    if not path.exists():
        return "", {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["inputs"], {int(seed): result for seed, result in content["seeds"].items()}


def _write(
    scenario: str, contender: str, inputs: str, seeds: Mapping[int, Result], folder: Path
) -> None:
    lines = ",\n".join(
        f'  "{seed}": {json.dumps(seeds[seed], separators=(",", ":"))}' for seed in sorted(seeds)
    )
    path = _path(scenario, contender, folder)
    common.write_whole(path, f'{{"inputs": "{inputs}", "seeds": {{\n{lines}\n}}}}\n')


def note_origin(folder: Path = FOLDER) -> None:
    """Write down that results came to be now, on this machine."""
    text = json.dumps({"date": common.today(), "machine": common.machine()}, indent=1)
    common.write_whole(folder / ORIGIN, text + "\n")


def origin(folder: Path = FOLDER) -> Result:
    """Return the date and the machine of the latest results."""
    found: Result = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    return found


def _path(scenario: str, contender: str, folder: Path) -> Path:
    return folder / scenario / f"{contender}.json"
