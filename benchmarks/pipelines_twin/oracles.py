"""Searches that try everything, and the simpler splits; they share no code with the balancer.

Nothing of core/balancing but the values that it is given is used here, and the twin, on which all
are tried alike.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from math import ceil, inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.pipelines_twin.graphs import Drawn, DrawnBudget
from ferryman.api.batching import Batching
from ferryman.core.balancing.profile import StepProfile
from ferryman.core.queue_model.batcher import Batcher
from ferryman.core.queue_model.graph import QueueingStep, ends_of

Floats = NDArray[np.float64]
#: More combinations than this are not tried.
MOST_COMBINATIONS: Final = 1_000_000
#: So many requests are there at once, and the second half of them is timed: a multiple of all that
#: a step of up to five instances and batches of up to eight answers at a time.
REQUESTS: Final = 1_920


def largest_rate(drawn: Drawn) -> float:
    """Return the largest rate of all assignments that fit, by trying each of them; 0 if none."""
    rates, held = np.full(1, inf), np.zeros(1)
    for step in drawn.steps:
        counts = np.arange(step.limits.min, step.limits.max + 1)
        own = counts * len(step.service_s) / step.service_s[-1] / step.visits
        rates = np.minimum(rates[:, None], own[None, :]).ravel()
        held = (held[:, None] + counts[None, :] * float(step.memory_bytes or 0)).ravel()
    fits = held <= (drawn.resources.memory_bytes or inf)
    if not fits.any():
        return 0.0
    used = sum(step.visits * (step.cpu_s_per_row or 0.0) for step in drawn.steps)
    processors = drawn.resources.processors
    ceiling = processors / used if processors is not None and used else inf
    return float(min(rates[fits].max(), ceiling))


def rate_on_the_twin(steps: Sequence[StepProfile], instances: Mapping[str, int]) -> float:
    """Return how many requests a second are answered where requests never run out."""
    queueing = []
    for step in steps:
        rows = round(step.visits)
        fits = len(step.service_s) // rows
        batching = Batching(max_batch_size=fits, instances=instances[step.name])
        curve = tuple(step.service_s[size * rows - 1] for size in range(1, fits + 1))
        queueing.append(QueueingStep(step.name, Batcher(batching, curve), step.after))
    ends = ends_of(queueing, np.zeros(REQUESTS))
    done = np.sort(np.maximum.reduce(list(ends.values())))
    half = REQUESTS // 2
    return half / float(done[-1] - done[half - 1])


def best_on_the_twin(drawn: Drawn) -> float:
    """Return the largest rate that the twin shows of any assignment that fits, trying each."""
    best = 0.0
    names = [step.name for step in drawn.steps]
    for counts in product(*(range(s.limits.min, s.limits.max + 1) for s in drawn.steps)):
        held = sum(n * (s.memory_bytes or 0) for n, s in zip(counts, drawn.steps, strict=True))
        if held <= (drawn.resources.memory_bytes or inf):
            best = max(best, rate_on_the_twin(drawn.steps, dict(zip(names, counts, strict=True))))
    return best


def cheapest_split(drawn: DrawnBudget) -> float | None:
    """Return the least number of instances of all choices of batch sizes within the budget.

    None where there are too many to try.
    """
    options = [_undominated(step, drawn.demand_per_s) for step in drawn.steps]
    if np.prod([len(each) for each in options]) > MOST_COMBINATIONS:
        return None
    count = len(options)
    cost = np.zeros((1,) * count)
    ends: dict[str, Floats] = {}
    for axis, (step, own) in enumerate(zip(drawn.steps, options, strict=True)):
        shape = [1] * count
        shape[axis] = len(own)
        begins = np.zeros((1,) * count)
        for name in step.after:
            begins = np.maximum(begins, ends[name])
        ends[step.name] = begins + np.array([took for took, _ in own]).reshape(shape)
        cost = cost + np.array([n for _, n in own]).reshape(shape)
    latest = np.zeros((1,) * count)
    for each in ends.values():
        latest = np.maximum(latest, each)
    within = np.broadcast_to(latest <= drawn.budget_s * (1 + 1e-9), cost.shape)
    return float(cost[within].min())


def even_split(drawn: DrawnBudget, *, own_path: bool) -> float | None:
    """Return what it costs to give each step as much; None where one has too little.

    So much that the path of most steps keeps the budget; with ``own_path``, of each step the path
    of most steps through it.
    """
    return _by_shares(drawn, {step.name: 1.0 for step in drawn.steps}, own_path=own_path)


def proportional_split(drawn: DrawnBudget, *, own_path: bool) -> float | None:
    """Return what it costs to give each step in proportion to its service time, likewise."""
    times = {step.name: step.service_s[0] for step in drawn.steps}
    return _by_shares(drawn, times, own_path=own_path)


def _by_shares(drawn: DrawnBudget, weights: Mapping[str, float], *, own_path: bool) -> float | None:
    through = _heaviest_paths(drawn.steps, weights)
    heaviest = max(through.values())
    cost = 0.0
    for step in drawn.steps:
        path = through[step.name] if own_path else heaviest
        own_s = drawn.budget_s * weights[step.name] / path * (1 + 1e-9)
        fitting = [n for took, n in _options(step, drawn.demand_per_s) if took <= own_s]
        if not fitting:
            return None
        cost += min(fitting)
    return cost


def _heaviest_paths(steps: Sequence[StepProfile], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of the heaviest path through each step."""
    before: dict[str, float] = {}
    for step in steps:
        before[step.name] = weights[step.name] + max((before[n] for n in step.after), default=0.0)
    behind: dict[str, float] = {}
    for step in reversed(steps):
        readers = [behind[each.name] for each in steps if step.name in each.after]
        behind[step.name] = weights[step.name] + max(readers, default=0.0)
    return {name: before[name] + behind[name] - weights[name] for name in before}


def _options(step: StepProfile, demand_per_s: float) -> list[tuple[float, int]]:
    """Return (latency, instances) of each batch size."""
    return [
        (2 * seconds, max(1, ceil(demand_per_s * seconds / size - 1e-9)))
        for size, seconds in enumerate(step.service_s, start=1)
    ]


def _undominated(step: StepProfile, demand_per_s: float) -> list[tuple[float, int]]:
    """Return those options of which none is both quicker and cheaper."""
    every = _options(step, demand_per_s)
    return [
        each
        for each in every
        if not any(took <= each[0] and n <= each[1] and (took, n) != each for took, n in every)
    ]
