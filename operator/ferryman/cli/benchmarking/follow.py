"""Ask for a measurement of a node's type, and follow it until its tables are there."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.node_profile import NodeProfile
from ferryman.cli.errors import Fault, GatherError
from ferryman.core import timestamps
from ferryman.core.benchmark import requests as benchmark_requests
from ferryman.core.benchmark.requests import Subject

POLL_S: Final = 2.0

Report = Callable[[str], None]


class TimedOutError(Fault):
    """The measurement was not done in time; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    node: str
    node_type: str
    subjects: tuple[Subject, ...]
    at: datetime

    @property
    def text(self) -> str:
        """The moment as the annotation has it."""
        return timestamps.text(self.at)


@dataclass(frozen=True, slots=True)
class JobView:
    """A benchmark Job as it is seen from outside."""

    name: str
    title: str
    """What it measures, in words."""
    phase: str
    """How far its pod is, in words."""
    lines: tuple[str, ...] = ()
    """What its client has said so far."""


class Cluster(Protocol):
    """What is asked of the cluster; every method raises GatherError."""

    def profile(self, node: str) -> NodeProfile:
        """Return a node's profile."""
        ...

    def runtimes(self) -> tuple[InferenceRuntime, ...]:
        """Return the runtimes that can be read."""
        ...

    def request(self, node: str, at: str) -> None:
        """Write the annotation that asks for a measurement."""
        ...

    def jobs(self, node_type: str) -> tuple[JobView, ...]:
        """Return the benchmark Jobs of a node type."""
        ...


def request(cluster: Cluster, node: str, now: datetime) -> Request | None:
    """Ask for a measurement; None where no runtime measures what the node has.

    Raises GatherError.
    """
    profile = cluster.profile(node)
    subjects = benchmark_requests.subjects(cluster.runtimes(), profile)
    if not subjects:
        return None
    # Requests are compared with the operator's clock, and what was measured by it comes before
    # this request even where our own clock is slow.
    tables = benchmark_requests.tables_of(profile, subjects)
    measured = [timestamps.parse(table.measured_at) for table in tables]
    at = max([now.replace(microsecond=0), *(moment + timedelta(seconds=1) for moment in measured)])
    cluster.request(node, timestamps.text(at))
    return Request(node, profile.status.node_type, subjects, at)


def follow(
    cluster: Cluster,
    asked: Request,
    report: Report,
    *,
    timeout_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> NodeProfile:
    """Return the profile once every table is newer than the request; report what happens.

    Raises GatherError, and TimedOutError after ``timeout_s`` by ``clock`` (seconds).
    """
    deadline_s, progress = clock() + timeout_s, _Progress()
    while True:
        profile = cluster.profile(asked.node)
        missing = benchmark_requests.outstanding(profile, asked.subjects, asked.at)
        if not missing:
            return profile
        if clock() >= deadline_s:
            words = ", ".join(f"{kind} under {runtime}" for _, kind, runtime in missing)
            raise TimedOutError(f"after {timeout_s:g} s there is still no table of {words}")
        for line in progress.look(cluster, asked.node_type):
            report(line)
        sleep(POLL_S)


@dataclass(slots=True)
class _Progress:
    """What was reported already."""

    phases: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    blind: bool = False

    def look(self, cluster: Cluster, node_type: str) -> Iterator[str]:
        """Yield what is new since the last look."""
        if self.blind:
            return
        try:
            jobs = cluster.jobs(node_type)
        except GatherError as error:
            # The table comes with the profile; only its making stays unseen.
            self.blind = True
            yield f"progress cannot be shown: {error}"
            return
        yield from self._news(jobs)

    def _news(self, jobs: Iterable[JobView]) -> Iterator[str]:
        for job in jobs:
            if self.phases.get(job.name) != job.phase:
                self.phases[job.name] = job.phase
                yield f"{job.title}: {job.phase}"
            known = self.lines.get(job.name, 0)
            yield from (f"{job.title}: {line}" for line in job.lines[known:])
            self.lines[job.name] = max(known, len(job.lines))
