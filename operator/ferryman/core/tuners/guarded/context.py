"""One window of one model as ``Guarded`` looks at it, and the two answers there are."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.objectives import Objectives
from ferryman.core.observation.objectives import Verdict
from ferryman.core.observation.window import Window
from ferryman.core.tuners.guarded import learning
from ferryman.core.tuners.guarded.prediction import Goal
from ferryman.core.tuners.guarded.reach import Reach
from ferryman.core.tuners.guarded.search import SearchContext
from ferryman.core.tuners.needs import ENOUGH, Needs
from ferryman.core.tuners.state import Learned, Trial, TuneDecision, TunerState

#: Utilisation from which a model counts as saturated: offered rate by capacity.
SATURATED: Final = 0.9
#: Waiting requests fill batches to this share of a bound that holds them back.
FULL: Final = 0.9
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
        capacity = applied.instances * applied.max_batch_size / self.service_ms * _MS_PER_S
        return self.rate_per_s > SATURATED * capacity

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
            limits=self.spec.limits,
            present=self.applied,
            seen=learned.service.sizes,
            safe_bound=learned.safe_bound,
            failed=tuple(
                trial for trial, until_s in learned.failed if until_s > self.window.ended_at_s
            ),
        )

    def question(self) -> SearchContext:
        """Return what the search needs to know. Raises ValueError where nothing was asked for."""
        return SearchContext(
            reach=self.reach,
            curve_ms=cache(self.learned.service.curve_ms),
            load=self.learned.demand.load(self.window.pods),
            goal=self.goal,
            latest_per_s=self.learned.demand.latest_per_s / self.window.pods,
            reject=self.spec.on_overload == "Reject",
        )

    def knowing(self, **changes: object) -> "TuningContext":
        """Return the case with some of the knowledge replaced."""
        learned = replace(self.learned, **changes)  # type: ignore[arg-type]  # names of Learned
        return replace(self, state=replace(self.state, learned=learned))

    def hold(self, reason: Reason, message: str, *, needs: Needs = ENOUGH) -> TuneDecision:
        """Stay."""
        return TuneDecision(self.applied, reason, message, self.state, needs)

    def change(
        self, batching: Batching, reason: Reason, message: str, *, needs: Needs = ENOUGH
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
        return TuneDecision(batching, reason, message, after, needs, if_refused=self.state)
