"""One simulated Triton pod: the twin, what it served, and the counters that Triton would show."""

from bisect import bisect_left
from dataclasses import dataclass, field, replace

import numpy as np

from ferryman.api.batching import Batching
from ferryman.api.statistics import Statistics
from ferryman.core.queue_model import queueing
from ferryman.core.queue_model.queueing import Batcher, Batches
from ferryman.core.simulator.figures import Floats, Served
from ferryman.core.simulator.pod_counters import PodCounters


@dataclass(slots=True)
class PodLog:
    """A pod as it goes through the run; with its counters all of the simulation that changes."""

    arrivals_s: Floats
    batcher: Batcher
    working_batch: float = float("inf")
    """Larger batches fail, with all of their requests."""
    noise: list[float] | None = None
    """For each request: how much longer than usual a batch takes that begins with it."""
    _moments: list[float] = field(init=False)
    _state: queueing.State = field(init=False)
    _parts: list[Batches] = field(default_factory=list)
    _counters: PodCounters = field(init=False)

    def __post_init__(self) -> None:
        self._moments = self.arrivals_s.tolist()
        self.noise = self.noise or [1.0] * len(self._moments)
        self._state = queueing.idle(self.batcher.batching.instances)
        self._counters = PodCounters(self.arrivals_s, self.working_batch)

    def take(self, arrivals_s: Floats, noise: list[float]) -> None:
        """Take requests that arrive later than all of before."""
        self.arrivals_s = np.concatenate((self.arrivals_s, arrivals_s))
        self._moments += arrivals_s.tolist()
        self.noise = [*(self.noise or ()), *noise]
        self._counters.arrivals_s = self.arrivals_s

    def run(self, until_s: float) -> None:
        """Begin every batch that starts before a moment."""
        self._advance(stop=None, until_s=until_s)

    def change(self, batching: Batching, at_s: float, *, drain: bool = True) -> None:
        """Switch to another configuration.

        With ``drain`` (a reload) requests that wait are still served by the copy of before, on
        its own instances, while the new one serves what comes: Triton's ``OnLoadComplete``
        (model_lifecycle.cc) only lets go of the copy that it replaces, which lives until its last
        request is answered. Each takes as long as it would alone, as instances do; where
        instances share a processor, nothing else begins before the copy of before is done.
        Without (the live cap, instances in place) they are batched anew. Raises ValueError when a
        change without drain begins or ends a queue policy: Triton must reload.
        """
        self.run(at_s)
        after = replace(self.batcher, batching=batching)
        if drain:
            self._leave_behind(at_s, batching.instances)
        elif after.has_queue_policy != self.batcher.has_queue_policy:
            raise ValueError("a queue policy begins and ends only with a reload")
        self.batcher = after
        self._state = self._state.with_instances(batching.instances, at_s)

    def _leave_behind(self, at_s: float, instances: int) -> None:
        """Leave what waits to the copy of before, and begin with what comes from now on."""
        self._advance(stop=bisect_left(self._moments, at_s), until_s=float("inf"))
        self._counters.begin_anew()
        alone = replace(queueing.idle(0), head=self._state.head)
        self._state = self._state.undisturbed(instances) if self.batcher.shares else alone

    def change_service(self, service_s: tuple[float, ...], at_s: float) -> None:
        """Let batches that begin from a moment on take other times."""
        self.run(at_s)
        self.batcher = replace(self.batcher, service_s=service_s)

    def drain(self) -> Served:
        """Serve all that is left; return what became of every request."""
        self.run(float("inf"))
        return Served.of(self.arrivals_s, self._parts, self.working_batch)

    def look(self, now_s: float) -> Statistics:
        """Read the counters, as they are at a moment up to which the pod ran."""
        running = sum(each.requests.size for each in self._state.running)
        arrived = bisect_left(self._moments, now_s)
        return self._counters.read(now_s, arrived=arrived, running=running)

    def _advance(self, *, stop: int | None, until_s: float) -> None:
        if not self._moments:
            return  # a pod that has just started, and whom nobody asked yet
        self._state, batches = queueing.advance(
            self.batcher, self._moments, self._state, stop=stop, until_s=until_s, noise=self.noise
        )
        if batches.sizes.size or batches.rejected.size:
            self._parts.append(batches)
            self._counters.note(batches)
