"""What no algorithm can do better: the oracle's configuration, as soon as one window has ended.

It knows the best configuration that never changes before the run begins, and asks for it after
the first window, with the actuators and delays of everybody else. What it misses is missed by
all who must look before they act: a model that starts below its capacity has a backlog by then.
"""

from benchmarks.contenders.base import Contender, said
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window
from ferryman.core.tuners.protocol import Decision


def ceiling(best: Batching) -> Contender:
    """Return the contender that asks for one configuration and no other."""

    def ask(
        spec: BatchingSpec, objectives: Objectives, applied: Batching, window: Window, _: None
    ) -> Decision:
        del spec, objectives, applied, window
        return said(best.canonical(), "Known", None)

    return Contender("ceiling", "the oracle's, after one window", ask)
