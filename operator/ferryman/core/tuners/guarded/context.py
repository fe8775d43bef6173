"""One window of one model as ``Guarded`` looks at it, and the two answers there are."""

from dataclasses import dataclass, replace
from functools import cache
from math import inf, isfinite
from typing import Final

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.objectives import Objectives
from ferryman.core.observation.objectives import Verdict
from ferryman.core.observation.window import Window
from ferryman.core.tuners.guarded import exploration, learning
from ferryman.core.tuners.guarded.prediction import Goal
from ferryman.core.tuners.guarded.reach import Reach
from ferryman.core.tuners.guarded.search import SearchContext
from ferryman.core.tuners.needs import ENOUGH, Needs
from ferryman.core.tuners.protocol import InEffect
from ferryman.core.tuners.state import MEMORY_S, Learned, Trial, TuneDecision, TunerState

#: Utilisation from which a model counts as saturated: offered rate by capacity.
SATURATED: Final = 0.9
#: So many full batches for each instance are no backlog: they are formed, or the next.
BATCHES_AHEAD: Final = 2
#: Waiting requests fill batches to this share of a bound that holds them back.
FULL: Final = 0.9
#: What device time is spared is told by the demand of so long.
RECENT_S: Final = 30.0
_US_PER_MS: Final = 1e3
_MS_PER_S: Final = 1e3


@dataclass(frozen=True, slots=True)
class TuningContext:
    """A window, what it taught, and what was asked for."""

    spec: BatchingSpec
    objectives: Objectives
    applied: Batching
    window: Window
    state: TunerState
    """Already with what the window taught."""
    verdict: Verdict
    in_effect: InEffect = Batching.canonical
    """What the model's own configuration makes of a batching."""

    @property
    def learned(self) -> Learned:
        """What is known."""
        return self.state.learned

    @property
    def goal(self) -> Goal:
        """What requests are to be answered within."""
        return learning.goal(self.objectives, self.window)

    @property
    def service_ms(self) -> float:
        """What a full batch takes."""
        bound, instances = self.applied.max_batch_size, self.applied.instances
        return self.learned.service.curve_ms(instances, bound)[-1]

    @property
    def rate_per_s(self) -> float:
        """What clients ask of one pod."""
        return self.window.offered_inferences_per_s / self.window.pods

    @property
    def saturated(self) -> bool:
        """Whether the bound holds requests back: then latency says nothing about its size."""
        window, applied = self.window, self.applied
        explained_ms = (
            window.compute_ms or 0.0
        ) + applied.max_queue_delay_microseconds / _US_PER_MS
        full = (window.mean_batch_size or 0.0) >= FULL * applied.max_batch_size
        if full and (window.queue_ms or 0.0) > explained_ms:
            return True
        return self.rate_per_s > SATURATED * self.capacity_per_s

    @property
    def capacity_per_s(self) -> float:
        """What full batches of the applied configuration serve in one pod."""
        return self.applied.instances * self.applied.max_batch_size / self.service_ms * _MS_PER_S

    @property
    def backlog(self) -> float:
        """Requests that wait in each pod beside those that will be in time.

        Without a latency objective: beside those that the next batches take.
        """
        pending = (self.window.pending or 0) / self.window.pods
        ahead: float = BATCHES_AHEAD * self.applied.instances * self.applied.max_batch_size
        target_ms = self.goal.target_ms
        if isfinite(target_ms):
            ahead = self.capacity_per_s * max(0.0, target_ms - self.service_ms) / _MS_PER_S
        return max(0.0, pending - ahead)

    @property
    def late(self) -> bool:
        """Whether hardly a request is in time, and those that come now will not be either.

        Without a latency objective: whether more wait than are served in a window.
        """
        window, target_ms = self.window, self.goal.target_ms
        rejected = window.failures if window.rejected is None else window.rejected
        if rejected > window.requests:
            return True
        if not isfinite(target_ms):
            return self.backlog > window.inferences / window.pods
        return self.backlog > 0 and (window.mean_latency_ms or inf) > target_ms / 2

    @property
    def undelayed(self) -> Batching:
        """The applied configuration with as little queue delay as is allowed."""
        least_us = self.spec.limits.max_queue_delay_microseconds.min
        return self.applied.with_(max_queue_delay_microseconds=least_us)

    @property
    def reach(self) -> Reach:
        """What limits the bound."""
        learned = self.learned
        return Reach(
            limits=self.spec.sought,
            present=self.applied,
            seen=learned.service.sizes,
            safe_bound=learned.safe_bound,
            failed=tuple(
                trial for trial, until_s in learned.failed if until_s > self.window.ended_at_s
            ),
            rising=exploration.rising(learned.service.known(self.applied.instances)),
            hoped=self._hoped if self.late else 0.0,
        )

    @property
    def _hoped(self) -> float:
        """Return the bound that would serve the demand if larger batches took no longer."""
        instances, bound = self.applied.instances, self.applied.max_batch_size
        demand_per_s = max(self.learned.demand.latest_per_s / self.window.pods, self.rate_per_s)
        return max(bound * demand_per_s / self.capacity_per_s, bound) * min(instances, 1)

    @property
    def _lasting_per_s(self) -> float:
        """What is asked of a pod from now on: where requests wait already, what came last.

        Had it been a burst, the next one would find the same capacity.
        """
        demand = self.learned.demand
        latest_per_s = demand.latest_per_s if self.late else 0.0
        return max(demand.lasting_per_s, latest_per_s) / self.window.pods

    def economical(self) -> SearchContext:
        """Return the question what device time the demand of now would take by other means.

        They are allowed by all of the demand that is remembered. Raises ValueError where nothing
        was asked for.
        """
        demand, pods = self.learned.demand, self.window.pods
        recent = demand.of_latest(RECENT_S)
        load = (recent if recent.rate_per_s > 0 else demand).load(pods)
        return replace(self.question(), load=load, past=demand.load(pods, whole=True))

    def question(self) -> SearchContext:
        """Return what the search needs to know. Raises ValueError where nothing was asked for."""
        return SearchContext(
            reach=self.reach,
            curve_ms=cache(self.learned.service.curve_ms),
            lasting_per_s=self._lasting_per_s,
            feared_ms=cache(self.learned.service.feared_ms),
            load=self.learned.demand.load(self.window.pods),
            goal=self.goal,
            latest_per_s=self.learned.demand.latest_per_s / self.window.pods,
            backlog=self.backlog if self.late else 0.0,
            reject=self.spec.on_overload == "Reject",
            prefers_latency=self.spec.prefers_latency,
            in_effect=self.in_effect,
        )

    def knowing(self, **changes: object) -> "TuningContext":
        """Return the context with some of the knowledge replaced."""
        learned = replace(self.learned, **changes)  # type: ignore[arg-type]  # names of Learned
        return replace(self, state=replace(self.state, learned=learned))

    def failing_saving(self) -> "TuningContext":
        """Return the context with the applied queue delay remembered as one that failed."""
        window = self.window
        tried = Trial(
            before=self.undelayed,
            after=self.applied,
            mean_ms=window.mean_latency_ms or 0.0,
            served_per_s=window.inferences_per_s,
            service=self.learned.service,
            begun_at_s=window.ended_at_s,
        )
        until_s = window.ended_at_s + MEMORY_S
        return self.knowing(failed=(*self.learned.failed, (tried, until_s)))

    def hold(self, reason: Reason, message: str, *, needs: Needs = ENOUGH) -> TuneDecision:
        """Stay."""
        return TuneDecision(self.applied, reason, message, self.state, needs)

    def change(
        self,
        batching: Batching,
        reason: Reason,
        message: str,
        *,
        needs: Needs = ENOUGH,
        urgent: bool = False,
    ) -> TuneDecision:
        """Go to another configuration, and have the effect verified."""
        window = self.window
        mean_ms, served_per_s = window.mean_latency_ms or 0.0, window.inferences_per_s
        trial = Trial(
            before=self.applied,
            after=batching,
            mean_ms=mean_ms,
            served_per_s=served_per_s,
            service=self.learned.service,
            begun_at_s=window.ended_at_s,
        )
        after = self.knowing(trial=trial, evaluation=None).state
        return TuneDecision(
            batching,
            reason,
            message,
            after,
            needs,
            if_refused=self.state,
            urgent=urgent or self.late,
        )


def is_close(one: float, other: float, tolerance: float) -> bool:
    """Whether a figure differs from another by no more than a share of that."""
    return abs(one - other) <= tolerance * other
