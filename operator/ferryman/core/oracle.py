"""Static contenders: configurations that never change, and the best of them, the oracle.

The oracle knows the whole run before it begins, and may not be beaten by any tuner that stays
within one configuration.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from ferryman.api.batching import Batching, BatchingLimits
from ferryman.core import queueing
from ferryman.core.figures import Figures, Floats, Served, measure
from ferryman.core.queueing import Batcher
from ferryman.core.scenario import Scenario

#: Up to so many bounds or instances are all tried; of more, powers of two and both limits.
MAX_VALUES: Final = 8
#: Goodput of at least this share of the best is as good: then the least device time decides.
AS_GOOD: Final = 0.999
#: Queue delays that are tried are this times a power of two, and both limits.
DELAY_STEP_US: Final = 500

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Contender:
    """A configuration and what it was worth without any change."""

    batching: Batching
    figures: Figures


def serve(scenario: Scenario, loads: Sequence[Floats], batching: Batching) -> Contender:
    """Run one configuration from beginning to end; ``loads`` are the arrivals of each pod."""
    batcher = Batcher(batching, scenario.service_time.curve_s(batching.max_batch_size))
    return Contender(batching, measure(scenario, [_pod(load, batcher) for load in loads]))


def grid(limits: BatchingLimits) -> tuple[Batching, ...]:
    """Return the configurations among which the oracle is found."""
    bounds = _values(limits.max_batch_size.min, limits.max_batch_size.max)
    delay = limits.max_queue_delay_microseconds
    delays = _powers(delay.min, delay.max, DELAY_STEP_US)
    instances = _values(limits.instances.min, limits.instances.max)
    return tuple(
        Batching(max_batch_size=bound, max_queue_delay_microseconds=wait, instances=count)
        for bound, wait, count in product(bounds, delays, instances)
    )


def find(scenario: Scenario, loads: Sequence[Floats], progress: Progress) -> Contender:
    """Return the best static configuration of the grid, and of where tuning starts.

    Best is the highest goodput; among those with 99.9 % of it, the least device time, then the
    fewest instances, the smallest bound and the shortest delay. ``progress`` is told after each
    configuration how many of how many are done.
    """
    candidates = tuple(dict.fromkeys((scenario.start, *grid(scenario.batching.limits))))
    contenders = []
    for done, batching in enumerate(candidates, start=1):
        contenders.append(serve(scenario, loads, batching))
        progress(done, len(candidates))
    return choose(contenders)


def choose(contenders: Sequence[Contender]) -> Contender:
    """Return the cheapest of those with nearly the highest goodput."""
    best = max(each.figures.goodput_per_s for each in contenders)
    good = [each for each in contenders if each.figures.goodput_per_s >= AS_GOOD * best]
    return min(good, key=_cost)


def _cost(contender: Contender) -> tuple[float, int, int, int]:
    batching = contender.batching
    return (
        contender.figures.device_busy_s,
        batching.instances,
        batching.max_batch_size,
        batching.max_queue_delay_microseconds,
    )


def _pod(arrivals_s: Floats, batcher: Batcher) -> Served:
    batches = queueing.simulate(arrivals_s, batcher).batches
    return Served(
        arrivals_s=arrivals_s,
        starts_s=np.repeat(batches.starts_s, batches.sizes),
        ends_s=np.repeat(batches.ends_s, batches.sizes),
        sizes=np.repeat(batches.sizes, batches.sizes),
    )


def _values(least: int, most: int) -> tuple[int, ...]:
    if most - least < MAX_VALUES:
        return tuple(range(least, most + 1))
    return _powers(least, most, 1)


def _powers(least: int, most: int, unit: int) -> tuple[int, ...]:
    """Return both limits and what lies between them of the unit times powers of two."""
    between = (unit * 2**exponent for exponent in range(most.bit_length()))
    return tuple(sorted({least, most, *(value for value in between if least < value < most)}))
