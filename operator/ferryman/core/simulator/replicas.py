"""The pods of a simulated model, which may come and go while it runs.

Requests are dealt out to the pods that serve when they arrive, each to one at random, as a Service
does. A pod that is added serves after some time; one that goes gets no more requests and answers
those that it has. The newest goes first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.random import Generator

from ferryman.core.simulator import loads
from ferryman.core.simulator.figures import Floats
from ferryman.core.simulator.pod_log import PodLog
from ferryman.core.simulator.scenario import Scenario

#: Apart from arrivals, so that they are the same with scaling and without.
_DEALING: Final = 2


@dataclass(slots=True)
class ReplicaPods:
    """All pods that ever were, those that serve, and those that are on their way."""

    scenario: Scenario
    arrivals_s: Floats
    """Of all requests, ascending."""
    make: Callable[[], PodLog]
    """Returns a pod as one that starts now would be."""
    serving: dict[str, PodLog] = field(default_factory=dict)
    gone: list[PodLog] = field(default_factory=list)
    starting_s: list[float] = field(default_factory=list)
    """When those that were added will serve, ascending."""
    pod_seconds: float = 0.0
    _made: int = 0
    _dealt: int = 0
    _now_s: float = 0.0
    _dealer: Generator = field(init=False)
    _noises: dict[str, Generator] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._dealer = np.random.default_rng((self.scenario.seed, _DEALING))

    @property
    def wanted(self) -> int:
        """How many there are to be."""
        return len(self.serving) + len(self.starting_s)

    @property
    def logs(self) -> tuple[PodLog, ...]:
        """All that ever served."""
        return (*self.gone, *self.serving.values())

    def begin(self, count: int) -> None:
        """Let so many serve from the beginning."""
        for _ in range(count):
            self._add()

    def scale(self, count: int, now_s: float) -> None:
        """Have as many as are wanted from now on: those that come later serve later."""
        while self.wanted > count:
            if self.starting_s:
                self.starting_s.pop()
            else:
                self.gone.append(self.serving.pop(next(reversed(self.serving))))
        missing = count - self.wanted
        self.starting_s += [now_s + self.scenario.pod_start_seconds] * missing

    def pass_to(self, now_s: float) -> None:
        """Deal out what arrived until now, and let those serve that have started by now."""
        until = int(np.searchsorted(self.arrivals_s, now_s))
        moments = self.arrivals_s[self._dealt : until]
        self._dealt = until
        pods = list(self.serving.items())
        chosen = self._dealer.integers(len(pods), size=moments.size)
        for index, (name, pod) in enumerate(pods):
            own = moments[chosen == index]
            pod.take(own, loads.more_noise(self.scenario, self._noises[name], own.size))
        self.pod_seconds += len(pods) * (now_s - self._now_s)
        self._now_s = now_s
        while self.starting_s and self.starting_s[0] <= now_s:
            self.starting_s.pop(0)
            self._add()

    def _add(self) -> None:
        name = f"pod-{self._made}"
        self.serving[name] = self.make()
        self._noises[name] = loads.noise_of(self.scenario, self._made)
        self._made += 1
