"""A model's life under load without a cluster: a batching algorithm on the digital twin.

Once a second each pod's counters are read as Triton would show them; ``window.observe`` makes
the windows, the algorithm decides at the end of each, and ``guardrails.refuse_reload`` may
object, as in the operator. A change is carried out after the time that its actuator takes,
during which the previous configuration serves. Not modelled: the second copy of the model that
is resident meanwhile, the time that the operator takes to read and decide, and that a reload
sets counters back (the window that contains it is discarded in any case).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ferryman.api.batching import Batching
from ferryman.core import timestamps
from ferryman.core.batching import guardrails
from ferryman.core.batching.actuators import cheapest_actuator
from ferryman.core.observation.window import Window, WindowState, observe
from ferryman.core.queue_model.queueing import Batcher
from ferryman.core.simulator.figures import Floats, measure
from ferryman.core.simulator.pod_log import PodLog
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.tuned_run import CapacityShortage, Change, Run, Tuned
from ferryman.core.tuners.protocol import Decision

#: Counters are read this often, as by the operator.
READING_S: Final = 1
#: Simulated time starts here: guardrails compare moments.
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the operator knows between two readings."""

    applied: Batching
    tuner: Any
    window: WindowState = field(default_factory=WindowState)
    windows: int = 0
    pending: Change | None = None
    changes: tuple[Change, ...] = ()
    shortage: CapacityShortage | None = None


def simulate(scenario: Scenario, pods_arrivals_s: Sequence[Floats], tuned: Tuned) -> Run:
    """Let an algorithm tune the model from beginning to end.

    Raises ValueError when it wants a bound that the service time curve does not reach.
    """
    applied = scenario.start if tuned.start is None else tuned.start
    batcher = Batcher(applied, _service_s(scenario, 1.0))
    working = scenario.max_working_batch or float("inf")
    pods = {
        f"pod-{i}": PodLog(moments, batcher, working) for i, moments in enumerate(pods_arrivals_s)
    }
    standing = _Standing(applied, tuned.state)
    factors = {drift.at_seconds: drift.factor for drift in scenario.service_time.drift}
    for now_s in range(0, int(scenario.duration_s) + 1, READING_S):
        standing = _second(scenario, pods, standing, float(now_s), tuned)
        if now_s in factors:
            for pod in pods.values():
                pod.run(float(now_s))
                pod.change_service(_service_s(scenario, factors[now_s]), float(now_s))
    served = tuple(pod.drain() for pod in pods.values())
    return Run(
        batching=standing.applied,
        figures=measure(scenario, served),
        changes=standing.changes,
        windows=standing.windows,
        shortage=standing.shortage,
        served=served,
    )


def _service_s(scenario: Scenario, factor: float) -> tuple[float, ...]:
    return scenario.service_time.curve_s(scenario.batching.limits.max_batch_size.max, factor=factor)


def _second(
    scenario: Scenario,
    pods: dict[str, PodLog],
    standing: _Standing,
    now_s: float,
    tuned: Tuned,
) -> _Standing:
    """Let time pass to the next reading, look at the pods, and decide where a window ended."""
    if tuned.algorithm is None:
        return standing
    standing = _carried_out(pods, standing, now_s)
    standing, window = _observed(scenario, pods, standing, now_s)
    if window is None:
        return standing
    decision = tuned.algorithm(
        scenario.batching, scenario.objectives, standing.applied, window, standing.tuner
    )
    standing = _noted(standing, decision, now_s)
    if decision.batching.canonical() == standing.applied:
        return replace(standing, tuner=decision.state)
    return _begun(scenario, standing, decision, now_s, guarded=tuned.guarded)


def _carried_out(pods: dict[str, PodLog], standing: _Standing, now_s: float) -> _Standing:
    """Put the change that is under way into force, if that is over by now."""
    change = standing.pending
    if change is None or change.at_s > now_s:
        return standing
    for pod in pods.values():
        pod.change(change.after, change.at_s, drain=change.actuator == "Reload")
    carried_out = (*standing.changes, change)
    return replace(standing, applied=change.after, pending=None, changes=carried_out)


def _observed(
    scenario: Scenario, pods: dict[str, PodLog], standing: _Standing, now_s: float
) -> tuple[_Standing, Window | None]:
    for pod in pods.values():
        pod.run(now_s)
    state, window = observe(
        standing.window,
        {name: pod.look(now_s) for name, pod in pods.items()},
        scenario.batching.window,
        percentile=scenario.objectives.percentile,
        now_s=now_s,
        changed_at_s=standing.changes[-1].at_s if standing.changes else None,
    )
    if standing.pending is not None:
        window = None
    ended = standing.windows + (window is not None)
    return replace(standing, window=state, windows=ended), window


def _noted(standing: _Standing, decision: Decision, now_s: float) -> _Standing:
    """Remember when the algorithm first said that replicas are lacking, and how many last."""
    if decision.needs_replicas is None:
        return standing
    first = standing.shortage or CapacityShortage(standing.windows, now_s, decision.needs_replicas)
    return replace(standing, shortage=replace(first, replicas=decision.needs_replicas))


def _begun(
    scenario: Scenario, standing: _Standing, decision: Decision, now_s: float, *, guarded: bool
) -> _Standing:
    """Begin to carry out a decision, unless the guardrails forbid a reload now.

    An algorithm that is refused keeps its state of before, unless it says what else.
    """
    wanted = decision.batching.canonical()
    actuator = cheapest_actuator(standing.applied, wanted, live_cap=scenario.live_cap)
    if guarded and actuator == "Reload" and _refused(scenario, standing, decision, now_s):
        kept = standing.tuner if decision.if_refused is None else decision.if_refused
        return replace(standing, tuner=kept)
    change = Change(
        window=standing.windows,
        begun_at_s=now_s,
        at_s=now_s + _takes_s(scenario, actuator),
        actuator=actuator,
        before=standing.applied,
        after=wanted,
        reason=decision.reason,
        message=decision.message,
    )
    return replace(standing, pending=change, tuner=decision.state)


def _takes_s(scenario: Scenario, actuator: str) -> float:
    takes = scenario.reload
    by_actuator = {"LiveCap": takes.live_cap_seconds, "InPlace": takes.in_place_seconds}
    return by_actuator.get(actuator, takes.load_seconds)


def _refused(scenario: Scenario, standing: _Standing, decision: Decision, now_s: float) -> bool:
    reloads = [change for change in standing.changes if change.actuator == "Reload"]
    refused = guardrails.refuse_reload(
        scenario.batching.guardrails,
        tuple(timestamps.text(_moment(change.begun_at_s)) for change in reloads),
        _moment(now_s),
        rollback=decision.reason in guardrails.ROLLBACKS,
    )
    return refused is not None


def _moment(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)
