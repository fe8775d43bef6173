"""The oracle of a scenario, found in few runs: the best configuration that never changes.

The same rule as in ``oracle.py``, which tries every configuration: the highest goodput, and the
least device time among those with 99.9 % of it. Of its grid only what can win is run: every bound
without a delay, on the fewest and on the most instances; what lies between for bounds that are not
far from the best; where requests may be rejected and some come too late, bounds that are near the
best with each timeout; then, for those that attain as much as the best, the longest delay that
still does, by bisection: longer ones cost less device time. A bound is left out once even batches
of its most efficient size would cost more than the best that was found, and not run where all
batches were smaller than it under another one.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ferryman.api.batching import Batching
from ferryman.core.simulator import oracle
from ferryman.core.simulator.arrivals import Floats
from ferryman.core.simulator.oracle import Progress, Static
from ferryman.core.simulator.scenario import Scenario

#: A bound whose goodput without delay is lower than this share of the best is no candidate.
NEAR: Final = 0.995
#: Likewise where a timeout is still to be added, which may gain much.
NEAR_WITHOUT_TIMEOUT: Final = 0.5
#: And where another number of instances is still to be tried.
NEAR_WITH_OTHERS: Final = 0.9
#: Where so many are in time, a timeout has nothing to gain.
IN_TIME: Final = 0.999
_US_PER_MS: Final = 1e3


Serve = Callable[[Batching], Static]


def find(
    scenario: Scenario, loads: Sequence[Floats], progress: Progress = lambda _done, _of: None
) -> tuple[Static, int]:
    """Return the best static configuration, and in how many runs it was found.

    ``progress`` is told after each run how many there were, and how many there are at most.
    """
    grid = oracle.candidates(scenario)
    known: defaultdict[Batching, list[Static]] = defaultdict(list)
    runs = 0

    def serve(batching: Batching) -> Static:
        nonlocal runs
        others = known[batching.with_(max_batch_size=1)]
        if same := next((each for each in others if _never_reached(each, batching)), None):
            return Static(batching, same.figures)
        runs += 1
        others.append(oracle.serve(scenario, loads, batching))
        progress(runs, len(grid))
        return others[-1]

    return _with_delay(scenario, serve, _undelayed(scenario, grid, serve)), runs


def _never_reached(known: Static, other: Batching) -> bool:
    """Say whether another bound would change nothing: all batches were smaller than both."""
    bounds = (known.batching.max_batch_size, other.max_batch_size)
    return known.figures.largest_batch < min(bounds)


def _undelayed(scenario: Scenario, grid: Sequence[Batching], serve: Serve) -> list[Static]:
    """Run what has the least delay: first bounds, then instances and timeouts of likely bounds."""
    shortest_us = scenario.batching.limits.max_queue_delay_microseconds.min
    undelayed = [each for each in grid if each.max_queue_delay_microseconds == shortest_us]
    plain = [each for each in undelayed if not each.default_timeout_microseconds]
    counts = scenario.batching.limits.instances
    ends = [each for each in plain if each.instances in {counts.min, counts.max}]
    tried = [serve(each) for each in ends]
    likely = _bounds_near(tried, NEAR_WITH_OTHERS)
    tried += [serve(each) for each in plain if each not in ends and each.max_batch_size in likely]
    best = max(tried, key=lambda each: each.figures.goodput_per_s).figures
    if best.attainment < IN_TIME:
        bounds = _bounds_near(tried, NEAR_WITHOUT_TIMEOUT)
        timed = [each for each in undelayed if each not in plain]
        tried += [serve(each) for each in timed if each.max_batch_size in bounds]
    return tried


def _near(tried: Sequence[Static], share: float) -> list[Static]:
    best = max(each.figures.goodput_per_s for each in tried)
    return [each for each in tried if each.figures.goodput_per_s >= share * best]


def _bounds_near(tried: Sequence[Static], share: float) -> set[int]:
    return {each.batching.max_batch_size for each in _near(tried, share)}


def _with_delay(scenario: Scenario, serve: Serve, undelayed: list[Static]) -> Static:
    """Run delays of bounds that attain as much as the best, the cheapest bound first."""
    tried = list(undelayed)
    wanted = oracle.AS_GOOD * max(each.figures.goodput_per_s for each in tried)
    near = sorted(_near(tried, NEAR), key=lambda each: _least_busy_s(scenario, each))
    for static in near:
        if _least_busy_s(scenario, static) > oracle.choose(tried).figures.device_busy_s:
            break
        tried += _longest_delay(scenario, serve, static, wanted)
    return oracle.choose(tried)


def _least_busy_s(scenario: Scenario, static: Static) -> float:
    """Return the device time if all batches had the most efficient size within the bound."""
    bound = static.batching.max_batch_size
    times = np.array(scenario.service_time.curve_s(bound))
    factors = [1.0, *scenario.service_time.factors.values()]
    per_request = float((times / np.arange(1, bound + 1)).min()) * min(factors)
    return per_request * static.figures.goodput_per_s * scenario.duration_s


def _longest_delay(
    scenario: Scenario, serve: Serve, static: Static, wanted_per_s: float
) -> list[Static]:
    """Find the longest delay with which a bound still attains as much, by bisection."""
    limits = scenario.batching.sought.max_queue_delay_microseconds
    grid = oracle.grid(scenario.batching.sought)
    every = sorted({each.max_queue_delay_microseconds for each in grid} - {limits.min})
    delays = [delay for delay in every if delay <= scenario.target_ms * _US_PER_MS]
    found: list[Static] = []
    least, end = 0, len(delays)
    while least < end:
        middle = (least + end) // 2
        batching = static.batching.with_(max_queue_delay_microseconds=delays[middle])
        found.append(serve(batching))
        if found[-1].figures.goodput_per_s >= wanted_per_s:
            least = middle + 1
        else:
            end = middle
    return found
