"""What places the models of a fleet in the placement benchmark: Ferryman, and simpler rules.

The rules take models in order of arrival and never look back. All of them choose from the same
options: what fits, is allowed and meets the objectives is known to each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ferryman.core.fleet.fleet import Fleet
from ferryman.core.fleet.options import CPU, MEMORY, Offers
from ferryman.core.fleet.packing import Packing
from ferryman.core.fleet.problem import Amounts, Option, Placed
from ferryman.core.fleet.solve import solve

Placement = Mapping[str, Placed]
Score = Callable[[Option], float]


def best_fit(_fleet: Fleet, found: Offers) -> Placement:
    """Ferryman's joint solver."""
    return solve(found.problem).placed


def least_workload(fleet: Fleet, found: Offers) -> Placement:
    """Follow the founding rule: benchmark, memory and processor utilisation, the least sum wins.

    docs/terms.md, *workload*. A node type counts as its least-loaded node that fits.
    """
    seconds = {
        (kind.name, each.processor_class): 1 / (each.images_per_second or 1.0)
        for kind in fleet.node_types
        for each in kind.processors
    }
    has = {kind.name: kind.free[0] for kind in found.problem.node_types if kind.free}
    packing = Packing(found.problem.node_types)
    placed: dict[str, Placed] = {}
    for demand in found.problem.demands:
        slowest = max((seconds[_key(o)] for o in demand.options), default=1.0)
        scored = sorted(
            (seconds[_key(o)] / slowest + _least_used(o, packing, has[o.node_type]), *_key(o), i)
            for i, o in enumerate(demand.options)
        )
        _put_first(demand.model, [demand.options[i] for *_, i in scored], packing, placed)
    return placed


def best_throughput(_fleet: Fleet, found: Offers) -> Placement:
    """Every model where a replica of it answers most, or the next one that has room."""
    packing = Packing(found.problem.node_types)
    placed: dict[str, Placed] = {}
    for demand in found.problem.demands:
        sizes = found.sizes[demand.model]
        ordered = sorted(
            demand.options, key=lambda o: (-sizes[_key(o)].capacity_per_s, _key(o))
        )  # used at once
        _put_first(demand.model, ordered, packing, placed)
    return placed


def least_allocated(_fleet: Fleet, found: Offers) -> Placement:
    """kube-scheduler's NodeResourcesFit with LeastAllocated, its default: the emptiest node.

    A node's score is the mean of the shares of CPU and memory that would stay unrequested
    (pkg/scheduler/framework/plugins/noderesources/least_allocated.go); whichever node wins for
    the first replica, the others go to the same node type.
    """
    has = {kind.name: kind.free[0] for kind in found.problem.node_types if kind.free}
    packing = Packing(found.problem.node_types)
    placed: dict[str, Placed] = {}
    for demand in found.problem.demands:
        spread = [_spread(o, packing.left(o.node_type), has[o.node_type]) for o in demand.options]
        fitting = [each for each in spread if each is not None]
        for _, there in sorted(fitting, key=lambda each: (-each[0], _key(each[1].option))):
            taken = packing.take(there)
            if taken is not None:
                placed[demand.model] = taken
                break
    return placed


CONTENDERS: Final[Mapping[str, Callable[[Fleet, Offers], Placement]]] = {
    "BestFit": best_fit,
    "LeastWorkload": least_workload,
    "least allocated": least_allocated,
    "best throughput first": best_throughput,
}


def _key(option: Option) -> tuple[str, str]:
    return option.node_type, option.processor


def _put_first(
    model: str, options: Sequence[Option], packing: Packing, placed: dict[str, Placed]
) -> None:
    for option in options:
        there = packing.place(option)
        if there is not None:
            placed[model] = there
            return


def _least_used(option: Option, packing: Packing, has: Amounts) -> float:
    """Return memory and processor utilisation of the least-loaded node with room for a replica."""
    names = [f"{option.processor} time", f"{option.processor} memory"]
    used = (
        sum(1 - free[name] / has[name] for name in names if has.get(name))
        for free in packing.left(option.node_type)
        if _holds(free, option.uses)
    )
    return min(used, default=float(len(names)))


def _spread(option: Option, nodes: Sequence[Amounts], has: Amounts) -> tuple[float, Placed] | None:
    """Return the score of the first replica's node, and a node for each replica."""
    left = [dict(node) for node in nodes]
    chosen: list[int] = []
    first = 0.0
    for _ in range(option.replicas):
        fitting = [index for index, free in enumerate(left) if _holds(free, option.uses)]
        if not fitting:
            return None
        score, best = max((_unrequested(left[i], option.uses, has), -i) for i in fitting)
        first = first if chosen else score
        chosen.append(-best)
        for name, amount in option.uses.items():
            left[-best][name] -= amount
    return first, Placed(option, tuple(chosen))


def _unrequested(free: Amounts, uses: Amounts, has: Amounts) -> float:
    shares = [
        (free[name] - uses.get(name, 0.0)) / has[name] for name in (CPU, MEMORY) if name in has
    ]
    return sum(shares) / len(shares) if shares else 0.0


def _holds(free: Amounts, uses: Amounts) -> bool:
    return all(free[name] >= amount for name, amount in uses.items())
