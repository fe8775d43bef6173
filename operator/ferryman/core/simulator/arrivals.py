"""When requests arrive in a simulation: point processes drawn from an explicit generator.

All of them have piecewise constant rates. Given the number of arrivals in a piece, the
arrivals of a Poisson process are independent and uniform in it (Ross, Stochastic Processes,
2nd ed. 1996, theorem 2.3.1), so that both are drawn directly.

Rates are per second, times in seconds from the start, ascending and below the duration.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from math import inf

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Phase:
    """A constant rate for some time; zero is silence."""

    seconds: float
    rate_per_s: float


def poisson(rate_per_s: float, duration_s: float, generator: Generator) -> Floats:
    """Return the arrivals of a Poisson process."""
    return steps((Phase(duration_s, rate_per_s),), duration_s, generator)


def steps(phases: Sequence[Phase], duration_s: float, generator: Generator) -> Floats:
    """Return Poisson arrivals whose rate follows the phases; the last one lasts to the end.

    Raises ValueError when there is no phase.
    """
    if not phases:
        raise ValueError("steps need at least one phase")
    begins = [0.0, *accumulate(phase.seconds for phase in phases)]
    ends = [*begins[1:-1], duration_s]
    pieces = [
        _piece(begin, min(end, duration_s), phase.rate_per_s, generator)
        for phase, begin, end in zip(phases, begins[:-1], ends, strict=True)
        if begin < duration_s
    ]
    return np.concatenate(pieces)


def mmpp(
    calm: Phase, burst: Phase, duration_s: float, generator: Generator, most: float = inf
) -> Floats:
    """Return the arrivals of a Markov-modulated Poisson process of two states.

    A phase's ``seconds`` is the mean of the exponential time spent in it at a stretch. It
    begins in a state drawn from the stationary distribution (Fischer and Meier-Hellstern, The
    MMPP cookbook, Performance Evaluation 18, 1993, §2).

    Raises ValueError where the stays that were drawn make more than ``most``.
    """
    in_burst = generator.random() < burst.seconds / (calm.seconds + burst.seconds)
    order = (burst, calm) if in_burst else (calm, burst)
    stays = tuple(_stays(order, duration_s, generator))
    # A stay may be far longer than its mean, and there may be one alone.
    if sum(min(stay.seconds, duration_s) * stay.rate_per_s for stay in stays) > most:
        raise ValueError(f"more than {most} requests would arrive: lower windows or rates")
    return steps(stays, duration_s, generator)


def trace(gaps_s: Sequence[float], duration_s: float) -> Floats:
    """Return arrivals at recorded inter-arrival times, repeated until the duration is over.

    Raises ValueError when there are none, one is negative or not finite, or all are zero.
    """
    gaps = np.asarray(gaps_s, dtype=np.float64)
    if gaps.size == 0 or not np.all(np.isfinite(gaps)) or gaps.min() < 0 or gaps.sum() <= 0:
        raise ValueError("a trace needs finite gaps of at least 0 seconds, not all of them 0")
    rounds = int(np.ceil(duration_s / gaps.sum())) + 1
    moments = np.cumsum(np.tile(gaps, rounds))
    return moments[moments < duration_s]


def split(arrivals_s: Floats, parts: int, generator: Generator) -> tuple[Floats, ...]:
    """Deal arrivals out to so many pods, each to one at random, as a Service does."""
    if parts == 1:
        return (arrivals_s,)
    chosen = generator.integers(parts, size=arrivals_s.size)
    return tuple(arrivals_s[chosen == part] for part in range(parts))


def _piece(begin_s: float, end_s: float, rate_per_s: float, generator: Generator) -> Floats:
    count = generator.poisson(rate_per_s * (end_s - begin_s))
    return np.sort(generator.uniform(begin_s, end_s, count))


def _stays(order: tuple[Phase, Phase], duration_s: float, generator: Generator) -> Iterator[Phase]:
    phases, passed_s = cycle(order), 0.0
    while passed_s < duration_s:
        phase = next(phases)
        stay_s = generator.exponential(phase.seconds)
        yield Phase(stay_s, phase.rate_per_s)
        passed_s += stay_s
