"""A scenario at random: one model under load, drawn from a seed.

What is drawn, one after the other: the largest bound, the shape of the service time and its
scale; how the requests come; which share of what the target allows they ask for; the target; where
tuning starts; whether there is a live cap; what is asked for; what becomes of overload.

*What the target allows* is the capacity of the best bound whose batches take at most half of the
target: a request waits for the batch before its own. Durations are scaled so that no run has more
than ``MAX_REQUESTS``: what matters is their ratios.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from benchmarks.family import curves, demands
from benchmarks.family.curves import Floats, of_ratios
from ferryman.core.simulator.scenario import Scenario

MAX_REQUESTS: Final = 120_000
WINDOW_S: Final = 10
#: Windows of a run.
WINDOWS: Final = (20, 60)
#: The share of what the target allows that is asked for.
LOADS: Final = (0.2, 0.9)
#: Targets, in times of a batch of one.
TARGETS: Final = (3.0, 12.0)
#: Milliseconds that a batch of one takes.
SINGLE_MS: Final = (2.0, 60.0)
LARGEST: Final = (16, 32, 48, 64, 100, 128, 256, 512, 1024)
#: Where tuning starts; 0 is the largest bound.
STARTS: Final = (1, 2, 4, 8, 0)
#: The shares of scenarios with a live cap, and with onOverload Reject.
LIVE_CAPS: Final = 0.5
REJECTING: Final = 0.3
_MS_PER_S: Final = 1e3


@dataclass(frozen=True, slots=True)
class Drawn:
    """A scenario of the family, and from what it was drawn."""

    scenario: Scenario
    traits: Mapping[str, str]
    """What tables group by."""


def draw(seed: int) -> Drawn:
    """Return the scenario of a seed: always the same."""
    generator = np.random.default_rng(seed)
    largest = int(generator.choice(LARGEST))
    shape = str(generator.choice(list(curves.SHAPES)))
    times = curves.draw(shape, largest, generator)
    pattern = str(generator.choice(list(demands.PATTERNS)))
    load, target = generator.uniform(*LOADS), generator.uniform(*TARGETS)
    windows = int(generator.integers(WINDOWS[0], WINDOWS[1] + 1))
    duration_s = windows * WINDOW_S
    single_ms = of_ratios(generator, *SINGLE_MS)
    rate = load * _allowed(times, target)
    single_ms = max(single_ms, rate * duration_s * _MS_PER_S / MAX_REQUESTS)
    target_ms = max(1, round(target * single_ms))
    rate_per_s = rate / single_ms * _MS_PER_S
    start = int(generator.choice(STARTS))
    live_cap = bool(generator.random() < LIVE_CAPS)
    document = {
        "arrivals": demands.PATTERNS[pattern](rate_per_s, load, duration_s, generator),
        "serviceTime": {
            "knots": _knots(times * single_ms),
            "drift": demands.drift(pattern, duration_s, generator),
        },
        "objectives": _objectives(target_ms, rate_per_s, generator),
        "batching": _batching(start, largest, generator),
        "windows": windows,
        "windowSeconds": WINDOW_S,
        "liveCap": live_cap,
        "seed": int(generator.integers(2**31)),
    }
    traits = {
        "curve": shape,
        "arrivals": pattern,
        "start": str(start) if start else "largest",
        "change": "live cap" if live_cap else "reload",
        "load": f"{int(load * 10) / 10:.1f}",
    }
    return Drawn(Scenario.model_validate(document), traits)


def _allowed(times: Floats, target: float) -> float:
    """Return the highest capacity whose batches take half of the target at most."""
    within = times <= target / 2
    sizes = np.arange(1, times.size + 1)
    return float((sizes / times)[within].max())


def _knots(times_ms: Floats) -> list[dict[str, Any]]:
    return [
        {"batchSize": size, "milliseconds": float(times_ms[size - 1])}
        for size in curves.corners(times_ms)
    ]


def _objectives(target_ms: int, rate_per_s: float, generator: Generator) -> dict[str, Any]:
    asked = generator.choice(["latency", "both", "throughput"], p=[0.7, 0.2, 0.1])
    percentile = int(generator.choice([99, 95, 90], p=[0.7, 0.2, 0.1]))
    latency = {"percentile": percentile, "targetMilliseconds": target_ms}
    throughput = {"minPerSecond": max(1, int(rate_per_s * generator.uniform(0.5, 0.95)))}
    return {
        "latency": {"latency": latency},
        "both": {"latency": latency, "throughput": throughput},
        "throughput": {"throughput": throughput},
    }[asked]


def _batching(start: int, largest: int, generator: Generator) -> dict[str, Any]:
    rejects = bool(generator.random() < REJECTING)
    delay_us = int(generator.choice([20_000, 64_000, 200_000], p=[0.3, 0.5, 0.2]))
    return {
        "algorithm": "Guarded",
        "onOverload": "Reject" if rejects else "Queue",
        "initial": {"maxBatchSize": start or largest},
        "window": {"minSeconds": 5, "maxSeconds": 10},
        "limits": {
            "maxBatchSize": {"min": 1, "max": largest},
            "maxQueueDelayMicroseconds": {"min": 0, "max": delay_us},
            "instances": {"min": 1, "max": 1},
        },
    }
