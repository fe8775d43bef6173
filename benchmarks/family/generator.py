"""A scenario at random: one model under load, drawn from a seed.

What is drawn, one after the other: the limits of the bound, from tight ones to 1 to 1,024; the
shape of the service time and its scale; how the requests come; which share of what the target
allows they ask for; the target; how many instances there may be, and whether they share a
processor; how noisy single batches are; whether somebody else uses the processor, too; where tuning
starts; whether there is a live cap; what is asked for; what becomes of overload.

*What the target allows* is the capacity of the best bound whose batches take at most half of the
target, on as many instances as run at once at full speed: a request waits for the batch before its
own. Durations are scaled so that no run has more
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

MAX_REQUESTS: Final = 80_000
WINDOW_S: Final = 10
#: Windows of a run.
WINDOWS: Final = (20, 60)
#: The share of what the target allows that is asked for.
LOADS: Final = (0.2, 0.9)
#: Targets, in times of a batch of one.
TARGETS: Final = (3.0, 12.0)
#: Milliseconds that a batch of one takes.
SINGLE_MS: Final = (2.0, 60.0)
#: The largest bounds, and how often the smallest is not 1 but an eighth of the largest.
LARGEST: Final = (4, 8, 16, 32, 48, 64, 100, 128, 256, 512, 1024)
TIGHT_BELOW: Final = 0.1
#: Where tuning starts, moved inside the limits; 0 is the largest bound.
STARTS: Final = (1, 2, 4, 8, 0)
#: How often instances stay one; else up to ``MAX_INSTANCES`` may be tried, half of the time on
#: one processor, which that many batches at once, and no more, leave at full speed.
SINGLE_INSTANCE: Final = 0.6
MAX_INSTANCES: Final = 4
PARALLELISM: Final = (1.0, 1.5, 2.0)
#: How often single batches take what they take, and how much the logarithm varies otherwise.
QUIET: Final = 0.4
NOISE: Final = (0.05, 0.35)
#: The shares of scenarios with a live cap, and with onOverload Reject.
LIVE_CAPS: Final = 0.5
REJECTING: Final = 0.3
#: Noise of at least this is called high in tables.
NOISY: Final = 0.2
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
    least = max(1, largest // 8) if generator.random() < TIGHT_BELOW else 1
    shape = str(generator.choice(list(curves.SHAPES)))
    times = curves.draw(shape, largest, generator)
    pattern = str(generator.choice(list(demands.PATTERNS)))
    load, target = generator.uniform(*LOADS), generator.uniform(*TARGETS)
    windows = int(generator.integers(WINDOWS[0], WINDOWS[1] + 1))
    duration_s = windows * WINDOW_S
    single_ms = of_ratios(generator, *SINGLE_MS)
    instances, parallelism = _instances(generator)
    noise = 0.0 if generator.random() < QUIET else float(generator.uniform(*NOISE))
    rate = load * _allowed(times[least - 1 :], least, target) * min(instances, parallelism)
    single_ms = max(single_ms, rate * duration_s * _MS_PER_S / MAX_REQUESTS)
    target_ms = max(1, round(target * single_ms))
    rate_per_s = rate / single_ms * _MS_PER_S
    start = int(generator.choice(STARTS))
    tenant = demands.tenant(load, duration_s, generator)
    live_cap = bool(generator.random() < LIVE_CAPS)
    document = {
        "arrivals": demands.PATTERNS[pattern](rate_per_s, load, duration_s, generator),
        "serviceTime": {
            "knots": _knots(times * single_ms),
            "drift": demands.drift(pattern, duration_s, generator),
            "tenant": tenant,
            "noise": noise,
            "parallelism": parallelism if parallelism < instances else None,
        },
        "objectives": _objectives(target_ms, rate_per_s, generator),
        "batching": _batching(start, (least, largest), instances, generator),
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
        "noise": "none" if not noise else "low" if noise < NOISY else "high",
        "instances": "1" if instances == 1 else "shared" if parallelism < instances else "apart",
        "tenant": "present" if tenant else "none",
    }
    return Drawn(Scenario.model_validate(document), traits)


def _instances(generator: Generator) -> tuple[int, float]:
    """Return how many instances may be tried, and how many of them run at full speed."""
    if generator.random() < SINGLE_INSTANCE:
        return 1, 1.0
    most = int(generator.integers(2, MAX_INSTANCES + 1))
    if generator.random() < 1 / 2:
        return most, float(most)
    return most, float(generator.choice(PARALLELISM))


def _allowed(times: Floats, least: int, target: float) -> float:
    """Return the highest capacity whose batches take half of the target at most.

    Where even the smallest bound takes longer, its own.
    """
    within = times <= max(target / 2, times[0])
    sizes = np.arange(least, least + times.size)
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


def _batching(
    start: int, bounds: tuple[int, int], instances: int, generator: Generator
) -> dict[str, Any]:
    least, largest = bounds
    rejects = bool(generator.random() < REJECTING)
    delay_us = int(generator.choice([20_000, 64_000, 200_000], p=[0.3, 0.5, 0.2]))
    return {
        "algorithm": "Guarded",
        "onOverload": "Reject" if rejects else "Queue",
        "initial": {"maxBatchSize": min(max(start or largest, least), largest)},
        "window": {"minSeconds": 5, "maxSeconds": 10},
        "limits": {
            "maxBatchSize": {"min": least, "max": largest},
            "maxQueueDelayMicroseconds": {"min": 0, "max": delay_us},
            "instances": {"min": 1, "max": instances},
        },
    }
