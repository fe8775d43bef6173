"""Where an act is played: serve, watch while a load runs, let the operator act, record it all."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console

from ferryman.api.inference_model import InferenceModel
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from hack import installation
from hack.cluster import Cluster
from hack.demo import scenario, watching
from hack.demo.story import Look, Story, began, changes_of, seconds_of
from hack.demo.watching import Api, NotSeen
from hack.load_job import LoadJob

READY_TIMEOUT_S = 240
TOLD_EVERY_S: Final = 5
LOOK_EVERY_S: Final = 1.0
PROBES: Final = 5
#: So many requests that wait have shown enough, ...
WATCHED_WAITING: Final = 300
#: ... and of so many `ferryman load` would soon not send any more.
MOST_WAITING: Final = 700
#: A load that ends soon is not ended.
ENDING_S: Final = 5
PLURALS: Final = {
    "inferencemodel": InferenceModel.resource.plural,
    "inferencepipeline": InferencePipeline.resource.plural,
}


@dataclass(frozen=True)
class Stage:
    """A cluster with Ferryman, and where to tell what happens."""

    console: Console
    cluster: Cluster
    api: Api

    def tell(self, what: str) -> None:
        """Say what happens next."""
        self.console.print(f"[bold]==>[/bold] {what}", highlight=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is served in an act."""

    kind: str
    name: str
    service: str
    manifest: Callable[[str], dict[str, Any]]
    """The object, with the operator's mode in it."""
    setting: Callable[[Mapping[str, Any]], dict[str, int]]
    """What of its status is in force."""
    journal: Callable[[Mapping[str, Any]], list[dict[str, Any]]]
    """The changes in its status."""
    busy_model: str = ""
    """Whose device time is recorded; empty: nobody's."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the operator only watches, and when there is enough to be seen."""

    watched_s: float
    stays_s: float
    """After the last change, with nothing left waiting."""
    hopeless_s: float = 20.0
    """No more is sent once as much waits as is asked for in this time: the machine is too busy."""


@dataclass
class _Recording:
    looks: list[tuple[float, dict[str, int], float | None]] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    allowed: float | None = None


def serve(stage: Stage, subject: Subject, mode: str) -> None:
    """Apply it, and wait until it is Ready; the fault tells what its conditions say."""
    where = f"--namespace={scenario.NAMESPACE}"
    installation.apply(stage.cluster, subject.manifest(mode))

    def ready() -> bool:
        found = installation.get(stage.cluster, subject.kind, subject.name, scenario.NAMESPACE)
        return (installation.condition(found, "Ready") or {}).get("status") == "True"

    installation.wait_for(
        f"{subject.name} to be Ready",
        ready,
        timeout_s=READY_TIMEOUT_S,
        explain=lambda: stage.cluster.kubectl("describe", subject.kind, subject.name, where),
    )


def milliseconds(
    api: Api, service: str, model: str, request: Mapping[str, Any]
) -> dict[str, list[float]]:
    """Return how long executions took of each model that a request goes through.

    The request is sent alone, a few times; the first warms up and does not count.
    """
    took: dict[str, list[float]] = {}
    before = api.statistics(service)
    for number in range(PROBES + 1):
        api.infer(service, model, request)
        after = api.statistics(service)
        for name, counted in after.items():
            runs = watching.executions(counted) - watching.executions(before[name])
            used_s = watching.executed_s(counted) - watching.executed_s(before[name])
            if number and runs > 0:
                took.setdefault(name, []).append(1e3 * used_s / runs)
        before = after
    return took


def record(
    stage: Stage, subject: Subject, job: LoadJob, timing: Timing
) -> tuple[Story, dict[str, Any]]:
    """Run the load, let the operator act after a while; return the story and the last status."""
    seen, told_s, interrupted = _Recording(), 0.0, False
    stage.tell(f"sending {job.spec.rate_per_s:g} requests/s, whatever is answered")
    job.start()
    while not job.finished:
        _look(stage, subject, seen)
        now_s = job.seconds[-1]["t"] if job.seconds else 0.0
        if seen.allowed is None and _is_watched(job.seconds, timing):
            installation.apply(stage.cluster, subject.manifest(scenario.ACTS))
            seen.allowed = time.time()
            stage.tell("Ferryman only watched until now; from now on it may act")
        if now_s >= told_s + TOLD_EVERY_S:
            told_s = now_s
            stage.console.print(f"  {_line(job.seconds[-1], seen)}", highlight=False)
        story, sends = story_of(subject, job, seen), now_s < job.spec.duration_s - ENDING_S
        enough = _is_over(story, timing) or _is_hopeless(story, timing, job.spec.rate_per_s)
        if enough and sends and not interrupted:
            job.interrupt()
            interrupted = True
        time.sleep(LOOK_EVERY_S)
    job.wait()
    _look(stage, subject, seen)
    return story_of(subject, job, seen), seen.status


def story_of(subject: Subject, job: LoadJob, seen: "_Recording") -> Story:
    """Return what was recorded until now."""
    lines = list(job.seconds)
    began_s = began(lines) if lines else time.time()
    allowed_at_s = seen.allowed - began_s if seen.allowed else float("inf")
    looks = (Look(at - began_s, setting, busy_s) for at, setting, busy_s in seen.looks)
    changes = changes_of(subject.journal(seen.status), began_s)
    made = tuple(each for each in changes if each.at_s > 0)
    return Story(seconds_of(lines), tuple(looks), made, allowed_at_s)


def _look(stage: Stage, subject: Subject, seen: _Recording) -> None:
    try:
        found = stage.api.object(PLURALS[subject.kind], subject.name)
        counted = stage.api.statistics(subject.service) if subject.busy_model else {}
    except NotSeen as fault:
        stage.console.print(f"  not looked this time: {fault}", highlight=False)
        return
    seen.status = found.get("status", {})
    mine = counted.get(subject.busy_model)
    busy_s = watching.executed_s(mine) if mine else None
    seen.looks.append((time.time(), subject.setting(seen.status), busy_s))


def _is_watched(lines: Sequence[Mapping[str, Any]], timing: Timing) -> bool:
    """Whether there is enough of a before: so many seconds, or so much that waits."""
    return bool(lines) and (
        lines[-1]["t"] >= timing.watched_s or lines[-1]["in_flight"] >= WATCHED_WAITING
    )


def _is_over(story: Story, timing: Timing) -> bool:
    """Whether the operator has changed something, and it has been seen for long enough."""
    if not story.changes or not story.seconds:
        return False
    last = story.seconds[-1]
    return (
        last.at_s >= story.changes[-1].at_s + timing.stays_s
        and last.at_s >= story.allowed_at_s + timing.stays_s
        and last.waiting <= max(2, last.asked)
    )


def _is_hopeless(story: Story, timing: Timing, rate_per_s: float) -> bool:
    """Whether more waits than will be answered within a demo, whatever the operator does."""
    waiting = story.seconds[-1].waiting if story.seconds else 0
    return waiting > min(timing.hopeless_s * rate_per_s, MOST_WAITING)


def _line(second: Mapping[str, Any], seen: _Recording) -> str:
    setting = seen.looks[-1][1] if seen.looks else {}
    shown = " ".join(f"{name}={value}" for name, value in setting.items())
    return (
        f"{second['t']:3.0f} s: {second['sent']} asked, {second['ok']} answered, "
        f"p99 {second['p99_ms'] or 0:,.0f} ms, {second['in_flight']} waiting; {shown}"
    )
