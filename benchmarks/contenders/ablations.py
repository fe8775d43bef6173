"""Guarded less one of its parts each: what the part is for shows in what is lost without it.

Each takes a part away from outside, by what it hands the algorithm to remember or by holding
where the part would change something; the product's code has no switches for this.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from benchmarks.contenders.base import Contender
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window
from ferryman.core.tuners.guarded.reach import GROWTH
from ferryman.core.tuners.learned.demand import Demand
from ferryman.core.tuners.learned.drift import DriftDetector
from ferryman.core.tuners.learned.service_time import Counts, ServiceTimePoint, ServiceTimes
from ferryman.core.tuners.protocol import Algorithm
from ferryman.core.tuners.select import TuneDecision, TunerState, tune
from ferryman.core.tuners.state import Learned, with_bound

T = TypeVar("T")


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


def _as_it_is(each: T) -> T:
    return each


def _as_decided(_: Batching, __: TunerState, decision: TuneDecision) -> TuneDecision:
    return decision


@dataclass(frozen=True, slots=True)
class _Less:
    """Guarded, that is told, remembers or does a little less."""

    forget: Callable[[Learned], Learned] = _as_it_is
    """What is left of what it knows from window to window."""
    see: Callable[[Window], Window] = _as_it_is
    """What is left of what the server shows."""
    do: Callable[[Batching, TunerState, TuneDecision], TuneDecision] = _as_decided
    """What is left of a decision, by what is applied and was remembered."""

    def __call__(
        self,
        spec: BatchingSpec,
        objectives: Objectives,
        applied: Batching,
        window: Window,
        state: TunerState,
    ) -> TuneDecision:
        remembered = replace(state, learned=self.forget(state.learned))
        decision = tune(spec, objectives, applied, self.see(window), remembered)
        return self.do(applied, state, decision)


def _holding(reason: Reason) -> _Less:
    """Return Guarded that stays where it would change something for one reason."""

    def stay(applied: Batching, state: TunerState, decision: TuneDecision) -> TuneDecision:
        if decision.reason != reason:
            return decision
        return replace(decision, batching=applied, state=decision.if_refused or state)

    return _Less(do=stay)


def _without_backlog(window: Window) -> Window:
    """Steady demand is all that is looked at: nobody says how many wait."""
    return replace(window, pending=None)


def _with_plain_growth(applied: Batching, _: TunerState, decision: TuneDecision) -> TuneDecision:
    """Grow to four times what was run at most, as where something could be lost."""
    run = max(decision.state.learned.service.sizes, default=1)
    most = max(GROWTH * run, applied.max_batch_size)
    if decision.batching.max_batch_size <= most:
        return decision
    return replace(decision, batching=with_bound(decision.batching, most))


@dataclass(frozen=True, slots=True)
class _Fearless(ServiceTimes):
    """Service times of which nothing worse is feared than is expected."""

    def feared_ms(self, instances: int, bound: int) -> tuple[float, ...]:
        return self.curve_ms(instances, bound)

    def with_window(self, instances: int, counts: Counts) -> "_Fearless":
        return _Fearless(ServiceTimes(self.points).with_window(instances, counts).points)

    def scaled(self, factor: float) -> "_Fearless":
        return _Fearless(ServiceTimes(self.points).scaled(factor).points)


def _without_fear(learned: Learned) -> Learned:
    return replace(learned, service=_Fearless(learned.service.points))


def _guarded(spec: BatchingSpec) -> BatchingSpec:
    return spec.with_(algorithm="Guarded")


def _contender(name: str, part: str, algorithm: Algorithm) -> Contender:
    return Contender(
        f"guarded-without-{name}",
        f"Guarded without {part}",
        algorithm,
        TunerState(),
        spec=_guarded,
        guarded=True,
        part=part,
    )


ABLATIONS: Final = (
    _contender("verification", "verification and rollback", _Less(forget=_without_verification)),
    _contender("drift", "drift detection", _Less(forget=_without_drift)),
    _contender("history", "the history of demand", _Less(forget=_without_history)),
    _contender("shape", "the shape of the service time", _Less(forget=_without_shape)),
    _contender("economy", "economy", _holding(Reason.CHEAPER)),
    _contender("exploration", "exploration", _holding(Reason.EXPLORING)),
    _contender("backlog", "the backlog", _Less(see=_without_backlog)),
    _contender("fear", "the pessimistic bound", _Less(forget=_without_fear)),
    _contender("jump", "the first jump as far as it takes", _Less(do=_with_plain_growth)),
)
