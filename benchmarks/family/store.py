"""Results of the family as files: one for each half and contender, by scenario.

A result is kept under the hash of its scenario, beside the hash of all that it depends on;
results of other code are forgotten when new ones are written.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import common
from ferryman.core.simulator.scenario import Scenario

FOLDER: Final = common.RESULTS / "family"
_LENGTH: Final = 16

Results = dict[str, dict[str, Any]]


def key(scenario: Scenario) -> str:
    """Return the hash of a scenario."""
    text = scenario.model_dump_json(by_alias=True, exclude_defaults=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def read(half: str, contender: str, inputs: str, folder: Path = FOLDER) -> Results:
    """Return the results by scenario, as far as they depend on these inputs."""
    kept, results = _content(half, contender, folder)
    return results if kept == inputs else {}


def read_outdated(half: str, contender: str, inputs: str, folder: Path = FOLDER) -> Results:
    """Return the results by scenario, if they depend on other inputs than these."""
    kept, results = _content(half, contender, folder)
    return {} if kept == inputs else results


def renew(half: str, contender: str, inputs: str, folder: Path = FOLDER) -> None:
    """Have results of other inputs count for these."""
    _write(half, contender, inputs, _content(half, contender, folder)[1], folder)


def add(
    half: str,
    contender: str,
    inputs: str,
    found: Mapping[str, dict[str, Any]],
    folder: Path = FOLDER,
) -> None:
    """Add results to those of the same inputs; whole files or none are written."""
    results = {**read(half, contender, inputs, folder), **found}
    _write(half, contender, inputs, results, folder)


def _content(half: str, contender: str, folder: Path) -> tuple[str, Results]:
    path = _path(half, contender, folder)
    if not path.exists():
        return "", {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["inputs"], content["results"]


def _write(half: str, contender: str, inputs: str, results: Results, folder: Path) -> None:
    lines = ",\n".join(
        f'  "{name}": {json.dumps(results[name], separators=(",", ":"))}'
        for name in sorted(results)
    )
    text = f'{{"inputs": "{inputs}", "results": {{\n{lines}\n}}}}\n'
    common.write_whole(_path(half, contender, folder), text)


def _path(half: str, contender: str, folder: Path) -> Path:
    return folder / half / f"{contender}.json"
