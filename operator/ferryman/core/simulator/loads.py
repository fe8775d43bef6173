"""The arrivals of a scenario, drawn for each of its pods."""

from collections.abc import Sequence

import numpy as np

from ferryman.core.simulator import arrivals
from ferryman.core.simulator.arrival_patterns import Arrivals
from ferryman.core.simulator.arrivals import Floats, Phase
from ferryman.core.simulator.scenario import MAX_REQUESTS, Scenario


def draw(scenario: Scenario, gaps_s: Sequence[float] = ()) -> tuple[Floats, ...]:
    """Return the arrival times of each pod in seconds: the same for the same scenario.

    ``gaps_s`` are the inter-arrival times of the trace file, where the scenario names one.
    Raises ValueError when they make no trace, or too many requests.
    """
    generator = np.random.default_rng(scenario.seed)
    moments = _arrivals(scenario.arrivals, scenario.duration_s, generator, gaps_s)
    return arrivals.split(moments, scenario.replicas, generator)


def _arrivals(
    how: Arrivals, duration_s: float, generator: np.random.Generator, gaps_s: Sequence[float]
) -> Floats:
    if how.poisson is not None:
        return arrivals.poisson(how.poisson.rate_per_second, duration_s, generator)
    if how.steps is not None:
        phases = [Phase(step.seconds, step.rate_per_second) for step in how.steps]
        return arrivals.steps(phases, duration_s, generator)
    if how.mmpp is not None:
        calm = Phase(how.mmpp.calm_mean_seconds, how.mmpp.calm_rate_per_second)
        burst = Phase(how.mmpp.burst_mean_seconds, how.mmpp.burst_rate_per_second)
        return arrivals.mmpp(calm, burst, duration_s, generator)
    if len(gaps_s) * duration_s > MAX_REQUESTS * sum(gaps_s) > 0:
        raise ValueError(f"more than {MAX_REQUESTS} requests would arrive: lower windows")
    return arrivals.trace(gaps_s, duration_s)
