"""Static contenders: configurations that never change, and the best of them, the oracle.

The oracle knows the whole run before it begins. No tuner can know that much; one that changes
the configuration as the load changes can still do better.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from ferryman.api.batching import Batching, BatchingLimits
from ferryman.core.simulator.figures import Figures, Floats
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.simulation import simulate
from ferryman.core.simulator.tuned_run import Tuned

#: Up to so many bounds or instances are all tried; of more, a selection and both limits.
MAX_VALUES: Final = 8
#: Goodput of at least this share of the best is as good: then the least device time decides.
AS_GOOD: Final = 0.999
#: Queue delays that are tried are this times a power of two, and both limits.
DELAY_STEP_US: Final = 500
#: With onOverload Reject: how long requests may wait, in shares of the latency target.
TIMEOUT_SHARES: Final = (0.25, 0.5, 0.75)

_US_PER_MS: Final = 1e3

Progress = Callable[[int, int], None]
Axes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

#: Both limits of a range.
_ENDS: Final = 2


@dataclass(frozen=True, slots=True)
class Static:
    """A configuration and what it was worth without any change."""

    batching: Batching
    figures: Figures


def serve(scenario: Scenario, loads: Sequence[Floats], batching: Batching) -> Static:
    """Run one configuration from beginning to end; ``loads`` are the arrivals of each pod."""
    run = simulate(scenario, loads, Tuned(algorithm=None, start=batching))
    return Static(batching, run.figures)


def candidates(scenario: Scenario, most: int | None = None) -> tuple[Batching, ...]:
    """Return the configurations among which the oracle is found, and where tuning starts.

    With ``most`` the grid is made coarser until it has no more than so many, or nothing but the
    ends of every range.
    """
    axes = _axes(scenario.batching.sought)
    configurations = _configurations(scenario, axes)
    while most is not None and len(configurations) > most and max(map(len, axes)) > _ENDS:
        axes = _coarser(axes)
        configurations = _configurations(scenario, axes)
    return tuple(dict.fromkeys((scenario.start, *map(scenario.in_effect, configurations))))


def _configurations(scenario: Scenario, axes: Axes) -> tuple[Batching, ...]:
    configurations = _product(axes)
    latency = scenario.objectives.latency
    if scenario.batching.on_overload == "Reject" and latency is not None:
        target_us = latency.target_milliseconds * _US_PER_MS
        timeouts_us = [0, *(round(share * target_us) for share in TIMEOUT_SHARES)]
        return tuple(
            batching.with_(default_timeout_microseconds=timeout_us)
            for batching, timeout_us in product(configurations, timeouts_us)
        )
    return configurations


def grid(limits: BatchingLimits) -> tuple[Batching, ...]:
    """Return every combination of bounds, delays and instances that are tried."""
    return _product(_axes(limits))


def _axes(limits: BatchingLimits) -> Axes:
    """Return the bounds, the delays and the numbers of instances that are tried."""
    bounds = _values(limits.max_batch_size.min, limits.max_batch_size.max)
    delay = limits.max_queue_delay_microseconds
    delays = _between(delay.min, delay.max, _doubled(DELAY_STEP_US, delay.max))
    return bounds, delays, _values(limits.instances.min, limits.instances.max)


def _product(axes: Axes) -> tuple[Batching, ...]:
    return tuple(
        Batching(max_batch_size=bound, max_queue_delay_microseconds=wait, instances=count)
        for bound, wait, count in product(*axes)
    )


def _coarser(axes: Axes) -> Axes:
    """Take every other value out of the longest axis; its ends stay."""
    longest = max(axes, key=len)
    kept = tuple(dict.fromkeys((*longest[::2], longest[-1])))
    bounds, delays, instances = (kept if axis is longest else axis for axis in axes)
    return bounds, delays, instances


def find(
    scenario: Scenario,
    loads: Sequence[Floats],
    progress: Progress,
    among: Sequence[Batching] | None = None,
) -> Static:
    """Return the best static configuration among some, or of all candidates.

    Best is the highest goodput; among those with 99.9 % of it, the least device time, then the
    fewest instances, the smallest bound and the shortest delay. ``progress`` is told after each
    configuration how many of how many are done.
    """
    return choose(try_all(scenario, loads, progress, among))


def try_all(
    scenario: Scenario,
    loads: Sequence[Floats],
    progress: Progress,
    among: Sequence[Batching] | None = None,
) -> list[Static]:
    """Run every configuration; the arguments are those of ``find``."""
    tried = candidates(scenario) if among is None else among
    statics = []
    for done, batching in enumerate(tried, start=1):
        statics.append(serve(scenario, loads, batching))
        progress(done, len(tried))
    return statics


def choose(statics: Sequence[Static]) -> Static:
    """Return the cheapest of those with nearly the highest goodput."""
    best = max(each.figures.goodput_per_s for each in statics)
    good = [each for each in statics if each.figures.goodput_per_s >= AS_GOOD * best]
    return min(good, key=_cost)


def _cost(static: Static) -> tuple[float, int, int, int, int]:
    batching = static.batching
    return (
        static.figures.device_busy_s,
        batching.instances,
        batching.max_batch_size,
        batching.max_queue_delay_microseconds,
        batching.default_timeout_microseconds,
    )


def _values(least: int, most: int) -> tuple[int, ...]:
    """Return all values if they are few, else powers of two, what lies midway, and both limits."""
    if most - least < MAX_VALUES:
        return tuple(range(least, most + 1))
    return _between(least, most, (*_doubled(1, most), *_doubled(3, most)))


def _doubled(unit: int, most: int) -> tuple[int, ...]:
    return tuple(unit * 2**exponent for exponent in range(most.bit_length()))


def _between(least: int, most: int, values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({least, most, *(value for value in values if least < value < most)}))
