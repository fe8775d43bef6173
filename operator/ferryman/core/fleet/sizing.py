"""How much of a node type a model needs: replicas, and the share of a processor that each takes.

A replica takes batches of up to b as they come, with no delay. Take D, the longest time of a
batch of up to b, for the time of every batch: then a request that finds Q others waiting is
answered after the running batch, full batches of those before it, and its own. With Poisson
arrivals of rate l the tail of Q falls geometrically, P(Q >= n) ~ z^-n, where z solves
exp(l D (z - 1)) = z^b: the effective bandwidth of a Poisson source (Kelly, Notes on effective
bandwidths, 1996). So the latency exceeds the target t with a probability of about
z^-b(t/D - 1), and the largest rate that keeps the percentile p is, with
x = ln(1 / (1 - p)) / (b (t/D - 1)),

    l D / b = x / (exp(x) - 1).

The bound is the one with the largest such rate, of those of which two batches fit into the
target: a request that comes while a batch runs waits for it. Where not even two batches of one
fit, a request must find the processor idle, as often as the percentile demands.
tests/unit/core/fleet/test_sizing.py holds the rule against the digital twin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ferryman.api.conditions import Reason
from ferryman.api.objectives import Objectives

#: Replicas are not used beyond this share of their capacity: bursts need the rest.
USABLE: Final = 0.75
#: A server with its own ways: requests are to be answered within this share of the target.
MARGIN: Final = 0.9
_MS_PER_S: Final = 1e3
#: Above this, exp is out of range, and the rate is 0 in any case.
_MAX_EXPONENT: Final = 700.0
_ITERATIONS: Final = 3
#: What a number of replicas may be off by.
_ROUNDING: Final = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Size:
    """What serves a model on a node type."""

    replicas: int
    batch_size: int
    """The bound that the replicas are sized for."""
    time: float
    """The share of one processor's time that each replica is given, at most 1: what it is sent,
    by what it may be sent."""
    capacity_per_s: float
    """What one replica answers at most, whatever the latency."""


@dataclass(frozen=True, slots=True)
class TooSlow:
    """Why a node type cannot serve a model."""

    reason: Reason
    message: str


def size(
    objectives: Objectives, rate_per_s: float, replicas: int | None, curve_ms: Sequence[float]
) -> Size | TooSlow:
    """Return the replicas that meet the objectives with tau(1), tau(2), … in milliseconds.

    With a number of replicas given, they must be enough.
    """
    target_ms = inf if objectives.latency is None else objectives.latency.target_milliseconds
    target_ms *= MARGIN
    if curve_ms[0] > target_ms:
        message = f"a batch of one takes {curve_ms[0]:.3g} ms, the latency objective leaves"
        return TooSlow(Reason.LATENCY_UNREACHABLE, f"{message} {target_ms:.3g} ms")
    batch_size, usable_per_s = _usable(curve_ms, target_ms, objectives.percentile)
    needed = max(1, ceil(_wanted_per_s(objectives, rate_per_s) / usable_per_s - _ROUNDING))
    if replicas is not None and replicas < needed:
        message = f"{needed} replicas needed, spec.replicas is {replicas}"
        return TooSlow(Reason.NEEDS_CAPACITY, message)
    count = replicas or needed
    capacity_per_s = batch_size / curve_ms[batch_size - 1] * _MS_PER_S
    return Size(count, batch_size, min(1.0, rate_per_s / count / usable_per_s), capacity_per_s)


def _usable(curve_ms: Sequence[float], target_ms: float, percentile: int) -> tuple[int, float]:
    """Return the best bound within the target, and the rate that a replica may be sent."""
    late = (100 - percentile) / 100
    longest_ms = np.maximum.accumulate(np.asarray(curve_ms, dtype=np.float64))
    sizes = np.arange(1, longest_ms.size + 1)
    theta = _decay(np.maximum(target_ms / longest_ms - 1, 1e-9), -log(late))
    x = np.minimum(theta / sizes, _MAX_EXPONENT)
    shares = np.where(x > 0, x / np.expm1(np.maximum(x, 1e-12)), 1.0)
    per_s = np.minimum(shares, USABLE) * sizes / longest_ms * _MS_PER_S
    in_time = (2 * longest_ms <= target_ms) | (sizes == 1)
    best = int(np.where(in_time, per_s, 0.0).argmax())
    return max((best + 1, float(per_s[best])), (1, late / curve_ms[0] * _MS_PER_S), key=_rate)


def _decay(spare: Floats, exponent: float) -> Floats:
    """Return how fast the tail must fall per batch so that it has fallen by exp(-exponent).

    Between whole numbers of batches the chord counts, which lies above the exponential.
    """
    if np.isinf(spare).all():
        return np.zeros(spare.size)
    whole = np.floor(spare)
    part = spare - whole
    theta = exponent / spare
    for _ in range(_ITERATIONS):
        theta = exponent / (whole - np.log(1 - part + part * np.exp(-theta)) / theta)
    return theta


def _rate(usable: tuple[int, float]) -> float:
    return usable[1]


def _wanted_per_s(objectives: Objectives, rate_per_s: float) -> float:
    """Return what must be served, where a throughput objective asks for more than comes."""
    throughput = objectives.throughput
    return max(rate_per_s, USABLE * throughput.min_per_second if throughput else 0.0)
