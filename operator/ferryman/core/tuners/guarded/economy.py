"""Which configuration meets the objectives with the least device time, and may be tried.

The longest queue delay that keeps the objectives costs the least, with a bound that is efficient
to fill, or with preferred sizes where the curve has stairs. What is cheapest is chosen by what is
*expected*; but only what meets the objectives even by what is *feared* (``ServiceTimes.feared_ms``)
is allowed: nothing may be lost to save device time. What is saved is told by the demand of now, and
allowed by all that is remembered. What was run is feared as it is known, so that
each step, which runs larger batches, allows the next.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from math import inf
from typing import Final

from ferryman.api.batching import Batching
from ferryman.core.tuners.guarded import latency, search
from ferryman.core.tuners.guarded.prediction import MARGIN, Prediction
from ferryman.core.tuners.guarded.search import AMPLE, SearchContext, SearchResult, stairs

#: Delays that are tried ascend by this factor.
DELAY_FACTOR: Final = 2**0.5
FIRST_DELAY_US: Final = 500
#: From the longest downwards every so many of them are tried, then the one that was left out.
COARSE: Final = 2
#: A delay during which fewer requests than this arrive fills no batch.
WORTH_WAITING_FOR: Final = 0.3
#: Beyond the largest size that was run, bounds of so many times its size are looked at.
STEPS: Final = (2, 4)
#: So many of the most efficient stairs are looked at.
EDGES: Final = 2
#: So many times as dear counts what leaves less capacity than there is …
HEADROOM: Final = 1.15
#: … and what mostly runs batches larger than all that ever ran.
BOLD: Final = 1.5
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
    batches, is not replayed. What has less capacity than there is, or mostly runs sizes that were
    never run, must save far more than what does not: load may grow before the next window, and
    fear may fall short. What is spared without either is spared first, and teaches more sizes.
    """
    allowed = [safe, present] if latency.spared(question, safe, present) else [present]
    best = min(allowed, key=lambda each: (not each.meets, each.busy))
    enough = best.busy * (1 - WORTH_SAVING)
    run = max(question.reach.seen, default=present.batching.max_batch_size)

    def cost(each: Prediction) -> float:
        narrow = each.capacity_per_s < MARGIN * present.capacity_per_s
        return each.busy * (HEADROOM if narrow else 1.0) * (BOLD if each.batch > run else 1.0)

    wanted_per_s = min(
        safe.capacity_per_s, present.capacity_per_s, AMPLE * question.load.rate_per_s
    )
    bounds = [(_least_busy(question, each), each) for each in _bounds(question, safe)]
    bounds.sort(key=lambda each: each[0])
    for least_busy, batching in bounds:
        if least_busy > min(enough, cost(best)):
            break
        tried = _with_longest_delay(question, batching, wanted_per_s)
        tried += _with_edges(question, tried, wanted_per_s)
        spared = [each for each in tried if latency.spared(question, each, present)]
        best = min([best, *spared], key=cost)
    return best


def _least_busy(question: SearchContext, batching: Batching) -> float:
    """Return the device time if all batches had the most efficient size within the bound."""
    curve = question.curve_ms(batching.instances, batching.max_batch_size)
    each_ms = min(ms / size for size, ms in enumerate(curve, start=1))
    return question.load.rate_per_s * each_ms / _MS_PER_S


def _with_edges(
    question: SearchContext, found: Sequence[Prediction], wanted_per_s: float
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
    return [each for each in tried if _allowed(question, each, wanted_per_s)]


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


def _allowed(question: SearchContext, expected: Prediction, wanted_per_s: float) -> bool:
    """Whether the objectives are met with capacity to spare, under all demand that is remembered.

    By what is expected and by what is feared.
    """
    if not expected.meets or expected.capacity_per_s < MARGIN * wanted_per_s:
        return False
    curves = [question.curve_ms] if question.past else []
    curves += [question.feared_ms] if question.feared_ms else []
    load = question.past or question.load
    borne = (replace(question, curve_ms=curve, load=load) for curve in curves)
    return all(each.predict(expected.batching).meets for each in borne)


def _with_longest_delay(
    question: SearchContext, batching: Batching, wanted_per_s: float
) -> list[Prediction]:
    """Return the predictions without a delay and with the longest that is allowed.

    A longer delay never costs device time, but it can make a percentile better: one that is shorter
    than a batch leaves a processor idle and fills none. So from the longest downwards.
    """
    undelayed = question.predict(batching)
    if not _allowed(question, undelayed, wanted_per_s):
        return []
    timeout_us = batching.default_timeout_microseconds or inf
    delays = [delay_us for delay_us in delays_us(question) if delay_us < timeout_us]

    def delayed(number: int) -> Prediction | None:
        tried = batching.with_(max_queue_delay_microseconds=delays[number])
        if question.reach.untried([tried, batching])[0] != tried:
            return None
        prediction = question.predict(tried)
        return prediction if _allowed(question, prediction, wanted_per_s) else None

    for number in range(len(delays) - 1, -1, -COARSE):
        found = delayed(number)
        if found is not None:
            longer = delayed(number + 1) if number + 1 < len(delays) else None
            return [undelayed, longer or found]
    return [undelayed]


def delays_us(question: SearchContext) -> Sequence[int]:
    """Return the delays in microseconds that may be worth their wait, ascending."""
    limits, goal = question.reach.limits.max_queue_delay_microseconds, question.goal
    most_us = min(question.reach.longest_delay_us, MARGIN * goal.target_ms * _US_PER_MS)
    least_us = max(limits.min, WORTH_WAITING_FOR / question.load.rate_per_s * _US_PER_S)
    ascending = (FIRST_DELAY_US * DELAY_FACTOR**exponent for exponent in range(64))
    within = takewhile(lambda delay_us: delay_us < most_us, ascending)
    delays = (int(delay_us) for delay_us in (*within, most_us))
    return tuple(delay_us for delay_us in delays if delay_us >= least_us)
