"""Random fleets for the placement benchmark: node types of many speeds, models of many sizes.

How long a model takes on a node type is its own work, by the type's speed, by a factor that is
of this model on this type alone. The correlation says how much of what differs between types is
the types' speed: with 0 each model has a ranking of its own, with 1 all have the same one.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, exp, log, sqrt
from typing import Final

import numpy as np

from ferryman.api.objectives import LatencyObjective, Objectives
from ferryman.core.fleet.devices import Floats
from ferryman.core.fleet.fleet import Fleet, FleetModel, FleetNodeType, FleetProcessor, MeasuredTime
from ferryman.core.fleet.options import offers
from ferryman.core.fleet.packing import Packing
from ferryman.core.fleet.problem import NodePool, Option
from ferryman.core.queue_model.service_curve import Coefficients

CORRELATIONS: Final = {"uncorrelated": 0.0, "weak": 0.5, "strong": 0.95}
#: The lot that sizes a fleet falls on an option in proportion to its cost to minus this power.
PREFERENCE: Final = 2.0
#: Standard deviation of the logarithm of speeds: a factor of about 7 between slow and fast.
SPREAD: Final = 0.7
_CLASSES: Final = ("gpu", "cpu", "npu")
_MAX_BATCH: Final = 32


def draw(types: int, models: int, correlation: float, seed: int, load: float = 1.0) -> Fleet:
    """Return a fleet on which all models can be placed; the load multiplies their rates."""
    rng = np.random.default_rng([seed, types, models, round(1000 * correlation)])
    speeds = rng.normal(0.0, SPREAD, types)
    kinds = tuple(_node_type(index, float(speed), rng) for index, speed in enumerate(speeds))
    drawn = tuple(
        _model(index, kinds, _slower(speeds, correlation, rng), load, rng)
        for index in range(models)
    )
    counts = _counts(Fleet(node_types=kinds, models=drawn), rng)
    sized = tuple(kind.with_(count=counts[kind.name]) for kind in kinds)
    return Fleet(node_types=sized, models=drawn)


def _node_type(index: int, speed: float, rng: np.random.Generator) -> FleetNodeType:
    name = _CLASSES[index % len(_CLASSES)]
    processor = FleetProcessor(
        processor_class=name,
        count=int(rng.choice([1, 1, 2, 4])),
        memory_mebibytes=float(rng.choice([16, 24, 48, 80])) * 1024,
        images_per_second=1000 * exp(speed),
    )
    return FleetNodeType(
        name=f"{name}-{index}",
        count=1,
        price_per_hour=round(exp(0.8 * speed + rng.normal(0, 0.3)) * processor.count, 3),
        cpu=float(rng.choice([16, 32, 64])),
        memory_mebibytes=float(rng.choice([64, 128, 256])) * 1024,
        processors=(processor,),
    )


def _slower(speeds: Floats, correlation: float, rng: np.random.Generator) -> Floats:
    own = rng.normal(0.0, SPREAD, speeds.size)
    factors: Floats = np.exp(-(correlation * speeds + sqrt(1 - correlation**2) * own))
    return factors


def _model(
    index: int,
    kinds: tuple[FleetNodeType, ...],
    slower: Floats,
    load: float,
    rng: np.random.Generator,
) -> FleetModel:
    base_ms = exp(rng.normal(log(2.0), 0.6))
    each_ms = base_ms * rng.uniform(0.1, 0.8)
    return FleetModel(
        name=f"model-{index}",
        rate_per_second=round(load * exp(rng.normal(log(300.0), 0.9)), 2),
        objectives=Objectives(
            latency=LatencyObjective(target_milliseconds=ceil(base_ms * rng.uniform(10, 60)))
        ),
        memory_mebibytes=float(round(exp(rng.normal(log(900.0), 0.8)))),
        cpu=float(rng.choice([0.5, 1.0, 2.0])),
        host_memory_mebibytes=float(rng.choice([1024, 2048, 4096])),
        max_batch_size=_MAX_BATCH,
        service_times=tuple(
            MeasuredTime(
                node_type=kind.name,
                coefficients=Coefficients(t0=base_ms * factor, a=each_ms * factor),
            )
            for kind, factor in zip(kinds, slower.tolist(), strict=True)
        ),
    )


def _counts(fleet: Fleet, rng: np.random.Generator) -> dict[str, int]:
    """Return how many nodes each type has: as many as a placement by lot needs.

    The lot falls on cheap options more often, and so what every model wants most is scarce, and
    there is a placement of all models.
    """
    lots: dict[str, list[Option]] = {kind.name: [] for kind in fleet.node_types}
    problem = offers(fleet, priced=False).problem
    for demand in problem.demands:
        if not demand.options:
            continue
        weights = np.array([option.cost**-PREFERENCE for option in demand.options])
        drawn = demand.options[int(rng.choice(weights.size, p=weights / weights.sum()))]
        lots[drawn.node_type].append(drawn)
    return {kind.name: _enough(kind, lots[kind.name]) for kind in problem.node_types}


def _enough(kind: NodePool, options: Sequence[Option]) -> int:
    """Return how many nodes of a kind hold all of the options, the largest first."""
    ordered = sorted(options, key=lambda option: -option.cost)
    count = max(1, ceil(sum(option.cost for option in options)))
    while True:
        packing = Packing([replace(kind, free=kind.free[:1] * count)])
        if all(packing.place(option) for option in ordered):
            return count
        count += 1
