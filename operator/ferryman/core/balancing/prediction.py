"""What the twin says of a pipeline: how long requests take under an assignment at a demand."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np

from ferryman.api.batching import Batching
from ferryman.core.balancing.profile import StepProfile
from ferryman.core.queue_model.batcher import Batcher
from ferryman.core.queue_model.graph import QueueingStep, latencies_s

#: So many requests are replayed, and the first of them left out: the pipeline fills.
REQUESTS: Final = 2_000
_FILLING: Final = 0.1
#: The same demand gives the same arrivals, so that assignments are compared under equal load.
_SEED: Final = 20_261_130
_MS_PER_S: Final = 1e3


@dataclass(frozen=True, slots=True)
class Planned:
    """A step as it would run."""

    profile: StepProfile
    instances: int
    bound: int
    """The largest batch, in rows."""


def percentile_ms(planned: Sequence[Planned], demand_per_s: float, percentile: int) -> float:
    """Return a percentile of the latency under independent arrivals at a demand per pod."""
    generator = np.random.default_rng(_SEED)
    arrivals = np.cumsum(generator.exponential(1 / demand_per_s, REQUESTS))
    took = latencies_s([_queueing(each) for each in planned], arrivals)
    return float(np.percentile(took[int(_FILLING * REQUESTS) :], percentile)) * _MS_PER_S


def _queueing(each: Planned) -> QueueingStep:
    """Return the step as the queueing model has it, where a request counts 1 whatever its rows."""
    rows, curve = each.profile.visits, each.profile.service_s
    fits = max(1, int(each.bound / rows))
    sizes = [min(max(1, ceil(count * rows)), len(curve)) for count in range(1, fits + 1)]
    batching = Batching(max_batch_size=fits, instances=each.instances)
    service_s = tuple(curve[size - 1] for size in sizes)
    return QueueingStep(each.profile.name, Batcher(batching, service_s), each.profile.after)
