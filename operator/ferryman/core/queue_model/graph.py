"""The twin of a graph of dynamic batchers under a load that does not depend on the answers.

Nothing that a step does reaches back to those that it reads, so that each is served whole before
the next is looked at: it receives a request when the last of those that it reads is done with it.
Steps do not slow each other down here; ``simulator/graph`` lets them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ferryman.core.queue_model.batcher import Batcher, Floats
from ferryman.core.queue_model.queueing import simulate


@dataclass(frozen=True, slots=True)
class QueueingStep:
    """A step with its batcher, in which a request counts 1."""

    name: str
    batcher: Batcher
    after: tuple[str, ...] = ()
    """The steps that it reads: they come before it."""


def ends_of(steps: Sequence[QueueingStep], arrivals_s: Floats) -> dict[str, Floats]:
    """Return when each step is done with each request, in order of arrival.

    Raises ValueError when arrivals do not ascend, or a queue policy rejects a request: what would
    become of it in other steps is not modelled.
    """
    ends: dict[str, Floats] = {}
    for step in steps:
        begins_s = arrivals_s
        for each in step.after:
            begins_s = np.maximum(begins_s, ends[each])
        if step.batcher.has_queue_policy:
            raise ValueError(f"{step.name} may reject requests, which a graph cannot tell")
        order = np.argsort(begins_s, kind="stable")
        served = simulate(begins_s[order], step.batcher)
        ends[step.name] = np.empty_like(begins_s)
        ends[step.name][order] = begins_s[order] + served.latencies_s
    return ends


def latencies_s(steps: Sequence[QueueingStep], arrivals_s: Floats) -> Floats:
    """Return how long each request takes from end to end, in order of arrival.

    Raises ValueError as ``ends_of`` does, and without steps.
    """
    if not steps:
        raise ValueError("a pipeline has at least one step")
    last_s: Floats = np.maximum.reduce(list(ends_of(steps, arrivals_s).values()))
    return last_s - arrivals_s
