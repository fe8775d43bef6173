"""Guarded less one of its parts each: what the part is for shows in what is lost without it.

Each takes a part away from outside, by what it hands the algorithm to remember or by holding
where the part would change something; the product's code has no switches for this.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from benchmarks.contenders.base import Contender
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window
from ferryman.core.tuners.learned.demand import Demand
from ferryman.core.tuners.learned.drift import DriftDetector
from ferryman.core.tuners.learned.service_time import ServiceTimePoint, ServiceTimes
from ferryman.core.tuners.select import TuneDecision, TunerState, tune
from ferryman.core.tuners.state import Learned

Forget = Callable[[Learned], Learned]


def _without_verification(learned: Learned) -> Learned:
    return replace(learned, trial=None)


def _without_drift(learned: Learned) -> Learned:
    return replace(learned, drift=DriftDetector())


def _without_history(learned: Learned) -> Learned:
    """Every window is judged by its own demand: bursts of earlier ones are forgotten."""
    return replace(learned, demand=Demand())


def _without_shape(learned: Learned) -> Learned:
    """Keep of the service times the size that was run most: nothing tells of others."""
    points = {
        instances: dict([max(seen.items(), key=_weight)])
        for instances, seen in learned.service.points.items()
        if seen
    }
    return replace(learned, service=ServiceTimes(points))


def _weight(item: tuple[int, ServiceTimePoint]) -> float:
    return item[1].weight


class _Forgetful:
    """Guarded, that does not remember one thing from window to window."""

    def __init__(self, forget: Forget) -> None:
        self._forget = forget

    def __call__(
        self,
        spec: BatchingSpec,
        objectives: Objectives,
        applied: Batching,
        window: Window,
        state: TunerState,
    ) -> TuneDecision:
        remembered = replace(state, learned=self._forget(state.learned))
        return tune(spec, objectives, applied, window, remembered)


def _without_economy(
    spec: BatchingSpec,
    objectives: Objectives,
    applied: Batching,
    window: Window,
    state: TunerState,
) -> TuneDecision:
    decision = tune(spec, objectives, applied, window, state)
    if decision.reason != Reason.CHEAPER:
        return decision
    return replace(decision, batching=applied, state=decision.if_refused or state)


def _guarded(spec: BatchingSpec) -> BatchingSpec:
    return spec.with_(algorithm="Guarded")


def _contender(name: str, part: str, forget: Forget) -> Contender:
    return Contender(
        f"guarded-without-{name}",
        f"Guarded without {part}",
        _Forgetful(forget),
        TunerState(),
        spec=_guarded,
        guarded=True,
        part=part,
    )


ABLATIONS: Final = (
    _contender("verification", "verification and rollback", _without_verification),
    _contender("drift", "drift detection", _without_drift),
    _contender("history", "the history of demand", _without_history),
    _contender("shape", "the shape of the service time", _without_shape),
    Contender(
        "guarded-without-economy",
        "Guarded without economy",
        _without_economy,
        TunerState(),
        spec=_guarded,
        guarded=True,
        part="economy",
    ),
)
