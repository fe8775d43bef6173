"""Random pipelines: graphs of up to eight steps, their curves, and what they run on."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.random import Generator

from ferryman.api.batching import InstanceLimits
from ferryman.core.balancing.latency import longest_path_s
from ferryman.core.balancing.profile import Resources, StepProfile

LARGEST: Final = 8
#: The most instances of a step: few enough that all assignments can be tried.
MOST_INSTANCES: Final = 5
#: The largest batch, in requests, where the latency budget is split.
LARGEST_BATCH: Final = 32
#: How often a step only waits, and how often processors are limited.
_HALF: Final = 0.5
_MS_PER_S: Final = 1e3

Shape = Literal["chain", "graph"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A pipeline that is to carry as much as it can."""

    steps: tuple[StepProfile, ...]
    resources: Resources


@dataclass(frozen=True, slots=True)
class DrawnBudget:
    """A pipeline that is to keep a latency budget at a demand."""

    steps: tuple[StepProfile, ...]
    budget_s: float
    demand_per_s: float


def draw(seed: int, largest: int = LARGEST) -> Drawn:
    """Draw a pipeline, memory for some instances of each step, and processors for most."""
    generator = np.random.default_rng([seed, 1])
    count = int(generator.integers(2, largest + 1))
    limits = InstanceLimits(min=1, max=MOST_INSTANCES)
    steps = []
    for number, after in enumerate(_readings(count, generator)):
        visits = int(generator.choice([1, 1, 1, 2, 6]))
        bound = visits * int(generator.choice([1, 1, 2, 4, 8]))
        service_s = _curve_s(bound, generator)
        alone = bool(generator.random() < _HALF)
        cpu_s = 0.0 if alone else service_s[-1] / bound * float(generator.uniform(0.2, 1.0))
        held = int(generator.integers(50, 2_000))
        steps.append(
            StepProfile(f"s{number}", service_s, float(visits), after, held, cpu_s, limits)
        )
    held = sum(step.memory_bytes or 0 for step in steps)
    memory = int(held * generator.uniform(1.0, 4.0))
    processors = float(generator.uniform(1, 16)) if generator.random() < _HALF else None
    return Drawn(tuple(steps), Resources(memory, processors))


def draw_budget(seed: int, shape: Shape, largest: int = LARGEST) -> DrawnBudget:
    """Draw a pipeline, a demand for some tens of instances, and a budget above the quickest way."""
    generator = np.random.default_rng([seed, 2])
    count = int(generator.integers(2, largest + 1))
    limits = InstanceLimits(min=1, max=64)
    readings = _chain(count) if shape == "chain" else _readings(count, generator)
    steps = tuple(
        StepProfile(f"s{number}", _batching_curve_s(generator), 1.0, after, limits=limits)
        for number, after in enumerate(readings)
    )
    alone_s = sum(step.service_s[0] for step in steps)
    demand = float(generator.uniform(8, 30)) * count / alone_s
    # No step may need more than its limits let it have, even with batches of one.
    demand = min(demand, *(60 / step.service_s[0] for step in steps))
    quickest_s = longest_path_s(steps, {step.name: 2 * step.service_s[0] for step in steps})
    return DrawnBudget(steps, quickest_s * float(generator.uniform(1.2, 3.0)), demand)


def _chain(count: int) -> list[tuple[str, ...]]:
    return [() if number == 0 else (f"s{number - 1}",) for number in range(count)]


def _readings(count: int, generator: Generator) -> list[tuple[str, ...]]:
    """Draw what each step reads: a chain, a fork, a join, or something between."""
    readings: list[tuple[str, ...]] = [()]
    for number in range(1, count):
        wanted = int(generator.choice([0, 1, 1, 1, 2, 2]))
        chosen = generator.choice(number, size=min(wanted, number), replace=False)
        readings.append(tuple(f"s{each}" for each in sorted(chosen.tolist())))
    return readings


def _curve_s(bound: int, generator: Generator) -> tuple[float, ...]:
    """Draw tau(b) = t0 + a·b: 1 to 100 ms for one row, of which a row adds 2 to 60 %."""
    one_ms = 10 ** float(generator.uniform(0, 2))
    share = float(generator.uniform(0.02, 0.6))
    sizes = np.arange(1, bound + 1)
    return tuple(((one_ms * (1 - share) + one_ms * share * sizes) / _MS_PER_S).tolist())


def _batching_curve_s(generator: Generator) -> tuple[float, ...]:
    """Draw tau(b) = t0 + a·b: t0 of 1 to 20 ms, a of 0.1 to 5 ms, evenly by ratio."""
    t0 = 10 ** float(generator.uniform(np.log10(1), np.log10(20)))
    each = 10 ** float(generator.uniform(np.log10(0.1), np.log10(5)))
    sizes = np.arange(1, LARGEST_BATCH + 1)
    return tuple(((t0 + each * sizes) / _MS_PER_S).tolist())
