"""Fuzz what reads others' words, target after target: ``make fuzz``, or ``python -m tests.fuzz``.

Each target runs until it has had so many executions, those of earlier runs counted in, so that a
long run can be ended and goes on where it stopped; several may run at once. A fault ends the run;
its input lies in ``build/fuzz`` and belongs, once it is mended, into ``tests/fuzz/regressions``.
What was reached is kept in ``docs/fuzzing.json``, and told in ``docs/fuzzing.md``.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import math
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
#: A process fuzzes for so long.
PROCESS_S = 600
#: The engine ends an execution that has not ended by itself after so long, pauses counted in.
HANGS_S = 7200
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

    @property
    def told(self) -> str:
        """A line of progress."""
        return f"{self.executions / max(self.seconds, 1):.0f} in a second of CPU time"


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
    """Fuzz one target until it has had so many executions; return whether it found nothing.

    One process follows another: what the libraries below keep for good is given back, and a run
    that is ended has lost minutes at most.
    """
    corpora.unpack(name, WORK / name / "corpus")
    until_s = time.monotonic() + seconds if seconds else math.inf
    found, is_further = results().get(name, Reached()), False
    while (left := wanted - found.executions) > 0 and (rest_s := until_s - time.monotonic()) >= 1:
        more = _further(name, left, int(min(rest_s, PROCESS_S)))
        if more is None:
            return False
        found, is_further = record(name, more), True
        print(f"{name}: {found.executions:_} of {wanted:_} executions, {more.told}", flush=True)
    if is_further:
        began_s = os.times()
        inputs = corpora.pack(name, _minimised(name))
        found = record(name, Reached(0, _spent_s(began_s, os.times()), found.edges, inputs))
    print(f"{name}: {found.executions:_} executions, {found.edges} places, {found.inputs} inputs")
    return True


def _further(name: str, runs: int, seconds: int) -> Reached | None:
    """Return what another process comes to; None, with its words printed, at a fault."""
    folder, began_s = WORK / name, os.times()
    bounds = [f"-runs={runs}", f"-max_total_time={seconds}", f"-timeout={HANGS_S}"]
    log, status = _engine(name, *bounds, f"-artifact_prefix={folder}/", folder / "corpus")
    ended = _DONE.findall(log)
    if status or not ended:
        print(log[-6000:])
        return None
    executions, edges, _, inputs = map(int, ended[-1])
    return Reached(executions, _spent_s(began_s, os.times()), edges, inputs)


def record(name: str, more: Reached) -> Reached:
    """Add to what was reached; return all of it. Other targets may be fuzzed at the same time."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = results().get(name, Reached())
        seconds = round(before.seconds + more.seconds, 1)
        executions = before.executions + more.executions
        found = Reached(executions, seconds, more.edges, more.inputs)
        text = json.dumps({**_plain(), name: asdict(found)}, indent=2, sort_keys=True)
        RESULTS.write_text(text + "\n")
    return found


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
    return done.stderr + done.stdout, done.returncode  # the traceback last


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
