"""The arrivals of a scenario, drawn for each of its pods."""

from collections.abc import Sequence
from math import inf
from typing import Final

import numpy as np
from numpy.random import Generator

from ferryman.core.simulator import arrivals
from ferryman.core.simulator.arrival_patterns import Arrivals, Trace
from ferryman.core.simulator.arrivals import Floats, Phase
from ferryman.core.simulator.scenario import MAX_REQUESTS, Scenario

#: Apart from arrivals, so that a scenario has the same ones with noise and without.
_NOISE: Final = 1


def draw(scenario: Scenario, gaps_s: Sequence[float] = ()) -> tuple[Floats, ...]:
    """Return the arrival times of each pod in seconds: the same for the same scenario.

    ``gaps_s`` are the inter-arrival times of the trace file, where the scenario names one.
    Raises ValueError when they make no trace, or too many requests.
    """
    generator = np.random.default_rng(scenario.seed)
    moments = _arrivals(scenario.arrivals, scenario.duration_s, generator, gaps_s)
    return arrivals.split(moments, scenario.replicas, generator)


def noise(scenario: Scenario, pod: int, requests: int) -> list[float]:
    """Return for each request of a pod how much longer a batch takes that begins with it.

    So whatever batches are made of them, all who serve the same requests meet the same noise.
    """
    return more_noise(scenario, noise_of(scenario, pod), requests)


def noise_of(scenario: Scenario, pod: int) -> Generator:
    """Return where a pod's noise comes from."""
    return np.random.default_rng((scenario.seed, pod, _NOISE))


def more_noise(scenario: Scenario, generator: Generator, requests: int) -> list[float]:
    """Return the noise of the next requests of a pod."""
    sigma = scenario.service_time.noise
    if not sigma:
        return [1.0] * requests
    # The mean of a lognormal factor is exp(mu + sigma² / 2): here 1.
    factors: list[float] = generator.lognormal(-(sigma**2) / 2, sigma, requests).tolist()
    return factors


def _arrivals(
    how: Arrivals, duration_s: float, generator: Generator, gaps_s: Sequence[float]
) -> Floats:
    if how.poisson is not None:
        return arrivals.poisson(how.poisson.rate_per_second, duration_s, generator)
    if how.steps is not None:
        phases = [Phase(step.seconds, step.rate_per_second) for step in how.steps]
        return arrivals.steps(phases, duration_s, generator)
    if how.mmpp is not None:
        calm = Phase(how.mmpp.calm_mean_seconds, how.mmpp.calm_rate_per_second)
        burst = Phase(how.mmpp.burst_mean_seconds, how.mmpp.burst_rate_per_second)
        return arrivals.mmpp(calm, burst, duration_s, generator, MAX_REQUESTS)
    gaps_s = _replayed(how.trace, gaps_s)
    if len(gaps_s) * duration_s > MAX_REQUESTS * sum(gaps_s) > 0:
        raise ValueError(f"more than {MAX_REQUESTS} requests would arrive: lower windows")
    return arrivals.trace(gaps_s, duration_s)


def _replayed(how: Trace | None, gaps_s: Sequence[float]) -> Sequence[float]:
    """Return the gaps from where the replay begins, at its rate."""
    if how is None or not gaps_s or not 0 < sum(gaps_s) < inf:
        return gaps_s
    begin = how.skip % len(gaps_s)
    turned = (*gaps_s[begin:], *gaps_s[:begin])
    if how.rate_per_second is None:
        return turned
    faster = how.rate_per_second * sum(gaps_s) / len(gaps_s)
    return [gap_s / faster for gap_s in turned]
