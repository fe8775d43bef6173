"""The clairvoyant oracle: the best configuration of each phase of a load, changed for free.

A phase lasts from one change of the load to the next, or so many seconds where a recorded load
changes all the time. Each has the configuration that is best for it alone
(core/simulator/oracle_search.py: the highest goodput, and of those near it the least device
time), in force from its first moment on, without a reload; what waits then is batched anew. Nobody
who has to find out can do that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Final

from ferryman.api.batching import Batching
from ferryman.core.queue_model.batcher import Batcher
from ferryman.core.simulator import loads, oracle_search
from ferryman.core.simulator.arrivals import Floats
from ferryman.core.simulator.figures import Served
from ferryman.core.simulator.pod_log import PodLog
from ferryman.core.simulator.scenario import Scenario

#: How long a phase of a recorded load is.
RECORDED_PHASE_S: Final = 300.0
#: So many targets after a phase its last requests must be answered.
_AFTERMATH: Final = 2
_MS_PER_S: Final = 1e3


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the run, and what is best for it."""

    begin_s: float
    batching: Batching


def phases_s(scenario: Scenario) -> tuple[float, ...]:
    """Return the moments between which the load stays, from 0 to the end of the run."""
    turns_s = scenario.turns_s
    if scenario.arrivals.trace is not None:
        count = ceil(scenario.duration_s / RECORDED_PHASE_S)
        turns_s = tuple(number * RECORDED_PHASE_S for number in range(1, count))
    return (0.0, *turns_s, scenario.duration_s)


def find(scenario: Scenario, arrivals_s: Sequence[Floats]) -> tuple[Phase, ...]:
    """Return the best configuration of each phase."""
    return tuple(
        Phase(begin_s, _best(scenario, arrivals_s, begin_s, end_s))
        for begin_s, end_s in pairwise(phases_s(scenario))
    )


def serve(
    scenario: Scenario, arrivals_s: Sequence[Floats], phases: Sequence[Phase]
) -> tuple[Served, ...]:
    """Return what becomes of all requests where each phase has its configuration."""
    return tuple(_served(scenario, arrivals_s, phases))


def _served(
    scenario: Scenario, arrivals_s: Sequence[Floats], phases: Sequence[Phase]
) -> Iterator[Served]:
    curve_s = scenario.service_time.curve_s(scenario.batching.limits.max_batch_size.max)
    batcher = Batcher(phases[0].batching, curve_s, scenario.parallelism, scenario.variable_inputs)
    for number, moments in enumerate(arrivals_s):
        pod = PodLog(moments, batcher, noise=loads.noise(scenario, number, moments.size))
        for phase in phases[1:]:
            pod.change(phase.batching, phase.begin_s, drain=False)
        yield pod.drain()


def _best(
    scenario: Scenario, arrivals_s: Sequence[Floats], begin_s: float, end_s: float
) -> Batching:
    within = [each[(each >= begin_s) & (each < end_s)] - begin_s for each in arrivals_s]
    lasts_s = end_s - begin_s + _AFTERMATH * scenario.target_ms / _MS_PER_S
    phase = scenario.with_(windows=ceil(lasts_s), window_seconds=1)
    return oracle_search.find(phase, within)[0].batching
