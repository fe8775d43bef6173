"""Fuzz what reads others' words, target after target: ``make fuzz``, or ``python -m tests.fuzz``.

Each target runs until it has had so many executions, those of earlier runs counted in, so that a
long run can be ended and goes on where it stopped. A fault ends the run; its input lies in
``build/fuzz`` and belongs, once it is mended, into ``tests/fuzz/regressions``. What was reached is
kept in ``docs/fuzzing.json``, and told in ``docs/fuzzing.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz import corpora
from tests.fuzz.limits import MEMORY_BYTES
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parent.parent.parent
WORK = ROOT / "build" / "fuzz"
ENGINE = ROOT / "build" / "atheris"
RESULTS = ROOT / "docs" / "fuzzing.json"
PAGE = ROOT / "docs" / "fuzzing.md"
WANTED = 1_000_000
#: The engine ends an execution that has not ended by itself after so long.
HANGS_S = 300
_DONE = re.compile(r"^#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)
_BEGIN, _END = "<!-- figures -->\n", "<!-- end of figures -->\n"


@dataclass(frozen=True)
class Reached:
    """What all runs of a target came to."""

    executions: int = 0
    seconds: float = 0.0
    """Of processor time."""
    edges: int = 0
    """Places in Ferryman's code that were reached, as Atheris counts them."""
    inputs: int = 0
    """In the corpus, once minimised."""


def main() -> int:
    """Fuzz the targets that are named, or all; return 1 at the first fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    parser.add_argument("--executions", type=int, default=WANTED, help="of each target, ever")
    parser.add_argument("--seconds", type=int, default=0, help="of each target, in this run")
    parser.add_argument("--report", action="store_true", help="write docs/fuzzing.md only")
    options = parser.parse_args()
    if not options.report:
        for name in options.targets or TARGETS:
            if not fuzz(name, options.executions, options.seconds):
                return 1
    report()
    return 0


def fuzz(name: str, wanted: int, seconds: int) -> bool:
    """Fuzz one target until it has had so many executions; return whether it found nothing."""
    before = results().get(name, Reached())
    left = wanted - before.executions
    if left <= 0:
        print(f"{name}: {before.executions:_} executions before")
        return True
    folder = WORK / name
    corpora.unpack(name, folder / "corpus")
    print(f"{name}: {left:_} executions to go", flush=True)
    began_s = os.times()
    bounds = [f"-runs={left}", f"-max_total_time={seconds}", f"-timeout={HANGS_S}"]
    log, status = _engine(name, *bounds, f"-artifact_prefix={folder}/", folder / "corpus")
    ended = _DONE.findall(log)
    if status or not ended:
        print(log[-6000:])
        return False
    executions, edges, _, _ = map(int, ended[-1])
    spent_s = _spent_s(began_s, os.times())
    inputs = corpora.pack(name, _minimised(name))
    together, all_s = before.executions + executions, round(before.seconds + spent_s, 1)
    found = {**_plain(), name: asdict(Reached(together, all_s, edges, inputs))}
    RESULTS.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    print(f"{name}: {executions:_} executions, {edges} edges, {inputs} inputs", flush=True)
    return True


def _minimised(name: str) -> Path:
    """Return a folder with as few inputs as reach all that the corpus reaches."""
    folder = WORK / name
    small = folder / f"minimised-{time.time_ns()}"
    small.mkdir(parents=True)
    log, status = _engine(name, "-merge=1", f"-timeout={HANGS_S}", small, folder / "corpus")
    if status:
        raise RuntimeError(log[-6000:])
    return small


def _engine(name: str, *options: object) -> tuple[str, int]:
    command = [sys.executable, "-m", "tests.fuzz.engine", name, *map(str, options)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "operator"), str(ENGINE)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    limit = f"-rss_limit_mb={MEMORY_BYTES >> 20 << 2}"
    done = subprocess.run(
        [*command, limit], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr, done.returncode


def _spent_s(before: os.times_result, after: os.times_result) -> float:
    return sum(after[2:4]) - sum(before[2:4])


def results() -> dict[str, Reached]:
    """Return what was reached so far."""
    return {name: Reached(**values) for name, values in _plain().items()}


def _plain() -> dict[str, dict[str, float]]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def report() -> None:
    """Write the figures into the page."""
    head = "| target | executions | CPU seconds | places reached | inputs kept |"
    rows = [head, "|---|--:|--:|--:|--:|"]
    rows += [
        f"| {name} | {each.executions:,} | {each.seconds:,.0f} | {each.edges:,} | {each.inputs} |"
        for name, each in sorted(results().items())
    ]
    text = PAGE.read_text()
    head, _, rest = text.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    PAGE.write_text(head + _BEGIN + "\n".join(rows) + "\n" + _END + tail)


if __name__ == "__main__":
    sys.exit(main())
