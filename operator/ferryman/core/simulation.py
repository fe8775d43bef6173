"""A model's life under load without a cluster: the operator's own tuner on the digital twin.

Window by window, each pod's counters are read as Triton would show them; ``window.observe``
makes the window, ``tuner.tune`` decides and ``guardrails.refuse_reload`` may object, as in the
operator. A change is carried out after the time that loading takes, during which the previous
configuration serves. Not modelled: the second copy of the model that is resident meanwhile, the
time that the operator takes to read and decide, and that a reload sets counters back (the window
that contains it is discarded in any case).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import numpy as np

from ferryman.api.batching import Batching, WindowSettings
from ferryman.api.conditions import Reason
from ferryman.core import arrivals, guardrails, times
from ferryman.core.arrivals import Phase
from ferryman.core.changes import cheapest_actuator
from ferryman.core.figures import Figures, Floats, measure
from ferryman.core.pod_log import PodLog
from ferryman.core.queueing import Batcher
from ferryman.core.scenario import MAX_REQUESTS, Arrivals, Scenario
from ferryman.core.tuner import TuneDecision, TunerState, tune
from ferryman.core.window import Window, WindowState, observe

Algorithm = Literal["Trend", "Fixed"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("Trend", "Fixed")

#: Simulated time starts here: guardrails compare moments.
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_ANY_REQUESTS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """A change of batching that was carried out."""

    window: int
    """The number of windows that had ended when it was decided."""
    at_s: float
    """When the new configuration came into force."""
    actuator: str
    before: Batching
    after: Batching
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Run:
    """What an algorithm did and what it was worth."""

    algorithm: Algorithm
    batching: Batching
    """What was in force at the end."""
    figures: Figures
    changes: tuple[Change, ...]

    @property
    def changes_by_actuator(self) -> dict[str, int]:
        """How often each actuator was used."""
        used = [change.actuator for change in self.changes]
        return {actuator: used.count(actuator) for actuator in sorted(set(used))}


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the operator knows between two windows."""

    applied: Batching
    window: WindowState = field(default_factory=WindowState)
    tuner: TunerState = field(default_factory=TunerState)
    pending: Change | None = None
    changes: tuple[Change, ...] = ()


def loads(scenario: Scenario, gaps_s: Sequence[float] = ()) -> tuple[Floats, ...]:
    """Return the arrival times of each pod in seconds: the same for the same scenario.

    ``gaps_s`` are the inter-arrival times of the trace file, where the scenario names one.
    Raises ValueError when they make no trace, or too many requests.
    """
    generator = np.random.default_rng(scenario.seed)
    moments = _arrivals(scenario.arrivals, scenario.duration_s, generator, gaps_s)
    return arrivals.split(moments, scenario.replicas, generator)


def simulate(scenario: Scenario, pods_arrivals_s: Sequence[Floats], algorithm: Algorithm) -> Run:
    """Let an algorithm tune the model over all windows."""
    largest = scenario.batching.limits.max_batch_size.max
    batcher = Batcher(scenario.start, scenario.service_time.curve_s(largest))
    pods = {f"pod-{i}": PodLog(moments, batcher) for i, moments in enumerate(pods_arrivals_s)}
    standing = _Standing(applied=scenario.start)
    for number in range(scenario.windows + 1):
        standing = _pass(scenario, pods, standing, number, algorithm)
    figures = measure(scenario, [pod.drain() for pod in pods.values()])
    return Run(algorithm, standing.applied, figures, standing.changes)


def _pass(
    scenario: Scenario,
    pods: dict[str, PodLog],
    standing: _Standing,
    number: int,
    algorithm: Algorithm,
) -> _Standing:
    """Let time pass to the end of a window, look at the pods, and decide."""
    now_s = float(number * scenario.window_seconds)
    standing = _carried_out(pods, standing, now_s)
    for pod in pods.values():
        pod.run(now_s)
    standing, window = _observed(scenario, pods, standing, now_s)
    if window is None or algorithm == "Fixed" or standing.pending is not None:
        return standing
    decision = tune(
        scenario.batching, scenario.objectives, standing.applied, window, standing.tuner
    )
    if decision.batching == standing.applied:
        return replace(standing, tuner=decision.state)
    return _begun(scenario, standing, decision, number)


def _carried_out(pods: dict[str, PodLog], standing: _Standing, now_s: float) -> _Standing:
    """Put the change that is being loaded into force, if that is over by now."""
    change = standing.pending
    if change is None or change.at_s > now_s:
        return standing
    for pod in pods.values():
        pod.change(change.after, change.at_s)
    changes = (*standing.changes, change)
    return replace(standing, applied=change.after, pending=None, changes=changes)


def _observed(
    scenario: Scenario, pods: dict[str, PodLog], standing: _Standing, now_s: float
) -> tuple[_Standing, Window | None]:
    latency = scenario.objectives.latency
    seconds = scenario.window_seconds
    state, window = observe(
        standing.window,
        {name: pod.look(now_s) for name, pod in pods.items()},
        WindowSettings(max_requests=_ANY_REQUESTS, max_seconds=seconds, min_seconds=seconds),
        percentile=99 if latency is None else latency.percentile,
        now_s=now_s,
        changed_at_s=standing.changes[-1].at_s if standing.changes else None,
    )
    return replace(standing, window=state), window


def _begun(
    scenario: Scenario, standing: _Standing, decision: TuneDecision, number: int
) -> _Standing:
    """Begin to load the new configuration, unless the guardrails forbid a reload now.

    A tuner that is refused keeps its state of before, as in the operator.
    """
    now_s = float(number * scenario.window_seconds)
    actuator = cheapest_actuator(standing.applied, decision.batching)
    if actuator == "Reload" and _refused(scenario, standing, now_s):
        return standing
    reload = scenario.reload
    takes_s = reload.load_seconds if actuator == "Reload" else reload.in_place_seconds
    change = Change(
        window=number,
        at_s=now_s + takes_s,
        actuator=actuator,
        before=standing.applied,
        after=decision.batching,
        reason=decision.reason,
        message=decision.message,
    )
    return replace(standing, pending=change, tuner=decision.state)


def _refused(scenario: Scenario, standing: _Standing, now_s: float) -> bool:
    reloads = [change for change in standing.changes if change.actuator == "Reload"]
    moments = tuple(times.text(_moment(change.at_s)) for change in reloads)
    return (
        guardrails.refuse_reload(scenario.batching.guardrails, moments, _moment(now_s)) is not None
    )


def _moment(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def _arrivals(
    how: Arrivals, duration_s: float, generator: np.random.Generator, gaps_s: Sequence[float]
) -> Floats:
    if how.poisson is not None:
        return arrivals.poisson(how.poisson.rate_per_second, duration_s, generator)
    if how.steps is not None:
        phases = [Phase(step.seconds, step.rate_per_second) for step in how.steps]
        return arrivals.steps(phases, duration_s, generator)
    if how.mmpp is not None:
        calm = Phase(how.mmpp.calm_mean_seconds, how.mmpp.calm_rate_per_second)
        burst = Phase(how.mmpp.burst_mean_seconds, how.mmpp.burst_rate_per_second)
        return arrivals.mmpp(calm, burst, duration_s, generator)
    if len(gaps_s) * duration_s > MAX_REQUESTS * sum(gaps_s) > 0:
        raise ValueError(f"more than {MAX_REQUESTS} requests would arrive: lower windows")
    return arrivals.trace(gaps_s, duration_s)
