"""A model's life under load without a cluster: a batching algorithm on the digital twin.

Once a second each pod's counters are read as Triton would show them; ``window.observe`` makes
the windows, the algorithm decides at the end of each, and ``step`` says what is done about it, as
in the operator: what binds a change there binds it here, and the record of changes is the same.
A change is carried out after the time that its actuator takes, during which the previous
configuration serves. Not modelled: the second copy of the model that is resident meanwhile, the
time that the operator takes to read and decide, and that a reload sets counters back (the window
that contains it is discarded in any case). No change fails.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from ferryman.api.batching import Batching
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.scaling import ScalingChange, ScalingSpec
from ferryman.core.batching.actuators import ACTUATORS, Server
from ferryman.core.batching.changes import Actuation, record_outcome, record_started
from ferryman.core.batching.step import Rules, Step, StepContext, step
from ferryman.core.observation.window import Window, WindowState, observe
from ferryman.core.queue_model.queueing import Batcher
from ferryman.core.simulator import loads
from ferryman.core.simulator.figures import Floats, measure
from ferryman.core.simulator.pod_log import PodLog
from ferryman.core.simulator.replicas import ReplicaPods
from ferryman.core.simulator.rescaling import JudgedWindow, OwnScaling
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.tuned_run import CapacityShortage, Change, Run, Tuned
from ferryman.core.snapshot import LiveCapView, ServingState
from ferryman.core.triton import live_cap
from ferryman.core.triton.config import LiveCap
from ferryman.core.tuners.needs import Enough
from ferryman.core.tuners.protocol import Decision

#: Counters are read this often, as by the operator.
READING_S: Final = 1
_NOTHING: Final = np.empty(0, dtype=np.float64)
#: Simulated time starts here: guardrails compare moments.
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the operator knows between two readings."""

    applied: Batching
    loaded: Batching
    """What was loaded last: the live cap may hold its bound down."""
    tuner: Any
    window: WindowState = field(default_factory=WindowState)
    windows: int = 0
    pending: Change | None = None
    changes: tuple[Change, ...] = ()
    history: InferenceModelStatus = field(default_factory=InferenceModelStatus)
    taken: Step | None = None
    """What was done about the algorithm's latest word."""
    shortage: CapacityShortage | None = None


def simulate(scenario: Scenario, pods_arrivals_s: Sequence[Floats], tuned: Tuned) -> Run:
    """Let an algorithm tune the model from beginning to end, and scale it where that is asked.

    Raises ValueError when it wants a bound that the service time curve does not reach.
    """
    if scenario.scaling is not None and tuned.algorithm is not None:
        return _simulate_scaled(scenario, scenario.scaling, pods_arrivals_s, tuned)
    standing = _standing(scenario, tuned)
    pods = {
        f"pod-{i}": _pod(scenario, standing.applied, 1.0, moments, i)
        for i, moments in enumerate(pods_arrivals_s)
    }
    factors = scenario.service_time.factors
    for now_s in range(0, int(scenario.duration_s) + 1, READING_S):
        standing, _ = _second(scenario, pods, standing, float(now_s), tuned)
        if now_s in factors:
            _change_service(scenario, pods.values(), factors[now_s], now_s)
    return _run(scenario, standing, tuple(pods.values()))


def _simulate_scaled(
    scenario: Scenario, spec: ScalingSpec, pods_arrivals_s: Sequence[Floats], tuned: Tuned
) -> Run:
    """Likewise, with pods that come and go as is decided."""
    standing, factor, scaled = _standing(scenario, tuned), 1.0, list[ScalingChange]()
    scaler = tuned.scaler or OwnScaling(spec)
    pods = ReplicaPods(
        scenario,
        np.sort(np.concatenate(pods_arrivals_s)),
        lambda: _pod(scenario, standing.applied, factor),
    )
    pods.begin(max(spec.min_replicas, min(scenario.replicas, spec.max_replicas)))
    for now_s in range(0, int(scenario.duration_s) + 1, READING_S):
        pods.pass_to(float(now_s))
        standing, seen = _second(scenario, pods.serving, standing, float(now_s), tuned)
        if now_s in scenario.service_time.factors:
            factor = scenario.service_time.factors[now_s]
            _change_service(scenario, pods.logs, factor, now_s)
        history, change = scaler(standing.history, seen, pods, _moment(now_s))
        standing = replace(standing, history=history)
        if change is not None:
            scaled.append(change)
            pods.scale(change.after, float(now_s))
    run = _run(scenario, standing, pods.logs)
    return replace(run, scaled=tuple(scaled), pod_seconds=pods.pod_seconds)


def _standing(scenario: Scenario, tuned: Tuned) -> Standing:
    applied = scenario.start if tuned.start is None else scenario.in_effect(tuned.start)
    return Standing(applied, applied, tuned.state)


def _pod(
    scenario: Scenario,
    batching: Batching,
    factor: float,
    arrivals_s: Floats = _NOTHING,
    number: int = 0,
) -> PodLog:
    batcher = Batcher(
        batching, _service_s(scenario, factor), scenario.parallelism, scenario.variable_inputs
    )
    working = scenario.max_working_batch or float("inf")
    return PodLog(arrivals_s, batcher, working, loads.noise(scenario, number, arrivals_s.size))


def _change_service(
    scenario: Scenario, pods: Iterable[PodLog], factor: float, now_s: float
) -> None:
    for pod in pods:
        pod.run(float(now_s))
        pod.change_service(_service_s(scenario, factor), float(now_s))


def _run(scenario: Scenario, standing: Standing, pods: Sequence[PodLog]) -> Run:
    served = tuple(pod.drain() for pod in pods)
    return Run(
        batching=standing.applied,
        figures=measure(scenario, served),
        changes=standing.changes,
        windows=standing.windows,
        shortage=standing.shortage,
        served=served,
        pod_seconds=len(pods) * scenario.duration_s,
    )


def _service_s(scenario: Scenario, factor: float) -> tuple[float, ...]:
    return scenario.service_time.curve_s(scenario.batching.limits.max_batch_size.max, factor=factor)


def _second(
    scenario: Scenario,
    pods: dict[str, PodLog],
    standing: Standing,
    now_s: float,
    tuned: Tuned,
) -> tuple[Standing, JudgedWindow | None]:
    """Let time pass to the next reading, look at the pods, and decide where a window ended."""
    if tuned.algorithm is None:
        return standing, None
    standing = _carried_out(pods, standing, now_s)
    standing, window = _observed(scenario, pods, standing, now_s)
    if window is None:
        return standing, None
    word = tuned.algorithm(
        scenario.batching, scenario.objectives, standing.applied, window, standing.tuner
    )
    standing = answered(scenario, standing, word, now_s, guarded=tuned.guarded)
    return standing, JudgedWindow(window, word)


def answered(
    scenario: Scenario, standing: Standing, word: Decision, now_s: float, *, guarded: bool
) -> Standing:
    """Do what is to be done about an algorithm's word."""
    taken = _step(scenario, standing, word, now_s, guarded=guarded)
    return _followed(scenario, _noted(standing, taken, now_s), taken, now_s)


def _carried_out(pods: dict[str, PodLog], standing: Standing, now_s: float) -> Standing:
    """Put the change that is under way into force, if that is over by now."""
    change = standing.pending
    if change is None or change.at_s > now_s:
        return standing
    traits = ACTUATORS[change.actuator]
    for pod in pods.values():
        pod.change(change.after, change.at_s, drain=traits.reloads)
    bound = (standing.loaded if traits.keeps_bound else change.after).max_batch_size
    return replace(
        standing,
        applied=change.after,
        loaded=change.after.with_(max_batch_size=bound) if traits.loads else standing.loaded,
        pending=None,
        changes=(*standing.changes, change),
        history=record_outcome(
            standing.history, _actuation(change), "Applied", "", _moment(change.at_s)
        ),
    )


def _observed(
    scenario: Scenario, pods: dict[str, PodLog], standing: Standing, now_s: float
) -> tuple[Standing, Window | None]:
    for pod in pods.values():
        pod.run(now_s)
    state, window = observe(
        standing.window,
        {name: pod.look(now_s) for name, pod in pods.items()},
        scenario.batching.window,
        percentile=scenario.objectives.percentile,
        now_s=now_s,
        changed_at_s=standing.changes[-1].at_s if standing.changes else None,
        hasty=scenario.batching.algorithm == "Guarded",
    )
    if standing.pending is not None:
        window = None
    ended = standing.windows + (window is not None)
    return replace(standing, window=state, windows=ended), window


def _noted(standing: Standing, taken: Step, now_s: float) -> Standing:
    """Remember when the algorithm first said that replicas are lacking, and how many last."""
    if isinstance(taken.needs, Enough):
        return standing
    first = standing.shortage or CapacityShortage(standing.windows, now_s, taken.needs)
    return replace(standing, shortage=replace(first, needs=taken.needs))


def _step(
    scenario: Scenario, standing: Standing, word: Decision, now_s: float, *, guarded: bool
) -> Step:
    """Return what is done about the algorithm's word."""
    spec = scenario.batching
    context = StepContext(
        applied=standing.applied,
        history=standing.history.batching,
        servers=(Server(live_cap=_live_cap(scenario, standing)),),
        rules=Rules(
            guardrails=spec.guardrails if guarded else None,
            recommend=spec.mode == "Recommend",
            in_effect=scenario.in_effect,
        ),
        now=_moment(now_s),
    )
    return step(word, context, state=standing.tuner)


def _live_cap(scenario: Scenario, standing: Standing) -> LiveCapView | None:
    """Return the live cap that the pods have, loaded with what is."""
    if not scenario.live_cap:
        return None
    serving = ServingState(variable_inputs=scenario.variable_inputs)
    found = live_cap.with_batching(scenario.batching, serving, standing.loaded)
    return (
        LiveCapView(loaded=standing.loaded, largest=found.largest)
        if isinstance(found, LiveCap)
        else None
    )


def _followed(scenario: Scenario, standing: Standing, taken: Step, now_s: float) -> Standing:
    """Begin to carry a change out, if that is what is done."""
    standing = replace(standing, tuner=taken.state, taken=taken)
    if taken.verb != "Change" or taken.actuator is None:
        return standing
    change = Change(
        window=standing.windows,
        begun_at_s=now_s,
        at_s=now_s + scenario.reload.seconds(taken.actuator),
        actuator=taken.actuator,
        before=standing.applied,
        after=taken.batching,
        reason=taken.reason,
        message=taken.message,
    )
    history = record_started(standing.history, _actuation(change), _moment(now_s))
    return replace(standing, pending=change, history=history)


def _actuation(change: Change) -> Actuation:
    return Actuation(
        change.before, change.after, change.actuator, change.reason, change.message, pods=()
    )


def _moment(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)
