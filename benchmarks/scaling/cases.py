"""What the benchmark scales: models of which one pod's capacity is known, and loads in parts of it.

Loads are piecewise constant rates, or the two states of an MMPP; ``rates`` returns the former.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import pi, sin
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from ferryman.api.batching import Batching
from ferryman.core.queue_model import queueing
from ferryman.core.queue_model.queueing import Batcher
from ferryman.core.queue_model.service_curve import ServiceTime
from ferryman.core.simulator.scenario import Scenario

WINDOW_S: Final = 30
HOUR_S: Final = 3_600
_PERCENTILE: Final = 99
_REQUESTS: Final = 6_000
_MS_PER_S: Final = 1e3


@dataclass(frozen=True)
class Model:
    """A model as one pod serves it."""

    service: Mapping[str, Any]
    bound: int
    target_ms: int


def _affine(t0: float, a: float, g: float = 0.0) -> dict[str, Any]:
    return {"coefficients": {"t0": t0, "a": a, "g": g}}


_STAIRS: Final = {
    "knots": [
        {"batchSize": size, "milliseconds": ms}
        for size, ms in ((1, 800), (8, 1_000), (9, 1_600), (16, 1_800))
    ]
}
MODELS: Final[Mapping[str, Model]] = {
    "affine": Model(_affine(500, 100), 32, 5_000),
    "tight": Model(_affine(500, 100), 32, 2_000),
    "flat": Model(_affine(1_000, 20), 16, 5_000),
    "linear": Model(_affine(20, 150), 16, 4_000),
    "convex": Model(_affine(400, 60, 5), 32, 5_000),
    "stairs": Model(_STAIRS, 16, 6_000),
    "one by one": Model(_affine(200, 0), 1, 1_500),
}


@dataclass(frozen=True)
class Load:
    """How much is asked, in multiples of what one pod serves."""

    name: str
    seconds: int
    arrivals: Callable[[Generator], "Rates | Bursts"]
    fields: Mapping[str, Any] | None = None
    is_random: bool = False
    """Whether the load itself differs by seed, and not only the moments of its requests."""


#: (seconds, multiples of what one pod serves)
Rates = list[tuple[float, float]]


@dataclass(frozen=True)
class Bursts:
    """An MMPP of two states."""

    calm: float
    calm_s: float
    burst: float
    burst_s: float


def _steady(level: float) -> Callable[[Generator], Rates]:
    return lambda _: [(HOUR_S, level)]


def _doubles(level: float) -> Callable[[Generator], Rates]:
    return lambda _: [(900, level), (1_200, 2 * level), (1_500, level)]


def _ramp(low: float, high: float) -> Callable[[Generator], Rates]:
    ups = np.linspace(low, high, 30)
    return lambda _: [(60, float(level)) for level in (*ups, *ups[::-1])]


def _wave(mean: float, amplitude: float, period_s: float) -> Callable[[Generator], Rates]:
    times = np.arange(0, 2 * HOUR_S, 60)
    return lambda _: [(60, mean + amplitude * sin(2 * pi * t / period_s)) for t in times]


def _noisy(level: float, sigma: float) -> Callable[[Generator], Rates]:
    return lambda g: [(20, level * f) for f in g.lognormal(-(sigma**2) / 2, sigma, HOUR_S // 20)]


def _silence(level: float) -> Callable[[Generator], Rates]:
    return lambda _: [(900, level), (1_200, 0.0), (1_500, level)]


def _spikes(level: float, height: float, each_s: float) -> Callable[[Generator], Rates]:
    def rates(generator: Generator) -> Rates:
        found: Rates = []
        while sum(seconds for seconds, _ in found) < HOUR_S:
            found += [(max(10.0, generator.exponential(each_s)), level), (10, height)]
        return found

    return rates


def _bursts(
    calm: float, calm_s: float, burst: float, burst_s: float
) -> Callable[[Generator], Bursts]:
    return lambda _: Bursts(calm, calm_s, burst, burst_s)


_TOO_SHORT: Final = {"targetMilliseconds": 100}
_MUCH: Final = {"minPerSecond": 12}
LOADS: Final[tuple[Load, ...]] = (
    *(Load(f"steady, {level}", HOUR_S, _steady(level)) for level in (0.3, 0.9, 1.7, 2.6)),
    *(Load(f"doubles from {level}", HOUR_S, _doubles(level)) for level in (0.8, 1.3, 2.4)),
    Load("slow ramp", HOUR_S, _ramp(0.4, 3.0)),
    Load("day of 2 h", 2 * HOUR_S, _wave(1.8, 1.4, 7_200)),
    Load("day of 30 min", 2 * HOUR_S, _wave(1.8, 1.4, 1_800)),
    Load("noise", HOUR_S, _noisy(1.5, 0.3), is_random=True),
    Load("sudden silence", HOUR_S, _silence(1.7)),
    Load("spikes of 10 s", HOUR_S, _spikes(0.5, 4.0, 300), is_random=True),
    Load("bursts 60 s, calm 240 s", HOUR_S, _bursts(0.6, 240, 1.9, 60), is_random=True),
    Load("bursts 30 s, calm 120 s", HOUR_S, _bursts(0.6, 120, 2.5, 30), is_random=True),
    Load("bursts 120 s, calm 600 s", HOUR_S, _bursts(0.6, 600, 1.9, 120), is_random=True),
    Load("bursts 400 s, calm 400 s", HOUR_S, _bursts(0.6, 400, 2.2, 400), is_random=True),
    Load("never ran", 1_800, lambda _: [(300, 0.0), (1_500, 2.2)]),
    Load("pods take 4 min", HOUR_S, _doubles(0.9), {"podStartSeconds": 240}),
    Load("beyond maxReplicas", 600, _steady(4.0), {"scaling": {"maxReplicas": 3}}),
    Load("out of reach", 1_200, _steady(0.5), {"objectives": {"latency": _TOO_SHORT}}),
    Load("throughput alone", HOUR_S, _doubles(0.9), {"objectives": {"throughput": _MUCH}}),
)


@cache
def capacity_per_s(name: str) -> float:
    """Return the requests a second that one pod serves within the target, by bisection."""
    model = MODELS[name]
    curve_s = ServiceTime.model_validate(model.service).curve_s(model.bound, factor=1.0)
    low, high = 0.0, max(size / seconds for size, seconds in enumerate(curve_s, start=1))
    for _ in range(12):
        middle = (low + high) / 2
        gaps_s = np.random.default_rng(1).exponential(1 / middle, _REQUESTS)
        moments = np.cumsum(gaps_s)
        kept = any(
            np.percentile(
                queueing.simulate(
                    moments, Batcher(Batching(max_batch_size=bound), tuple(curve_s[:bound]))
                ).latencies_s,
                _PERCENTILE,
            )
            * _MS_PER_S
            <= model.target_ms
            for bound in range(1, model.bound + 1)
        )
        low, high = (middle, high) if kept else (low, middle)
    return low


def rates(load: Load, seed: int) -> Rates | Bursts:
    """Return a load as it is drawn for a seed, in multiples of what one pod serves."""
    return load.arrivals(np.random.default_rng((seed, 7)))


def scenario(name: str, load: Load, seed: int) -> Scenario:
    """Return a load of a model as a scenario."""
    model, each_per_s, drawn = MODELS[name], capacity_per_s(name), rates(load, seed)
    return Scenario.model_validate(
        {
            "serviceTime": dict(model.service),
            "arrivals": _arrivals(drawn, each_per_s),
            "objectives": {"latency": {"targetMilliseconds": model.target_ms}},
            "batching": {
                "limits": {"maxBatchSize": {"max": model.bound}, "instances": {"max": 1}},
                "window": {"maxSeconds": WINDOW_S, "maxRequests": 1_000_000},
            },
            "scaling": {"maxReplicas": 10},
            "podStartSeconds": 40,
            "windows": load.seconds // WINDOW_S,
            "windowSeconds": WINDOW_S,
            "seed": seed,
            **(load.fields or {}),
        }
    )


def _arrivals(drawn: Rates | Bursts, each_per_s: float) -> dict[str, Any]:
    if isinstance(drawn, Bursts):
        return {
            "mmpp": {
                "calmRatePerSecond": drawn.calm * each_per_s,
                "calmMeanSeconds": drawn.calm_s,
                "burstRatePerSecond": drawn.burst * each_per_s,
                "burstMeanSeconds": drawn.burst_s,
            }
        }
    steps = [{"seconds": s, "ratePerSecond": level * each_per_s} for s, level in drawn]
    return {"steps": steps}
