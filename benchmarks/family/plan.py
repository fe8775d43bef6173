"""Which scenarios there are, and whose results are missing.

The *development* half has the seeds 0, 1, 2, …; whoever changes Guarded may look at it. The seeds
of the *validation* half are drawn from the commit that is measured: nobody can know them before.
"""

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import traces
from benchmarks.arena import fingerprint
from benchmarks.common import ROOT
from benchmarks.contenders.base import Contender
from benchmarks.contenders.registry import BY_NAME
from benchmarks.family import generator, store
from benchmarks.family.generator import Drawn

DEVELOPMENT: Final = "development"
VALIDATION: Final = "validation"
HALVES: Final = (DEVELOPMENT, VALIDATION)
ORACLE: Final = "oracle"
LARGEST: Final = "largest"
_HARNESS: Final = frozenset({"benchmarks.family.job"})


@dataclass(frozen=True, slots=True)
class Job:
    """A scenario, and what is still to run of it."""

    half: str
    seed: int
    drawn: Drawn
    contenders: tuple[str, ...]
    searched: bool
    """Whether the oracle is known."""


def commit() -> str:
    """Return the commit that is checked out."""
    asked = ["git", "rev-parse", "HEAD"]
    return subprocess.run(  # noqa: S603  words of our own
        asked, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def seeds(half: str, count: int, measured: str) -> Iterator[int]:
    """Yield the seeds of a half; those of validation depend on the commit that is measured."""
    if half == DEVELOPMENT:
        yield from range(count)
        return
    for number in range(count):
        digest = hashlib.sha256(f"{measured}:{number}".encode()).digest()
        yield int.from_bytes(digest[:6])


def inputs(contender: str) -> str:
    """Return the hash of all that results depend on, apart from the scenario."""
    recorded = traces.path_of(traces.AZURE).read_bytes()
    if contender == ORACLE:
        return fingerprint.of(_HARNESS, recorded)
    entry = BY_NAME[contender]
    parts = fingerprint.modules_of(entry.algorithm, entry.start, entry.spec)
    return fingerprint.of(_HARNESS | parts, recorded, contender.encode())


def jobs(half: str, chosen: Sequence[int], contenders: Sequence[Contender]) -> Iterator[Job]:
    """Yield what is missing."""
    known = store.read(half, ORACLE, inputs(ORACLE))
    done = {each.name: store.read(half, each.name, inputs(each.name)) for each in contenders}
    for seed in chosen:
        drawn = generator.draw(seed)
        key = store.key(drawn.scenario)
        missing = tuple(name for name, results in done.items() if key not in results)
        if missing or key not in known:
            yield Job(half, seed, drawn, missing, key in known)
