"""What a configuration would be worth under the present demand, by replay on the digital twin."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np

from ferryman.api.batching import Batching
from ferryman.core.queue_model import queueing
from ferryman.core.queue_model.queueing import Batcher
from ferryman.core.tuners.learned.demand import OfferedLoad

#: A configuration is chosen only if its percentile stays this far below the target.
MARGIN: Final = 0.9
_MS_PER_S: Final = 1e3

#: Service times in ms of 1, 2, …, bound, with so many instances.
Curve = Callable[[int, int], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Goal:
    """What requests are to be answered within, and how many of them."""

    percentile: int
    target_ms: float
    """Infinite without a latency objective."""
    overhead_ms: float = 0.0
    """What a request spends in the server beside waiting and computing."""
    least_per_s: float = 0.0
    """What a pod must be able to serve; 0 without a throughput objective."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One configuration of a pod and what it would be worth."""

    batching: Batching
    latency_ms: float
    """The goal's percentile of the requests that are answered."""
    mean_ms: float
    attainment: float
    """The share of all requests that are answered within the target."""
    busy: float
    """Device time per second of the load; more than there are instances under overload."""
    capacity_per_s: float
    """What the pod serves while requests never run out."""
    batch: float
    """The size of the batch that a request is in, on average."""
    meets: bool
    """Whether the objectives are met by all requests together, with a margin."""
    reaches: bool
    """The same without a margin."""


def predict(batching: Batching, curve_ms: Curve, load: OfferedLoad, goal: Goal) -> Prediction:
    """Replay the load under a configuration; latencies are infinite where nothing is answered."""
    bound, instances = batching.max_batch_size, batching.instances
    service_s = tuple(ms / _MS_PER_S for ms in curve_ms(instances, bound))
    outcome = queueing.simulate(load.arrivals_s, Batcher(batching, service_s))
    if not outcome.latencies_s.size:
        return Prediction(batching, inf, inf, 0.0, 0.0, 0.0, 0.0, meets=False, reaches=False)
    latencies_ms = outcome.latencies_s * _MS_PER_S + goal.overhead_ms
    offered = load.arrivals_s.size
    wanted = goal.percentile / 100
    batches = outcome.batches
    capacity_per_s = instances * bound / service_s[-1]

    def kept(share: float, headroom: float) -> bool:
        return share >= wanted and headroom * capacity_per_s >= goal.least_per_s

    return Prediction(
        batching=batching,
        latency_ms=float(np.percentile(latencies_ms, goal.percentile)),
        mean_ms=float(latencies_ms.mean()),
        attainment=_share(latencies_ms <= goal.target_ms, offered),
        busy=float((batches.ends_s - batches.starts_s).sum() / load.seconds),
        capacity_per_s=capacity_per_s,
        batch=float((batches.sizes**2).sum() / batches.sizes.sum()),
        meets=kept(_share(latencies_ms <= MARGIN * goal.target_ms, offered), MARGIN),
        reaches=kept(_share(latencies_ms <= goal.target_ms, offered), 1.0),
    )


def _share(good: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], offered: int) -> float:
    return float(good.sum() / offered)
