"""What is asked of a pipeline, as far as its counters tell.

Where queues grow, clients ask for what is answered and for what the queues grow by. Where none is
short of anything, they ask for what is answered. Between, in a steady state with a step that is
always busy and a queue before it, clients may wait for answers before they ask again: nobody
knows what they would ask for of a quicker pipeline, but no more than

    L / R0 = theta·R / R0

by Little's law, with R the time from end to end and R0 that without any wait (the asymptotic
bound of closed networks: Denning and Buzen, ACM Computing Surveys 10, 1978, §5).

Rates are requests of the pipeline per second and pod.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Final

from ferryman.api.batching import Batching
from ferryman.core.balancing.learning import busy_instances
from ferryman.core.balancing.state import Assignment, StepSetup
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.observation.window import Window

#: A step whose instances are busy for this share of the time …
BUSY: Final = 0.85
#: … and before which requests wait for this share of a batch's time is short of instances.
WAITING: Final = 0.25
#: … if its batches have no room for another request, up to this share of the bound.
FILLED: Final = 0.9
#: Queues that grow, or fall, by this share of what is answered are in no steady state.
UNSTEADY: Final = 0.05
_MS_PER_S: Final = 1e3


@dataclass(frozen=True, slots=True)
class Asked:
    """What clients ask for."""

    demand_per_s: float
    """What is offered, or the most that it may be where that is unknown."""
    offered_per_s: float
    """What is answered or turned away, and what queues grow by."""
    served_per_s: float
    in_flight: float
    """Requests under way, on average: theta·R."""
    short: tuple[str, ...]
    """Steps that are short of instances."""


def asked(setups: Sequence[StepSetup], applied: Assignment, window: PipelineWindow) -> Asked:
    """Return what was asked in a window."""
    whole = window.requests
    served = whole.requests_per_s / whole.pods
    grown = _along_the_longest_path(
        setups, {s.name: _growth_per_s(window.steps[s.name]) for s in setups}
    )
    turned_away = (whole.failures + (whole.rejected or 0)) / whole.seconds / whole.pods
    offered = max(0.0, served + turned_away + grown)
    short = tuple(s.name for s in setups if is_short(window.steps[s.name], applied[s.name]))
    least_ms = alone_ms(setups, window, {})
    in_flight = served * (whole.mean_latency_ms or least_ms) / _MS_PER_S
    unsteady = max(abs(grown), turned_away) > UNSTEADY * served
    most = in_flight * _MS_PER_S / least_ms if short and not unsteady else 0.0
    return Asked(max(offered, most), offered, served, in_flight, short)


def is_short(window: Window, applied: Batching) -> bool:
    """Say whether a step's instances are busy with full batches and requests wait for them.

    Where batches are not full there is room in them: then instances are busy at any load.
    """
    queue_ms, compute_ms = window.queue_ms or 0.0, window.compute_ms or 0.0
    if busy_share(window, applied.instances) < BUSY or queue_ms <= WAITING * compute_ms:
        return False
    executed = window.requests - window.cached
    a_request = window.inferences / executed if executed else 1.0
    return (window.mean_batch_size or 0.0) + a_request > FILLED * applied.max_batch_size


def busy_share(window: Window, instances: int) -> float:
    """Return the share of the time in which instances ran; a batch begun before may make it 1."""
    return min(1.0, busy_instances(window) / instances)


def overhead_ms(setups: Sequence[StepSetup], window: PipelineWindow) -> float:
    """Return the mean time that a request spends neither waiting for a step nor in it."""
    taken = {
        s.name: (window.steps[s.name].queue_ms or 0.0) + (window.steps[s.name].compute_ms or 0.0)
        for s in setups
    }
    whole_ms = window.requests.mean_latency_ms or 0.0
    return max(0.0, whole_ms - _along_the_longest_path(setups, taken))


def alone_ms(
    setups: Sequence[StepSetup], window: PipelineWindow, errors: Mapping[str, float]
) -> float:
    """Return what a request would take where nothing waits, and nothing is slowed.

    ``errors`` says by how much batches took longer than is known of them, as a log ratio.
    """
    return _along_the_longest_path(
        setups,
        {
            s.name: (window.steps[s.name].compute_ms or 0.0) / exp(errors.get(s.name, 0.0))
            for s in setups
        },
    )


def _growth_per_s(window: Window) -> float:
    if window.pending is None or window.pending_before is None:
        return 0.0
    return (window.pending - window.pending_before) / window.seconds / window.pods


def _along_the_longest_path(setups: Sequence[StepSetup], amounts: Mapping[str, float]) -> float:
    """Return the largest sum of amounts along a path from the first to the last of its steps."""
    sums: dict[str, float] = {}
    read = {name for setup in setups for name in setup.after}
    for setup in setups:
        before = [sums[name] for name in setup.after]
        sums[setup.name] = amounts[setup.name] + max(before, default=0.0)
    return max(total for name, total in sums.items() if name not in read)
