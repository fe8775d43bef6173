"""Which configuration meets the objectives with the least device time, and may be tried.

The longest queue delay that keeps the objectives costs the least, with a bound that is efficient
to fill, or with preferred sizes where the curve has stairs. What is cheapest is chosen by what is
*expected*; but only what meets the objectives even by what is *feared* (``ServiceTimes.feared_ms``)
is allowed: nothing may be lost to save device time. What was run is feared as it is known, so that
each step, which runs larger batches, allows the next.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from math import inf
from typing import Final

from ferryman.api.batching import Batching
from ferryman.core.tuners.guarded import search
from ferryman.core.tuners.guarded.prediction import MARGIN, Prediction
from ferryman.core.tuners.guarded.search import AMPLE, SearchContext, SearchResult, stairs

#: Delays that are tried ascend by this factor.
DELAY_FACTOR: Final = 2**0.5
FIRST_DELAY_US: Final = 500
#: A delay during which fewer requests than this arrive fills no batch.
WORTH_WAITING_FOR: Final = 0.3
#: Beyond the largest size that was run, bounds of so many times its size are looked at.
STEPS: Final = (2, 4)
#: So many of the most efficient stairs are looked at.
EDGES: Final = 2
#: Device time that a change must save to be worth making.
WORTH_SAVING: Final = 0.05
_MS_PER_S: Final = 1e3
_US_PER_MS: Final = 1e3
_US_PER_S: Final = 1e6


def answer(question: SearchContext, *, economical: bool) -> SearchResult:
    """Return the safest configuration that meets the objectives, or the most economical one.

    If none meets them, the one under which the most requests are answered in time.
    """
    found = search.answer(question)
    if not (economical and found.best.meets):
        return found
    return replace(found, best=cheapest(question, found.best, found.present))


def cheapest(question: SearchContext, safe: Prediction, present: Prediction) -> Prediction:
    """Return the cheapest configuration that is expected to meet the objectives and may be tried.

    ``safe``, which meets them, if there is no other. What cannot save enough, however full its
    batches, is not replayed.
    """
    best = min((safe, present), key=lambda each: (not each.meets, each.busy))
    enough = best.busy * (1 - WORTH_SAVING)
    bounds = [(_least_busy(question, each), each) for each in _bounds(question, safe)]
    bounds.sort(key=lambda each: each[0])
    for least_busy, batching in bounds:
        if least_busy > min(enough, best.busy):
            break
        tried = _with_longest_delay(question, batching, safe)
        tried += _with_edges(question, tried, safe)
        best = min([best, *tried], key=lambda each: each.busy)
    return best


def _least_busy(question: SearchContext, batching: Batching) -> float:
    """Return the device time if all batches had the most efficient size within the bound."""
    curve = question.curve_ms(batching.instances, batching.max_batch_size)
    each_ms = min(ms / size for size, ms in enumerate(curve, start=1))
    return question.load.rate_per_s * each_ms / _MS_PER_S


def _with_edges(
    question: SearchContext, found: Sequence[Prediction], safe: Prediction
) -> list[Prediction]:
    """Return the same configurations with the curve's stairs as preferred sizes."""
    tried = []
    for each in found:
        bound, instances = each.batching.max_batch_size, each.batching.instances
        edges = tuple(size for size in stairs(question.curve_ms(instances, bound)) if size < bound)
        with_edges = question.in_effect(each.batching.with_(preferred_batch_size=edges))
        differs = with_edges != each.batching
        if differs and question.reach.untried([with_edges, each.batching])[0] == with_edges:
            tried.append(question.predict(with_edges))
    return [each for each in tried if _allowed(question, each, safe)]


def _bounds(question: SearchContext, safe: Prediction) -> Iterator[Batching]:
    """Yield the bounds that may be worth filling, with the least delay."""
    reach, instances = question.reach, safe.batching.instances
    run = max(reach.seen, default=reach.limits.max_batch_size.min)
    sizes = [size for size in reach.sizes if size <= run]
    curve = question.curve_ms(instances, max(reach.sizes[-1], 1))
    bounds = {safe.batching.max_batch_size}
    if sizes:
        bounds.add(max(sizes, key=lambda size: size / curve[size - 1]))
        known = stairs(curve[: sizes[-1]])
        bounds.update(sorted(known, key=lambda size: curve[size - 1] / size)[:EDGES])
    bounds.update(min(step * run, reach.sizes[-1]) for step in STEPS)
    allowed = reach.limits.max_batch_size
    for bound in sorted(bounds):
        if allowed.min <= bound <= allowed.max:
            plain = safe.batching.with_(max_batch_size=bound, preferred_batch_size=())
            yield question.in_effect(plain)


def _allowed(question: SearchContext, expected: Prediction, safe: Prediction) -> bool:
    """Whether the objectives are met, by what is feared, too, and with capacity to spare."""
    wanted = min(safe.capacity_per_s, AMPLE * question.load.rate_per_s)
    if not expected.meets or expected.capacity_per_s < MARGIN * wanted:
        return False
    if question.feared_ms is None:
        return True
    return replace(question, curve_ms=question.feared_ms).predict(expected.batching).meets


def _with_longest_delay(
    question: SearchContext, batching: Batching, safe: Prediction
) -> list[Prediction]:
    """Return the predictions without a delay and with the longest that is allowed.

    By bisection: more delay never makes a percentile better, and never costs device time.
    """
    undelayed = question.predict(batching)
    if not _allowed(question, undelayed, safe):
        return []
    timeout_us = batching.default_timeout_microseconds or inf
    delays = [delay_us for delay_us in delays_us(question) if delay_us < timeout_us]
    least, most = 0, len(delays)
    found = [undelayed]
    while least < most:
        middle = (least + most) // 2
        delayed = batching.with_(max_queue_delay_microseconds=delays[middle])
        prediction = question.predict(delayed)
        untried = question.reach.untried([delayed, batching])[0] == delayed
        if untried and _allowed(question, prediction, safe):
            found = [undelayed, prediction]
            least = middle + 1
        else:
            most = middle
    return found


def delays_us(question: SearchContext) -> Sequence[int]:
    """Return the delays in microseconds that may be worth their wait, ascending."""
    limits, goal = question.reach.limits.max_queue_delay_microseconds, question.goal
    most_us = min(question.reach.longest_delay_us, MARGIN * goal.target_ms * _US_PER_MS)
    least_us = max(limits.min, WORTH_WAITING_FOR / question.load.rate_per_s * _US_PER_S)
    ascending = (FIRST_DELAY_US * DELAY_FACTOR**exponent for exponent in range(64))
    within = takewhile(lambda delay_us: delay_us < most_us, ascending)
    delays = (int(delay_us) for delay_us in (*within, most_us))
    return tuple(delay_us for delay_us in delays if delay_us >= least_us)
