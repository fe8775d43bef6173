"""Results as files: one for each run, benchmarks/results/real/SCENARIO/CONTENDER-SEED.json."""

import json
from pathlib import Path
from typing import Any, Final

from benchmarks import common
from benchmarks.real.plan import Task

FOLDER: Final = common.RESULTS / "real"

Result = dict[str, Any]


def path_of(task: Task, folder: Path) -> Path:
    """Return the file of a run."""
    return folder / task.scenario / f"{task.contender}-{task.seed}.json"


def read(task: Task, inputs: str, folder: Path) -> Result | None:
    """Return a run's result if it is there and depends on these inputs."""
    path = path_of(task, folder)
    if not path.exists():
        return None
    found: Result = json.loads(path.read_text(encoding="utf-8"))
    return found if found["inputs"] == inputs else None


def write(task: Task, result: Result, folder: Path) -> None:
    """Write a run's result: the whole file or none."""
    path = path_of(task, folder)
    lines = ",\n".join(
        f'  "{key}": {json.dumps(value, separators=(",", ":"))}' for key, value in result.items()
    )
    common.write_whole(path, f"{{\n{lines}\n}}\n")
