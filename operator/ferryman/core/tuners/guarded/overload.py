"""The queue policy of ``onOverload: Reject``: what cannot be answered in time is rejected.

Under overload a first-in-first-out queue answers everything too late. With a timeout, every
request that leaves the queue has waited about as long as the timeout, whatever the overload:
what remains of the target must then be enough for the batches ahead of it and its own
(queueing.py tells which requests Triton can still reject).
"""

from typing import Final

import numpy as np

from ferryman.api.batching import Batching
from ferryman.core.tuners.guarded.prediction import Curve, Goal, predict
from ferryman.core.tuners.learned.demand import OfferedLoad

#: The overload against which a timeout is chosen, in multiples of the capacity.
FACTOR: Final = 1.5
#: Timeouts that are tried, as shares of the target; the longest that loses nothing wins.
SHARES: Final = (0.75, 0.6, 0.45, 0.3, 0.2, 0.1, 0.05)
#: Goodputs that differ by less are equal.
EQUAL: Final = 0.01
#: The queue holds so many times what is served within the timeout. The timeout is to decide: a
#: request that finds the queue full is counted nowhere and does not wake Triton's batcher. The
#: size only keeps memory bounded.
ROOM: Final = 10.0
#: The API states no larger queue.
MOST_WAITING: Final = 1_000_000
_REQUESTS: Final = 3_000
_US_PER_MS: Final = 1e3
_MS_PER_S: Final = 1e3
_SEED: Final = 20_261_121


def with_policy(
    batching: Batching, curve_ms: Curve, goal: Goal, present: Batching | None = None
) -> Batching:
    """Return the configuration with the timeout and the queue size that serve overload best.

    Those of the present one if they serve it as well: a policy that stays the same needs no
    reload where the bound alone can change without. Without a latency objective there is nothing
    that could be late: it stays as it is.
    """
    if not np.isfinite(goal.target_ms):
        return batching
    capacity_per_s = capacity(batching, curve_ms)
    load = _overload(FACTOR * capacity_per_s)
    tried = [_policy(batching, share * goal.target_ms, capacity_per_s) for share in SHARES]
    kept_policy = None if present is None else _of(present, batching, capacity_per_s)
    if kept_policy is not None:
        tried.insert(0, kept_policy)
    kept = [predict(each, curve_ms, load, goal).attainment for each in tried]
    good = [each for each, share in zip(tried, kept, strict=True) if share >= max(kept) - EQUAL]
    return good[0]


def capacity(batching: Batching, curve_ms: Curve) -> float:
    """Return the requests per second that full batches serve."""
    bound, instances = batching.max_batch_size, batching.instances
    return instances * bound / curve_ms(instances, bound)[-1] * _MS_PER_S


def _policy(batching: Batching, timeout_ms: float, capacity_per_s: float) -> Batching:
    within = capacity_per_s * timeout_ms / _MS_PER_S
    return batching.with_(
        default_timeout_microseconds=max(1, round(timeout_ms * _US_PER_MS)),
        max_queue_size=min(batching.max_batch_size + round(ROOM * within), MOST_WAITING),
    )


def _of(present: Batching, batching: Batching, capacity_per_s: float) -> Batching | None:
    """Return the configuration with the present policy, if that has one with room enough."""
    timeout_us = present.default_timeout_microseconds
    within = capacity_per_s * timeout_us / (_US_PER_MS * _MS_PER_S)
    if not timeout_us or present.max_queue_size < batching.max_batch_size + within:
        return None
    return batching.with_(
        default_timeout_microseconds=timeout_us, max_queue_size=present.max_queue_size
    )


def _overload(rate_per_s: float) -> OfferedLoad:
    gaps_s = np.random.default_rng(_SEED).exponential(1 / rate_per_s, _REQUESTS)
    arrivals_s = np.cumsum(gaps_s)
    return OfferedLoad(arrivals_s, float(arrivals_s[-1]))


def without_policy(batching: Batching) -> Batching:
    """Return the configuration that rejects nothing."""
    return batching.with_(default_timeout_microseconds=0, max_queue_size=0)
