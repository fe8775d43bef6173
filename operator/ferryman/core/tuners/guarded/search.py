"""Which configuration serves the demand best: closed forms choose a few, the twin decides.

Three questions, one after the other, each answered by a handful of replays:

1. *Bound*, for safety: among the bounds that matter (the largest allowed, the most efficient,
   the most efficient whose batches leave time for the target, the present one, some steps beyond
   what is known), the one under which the most requests are answered in time; of equals the one
   with the most capacity, but no further into the unknown than to ample capacity.
2. *Delay* and *preferred sizes*, for economy: the longest delay under which the objectives are
   still met costs the least device time; where the curve has stairs, so does filling them.
3. *Instances*: more only if the objectives cannot be met with fewer.

With ``onOverload: Reject`` a queue timeout and a queue size come with every bound.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from typing import Final

from ferryman.api.batching import Batching
from ferryman.core.tuners.guarded import overload
from ferryman.core.tuners.guarded.prediction import MARGIN, Curve, Goal, Prediction, predict
from ferryman.core.tuners.guarded.reach import Reach
from ferryman.core.tuners.learned.demand import OfferedLoad
from ferryman.core.tuners.needs import least_count
from ferryman.core.tuners.protocol import InEffect

#: Attainments that differ by less are equal; capacity decides between them.
EQUAL_ATTAINMENT: Final = 0.002
#: While a backlog stands: some seconds of it are not worth a step further into the unknown.
WORTH_A_GUESS: Final = 0.02
#: What served before a change that failed is given up only for so much more attainment.
FAR_BETTER: Final = 0.1
#: So many times the mean demand is ample capacity: for more nothing unknown is tried.
AMPLE: Final = 1.5
#: Likewise so many times the demand of the latest seconds, which may be a new level.
SPARE: Final = 1.3
#: A size is a stair's edge if one more request costs so much more per request.
STAIR: Final = 1.08
MAX_PREFERRED: Final = 8
#: What a configuration is worth while a backlog stands is looked at for so long.
HORIZON_S: Final = 300.0
#: Nothing unknown is tried, and no further instance, for one that is gone within this time.
SOON_OVER_S: Final = 60.0
#: What a change takes, about.
CHANGE_S: Final = 2.0
#: Inferences per millisecond are the same if they agree to so many digits.
DIGITS: Final = 9
_MS_PER_S: Final = 1e3
_US_PER_MS: Final = 1e3
_US_PER_S: Final = 1e6


@dataclass(frozen=True, slots=True)
class SearchContext:
    """Everything that decides which configuration is best."""

    reach: Reach
    curve_ms: Curve
    """What batches are expected to take."""
    load: OfferedLoad
    """The demand that is replayed."""
    goal: Goal
    latest_per_s: float = 0.0
    """What was asked of the pod in the latest seconds."""
    lasting_per_s: float = 0.0
    """What will be asked of it while a backlog is worked off."""
    backlog: float = 0.0
    """Requests that wait and are late already: all that come are late until they are served."""
    past: OfferedLoad | None = None
    """Demand that savings must bear as well; None: no other than ``load``."""
    feared_ms: Curve | None = None
    """What batches may take at worst; None: no more than is expected."""
    reject: bool = False
    """Whether requests that cannot be answered in time are to be rejected."""
    prefers_latency: bool = False
    """Whether device time may be saved only by what makes nothing later."""
    in_effect: InEffect = Batching.canonical
    """What the model's own configuration makes of a batching."""

    def share(self, load: OfferedLoad, part: float) -> "SearchContext":
        """Return what a pod is asked that gets a part of the demand, as ``load``.

        Once what waits now is worked off: that is not what replicas are needed for.
        """
        return replace(
            self,
            load=load,
            goal=replace(self.goal, least_per_s=self.goal.least_per_s * part),
            latest_per_s=self.latest_per_s * part,
            lasting_per_s=self.lasting_per_s * part,
            backlog=0.0,
        )

    def predict(self, batching: Batching) -> Prediction:
        """Replay the load under a configuration."""
        return predict(batching, self.curve_ms, self.load, self.goal)

    def worths(self, predictions: Sequence[Prediction]) -> list[float]:
        """Return the attainment of each, less the time that the backlog stands.

        Where it stands with all of them, as in a burst that none can serve, it is the attainment
        that tells what they are worth once that is over.
        """
        stands = [min(self.stands_s(each) / HORIZON_S, 1.0) for each in predictions]
        taken = 0.0 if min(stands) == 1 else 1.0
        pairs = zip(predictions, stands, strict=True)
        return [each.attainment * (1 - taken * share) for each, share in pairs]

    def gained(self, after: Prediction, before: Prediction) -> float:
        """Return how much more one is worth than another."""
        one, other = self.worths([after, before])
        return one - other

    def stands_s(self, prediction: Prediction) -> float:
        """Return how long the backlog stands; infinite where it is never worked off.

        The live cap and instances in place leave it to the same queue. A reload leaves it to the
        copy that it replaces, and is over sooner: what is worth a change without, is with one.
        """
        if not self.backlog:
            return 0.0
        stays = prediction.batching == self.reach.present
        spare_per_s = prediction.capacity_per_s - self.lasting_per_s
        if spare_per_s <= 0:
            return inf
        return self.backlog / spare_per_s + (0.0 if stays else CHANGE_S)

    @property
    def ample_per_s(self) -> float:
        """Capacity beyond which nothing unknown is tried.

        While a backlog stands less is enough: a step beyond a knee adds to it, and what it takes to
        work it off is part of what bounds are worth.
        """
        by_mean = self.lasting_per_s if self.backlog else AMPLE * self.load.rate_per_s
        return max(by_mean, SPARE * self.latest_per_s, self.goal.least_per_s / MARGIN)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The present configuration and the best one; they may be the same."""

    present: Prediction
    best: Prediction

    @property
    def saves(self) -> float:
        """The share of the present device time that the best one spares."""
        return 1 - self.best.busy / self.present.busy if self.present.busy else 0.0


def answer(question: SearchContext) -> SearchResult:
    """Return the safest configuration that meets the objectives.

    If none meets them, the one under which the most requests are answered in time.
    """
    present, best = question.predict(question.reach.present), _best(question)
    return SearchResult(present, _prefer_present(question, present, best))


def fallback(question: SearchContext, before: Batching) -> Batching:
    """Return where to go from what failed: to what was before, unless that is no better.

    What was before has served. Only where far more requests are predicted to be answered in
    time under another configuration is that one taken.
    """
    best = _best(question)
    served = question.predict(before)
    return best.batching if best.attainment > served.attainment + FAR_BETTER else before


def _best(question: SearchContext) -> Prediction:
    """Return the bound that serves best, with as few instances as that takes."""
    limits = question.reach.limits.instances
    found: list[Prediction] = []
    for instances in _instances(limits.min, limits.max):
        found.append(safest(question, instances))
        if found[-1].meets and question.stands_s(found[-1]) <= SOON_OVER_S:
            return found[-1]
    return best_effort(question, found)


def safest(question: SearchContext, instances: int) -> Prediction:
    """Return the bound, without delay, under which the most requests are answered in time."""
    tried = [question.predict(batching) for batching in _bounds(question, instances)]
    return best_effort(question, tried)


def best_effort(question: SearchContext, predictions: Sequence[Prediction]) -> Prediction:
    """Return the one with nearly the highest attainment and the most capacity.

    Beyond what is known, no further than to ample capacity: each step there is a guess, and
    one beyond a knee costs more than capacity that nobody asks for is worth.
    """
    worth = question.worths(predictions)
    equal = WORTH_A_GUESS if question.backlog else EQUAL_ATTAINMENT
    pairs = zip(predictions, worth, strict=True)
    equals = [each for each, its in pairs if its >= max(worth) - equal]
    ample_per_s = question.ample_per_s

    def rank(each: Prediction) -> tuple[float, ...]:
        guessed = max(each.batching.max_batch_size, question.reach.known)
        capacity_per_s = each.capacity_per_s
        return min(capacity_per_s, ample_per_s), -guessed, capacity_per_s, -each.batching.instances

    return max(equals, key=rank)


def _prefer_present(question: SearchContext, present: Prediction, best: Prediction) -> Prediction:
    """Stay where nothing is gained: equal attainment and no more capacity while none meets."""
    better = question.gained(best, present) > EQUAL_ATTAINMENT
    if better or (best.meets and not question.backlog):
        return best
    return present if present.capacity_per_s >= best.capacity_per_s * MARGIN else best


def _bounds(question: SearchContext, instances: int) -> Sequence[Batching]:
    """Return the bounds that matter, without delay."""
    reach, sizes = question.reach, question.reach.sizes
    least, most = sizes[0], sizes[-1]
    curve = question.curve_ms(instances, most)

    def efficiency(size: int) -> float:
        # Equal ones are told apart by no rounding: of these the smallest is looked at.
        return round(size / curve[size - 1], DIGITS)

    room_ms = (question.goal.target_ms - question.goal.overhead_ms) / 2
    in_time = [size for size in sizes if curve[size - 1] <= room_ms]
    present = min(max(reach.present.max_batch_size, least), most)
    chosen = {most, max(sizes, key=efficiency), present, *reach.growths}
    if in_time:
        chosen.add(max(in_time, key=efficiency))
    delay_us = reach.limits.max_queue_delay_microseconds.min
    plain = (
        Batching(max_batch_size=bound, max_queue_delay_microseconds=delay_us, instances=instances)
        for bound in sorted(chosen)
    )
    found = (question.in_effect(_with_policy(question, batching)) for batching in plain)
    return reach.untried(list(dict.fromkeys(found)))


def _with_policy(question: SearchContext, batching: Batching) -> Batching:
    if not question.reject:
        return batching
    return overload.with_policy(batching, question.curve_ms, question.goal, question.reach.present)


def stairs(curve_ms: Sequence[float]) -> tuple[int, ...]:
    """Return the sizes after which one more request makes every request dearer, ascending.

    The most pronounced ones, if there are more than Triton should look for.
    """
    cost = [ms / size for size, ms in enumerate(curve_ms, start=1)]
    pairs = enumerate(pairwise(cost), start=1)
    rises = [(after / before, size) for size, (before, after) in pairs]
    edges = sorted(((rise, size) for rise, size in rises if rise >= STAIR), reverse=True)
    return tuple(sorted(size for _, size in edges[:MAX_PREFERRED]))


def _instances(least: int, most: int) -> Iterable[int]:
    """Return the numbers of instances to try: all up to four, then by doubling, and the most."""
    doubled = (n for n in (8, 16, 32) if least < n < most)
    return sorted({least, *range(least, min(most, 4) + 1), *doubled, most})


def meets_somehow(question: SearchContext) -> bool:
    """Whether some bound, with some number of instances, meets the objectives."""
    limits = question.reach.limits.instances
    counts = _instances(limits.min, limits.max)
    return any(safest(question, instances).meets for instances in counts)


def replicas_needed(question: SearchContext, pods: int, most: int) -> int | None:
    """Return how many pods would meet the objectives, or None where the most could not.

    Each pod gets its share of the load, as random requests of it; by doubling and bisection.
    """

    def suffices(count: int) -> bool:
        part = pods / count
        return meets_somehow(question.share(question.load.share(part), part))

    return least_count(suffices, pods + 1, most) if pods < most else None
