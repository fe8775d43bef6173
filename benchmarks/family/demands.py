"""How the requests of a scenario come, at random: the patterns of the family.

All have the mean rate that they are given, as far as chance allows. Where a rate changes, the
highest level stays within ``PEAK`` of what the target allows; the recorded trace and its bursts
alone are what they are.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from benchmarks import traces

Arrivals = dict[str, Any]
Pattern = Callable[[float, float, float, Generator], Arrivals]

#: The highest level, by what the target allows.
PEAK: Final = 0.95
#: The share of ramps that go up.
UPWARD: Final = 0.7
_RAMP_STEPS: Final = 12
#: The share of scenarios in which somebody else uses the processor, too.
TENANTS: Final = 0.15


def poisson(rate_per_s: float, load: float, duration_s: float, generator: Generator) -> Arrivals:
    """Independent requests at one rate."""
    del load, duration_s, generator
    return {"poisson": {"ratePerSecond": rate_per_s}}


def bursts(rate_per_s: float, load: float, duration_s: float, generator: Generator) -> Arrivals:
    """Calm for 15 to 60 s, then 5 to 12 s at up to four times its rate."""
    del duration_s
    calm_s, burst_s = generator.uniform(15, 60), generator.uniform(5, 12)
    burst_per_s = rate_per_s * max(1.0, min(generator.uniform(1.5, 3), PEAK / load))
    left = rate_per_s * (calm_s + burst_s) - burst_per_s * burst_s
    return {
        "mmpp": {
            "calmRatePerSecond": max(0.1 * rate_per_s, left / calm_s),
            "calmMeanSeconds": calm_s,
            "burstRatePerSecond": burst_per_s,
            "burstMeanSeconds": burst_s,
        }
    }


def ramp(rate_per_s: float, load: float, duration_s: float, generator: Generator) -> Arrivals:
    """From one rate to another, up or down, in twelve steps."""
    most = max(1.0, min(generator.uniform(1.3, 1.9), PEAK / load))
    levels = np.linspace(2 - most, most, _RAMP_STEPS)
    levels = levels if generator.random() < UPWARD else levels[::-1]
    return _steps(levels * rate_per_s, duration_s)


def steps(rate_per_s: float, load: float, duration_s: float, generator: Generator) -> Arrivals:
    """Two to four levels that have nothing to do with each other."""
    levels = generator.uniform(0.3, 1.7, size=int(generator.integers(2, 5)))
    levels = np.minimum(levels / levels.mean(), max(1.0, PEAK / load))
    return _steps(levels * rate_per_s, duration_s)


def silence(rate_per_s: float, load: float, duration_s: float, generator: Generator) -> Arrivals:
    """Ask at a rate, nothing for a fifth to a third of the time, and the rate again."""
    quiet = generator.uniform(0.2, 0.33)
    level = rate_per_s * min(1 / (1 - quiet), max(1.0, PEAK / load))
    before = generator.uniform(0.2, 0.6)
    parts = (before, quiet, 1 - before - quiet)
    return {
        "steps": [
            {"seconds": part * duration_s, "ratePerSecond": asked}
            for part, asked in zip(parts, (level, 0.0, level), strict=True)
        ]
    }


def recorded(rate_per_s: float, load: float, duration_s: float, generator: Generator) -> Arrivals:
    """Replay a recorded hour of requests, from anywhere in it, faster or slower."""
    del load, duration_s
    skip = int(generator.integers(len(traces.gaps_s(traces.AZURE))))
    return {"trace": {"file": traces.AZURE, "ratePerSecond": rate_per_s, "skip": skip}}


def drifting(rate_per_s: float, load: float, duration_s: float, generator: Generator) -> Arrivals:
    """One rate, while the service time changes (``drift``)."""
    return poisson(rate_per_s, load, duration_s, generator)


PATTERNS: Final[Mapping[str, Pattern]] = {
    "poisson": poisson,
    "bursts": bursts,
    "ramp": ramp,
    "steps": steps,
    "silence": silence,
    "drift": drifting,
    "trace": recorded,
}


def drift(pattern: str, duration_s: float, generator: Generator) -> list[dict[str, Any]]:
    """Return how service times change: within a quarter, by a factor of 0.7 to 1.4."""
    if pattern != "drift":
        return []
    factor = generator.uniform(0.7, 1.4)
    begins_s, steps = generator.uniform(0.3, 0.6) * duration_s, int(generator.integers(1, 5))
    return [
        {
            "atSeconds": round(begins_s + 0.25 * duration_s * step / steps),
            "factor": float(1 + (factor - 1) * (step + 1) / steps),
        }
        for step in range(steps)
    ]


def tenant(load: float, duration_s: float, generator: Generator) -> list[dict[str, Any]]:
    """Return when somebody else uses the processor: once or twice, for a tenth to a third."""
    if generator.random() >= TENANTS:
        return []
    begins = np.sort(generator.uniform(0.1, 0.9, size=int(generator.integers(1, 3))))
    ends = np.minimum(begins + generator.uniform(0.1, 0.33, begins.size), [*begins[1:], 1.0])
    factor = max(1.1, min(generator.uniform(1.2, 1.8), PEAK / load))
    return [
        {"fromSeconds": left, "untilSeconds": right, "factor": float(factor)}
        for begin, end in zip(begins, ends, strict=True)
        if (left := round(begin * duration_s)) < (right := round(end * duration_s))
    ]


def _steps(levels: "np.ndarray[Any, Any]", duration_s: float) -> dict[str, Any]:
    seconds = duration_s / levels.size
    return {"steps": [{"seconds": seconds, "ratePerSecond": float(level)} for level in levels]}
