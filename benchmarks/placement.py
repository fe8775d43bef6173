"""How good placements are: Ferryman's joint solver beside rules that place one by one.

``python -m benchmarks.placement`` draws fleets of some sizes and correlations, places each by all
contenders, and holds their costs against a bound that is proved. Every placement is added up node
by node by code that shares nothing with the solver. It writes every figure to benchmarks/results
and a section to docs/benchmarks.md. ``--seeds 2 --sizes 5x20`` is a quick look.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from benchmarks import common, placement_decision, placement_fleets, placement_report, scale
from benchmarks.placement_contenders import CONTENDERS, Placement
from benchmarks.placement_fleets import CORRELATIONS
from ferryman.core.fleet.fleet import Fleet
from ferryman.core.fleet.options import Offers, offers
from ferryman.core.fleet.packing import packed
from ferryman.core.fleet.problem import NodePool, PlacementProblem
from ferryman.core.fleet.solve import place_next, solve

NAME: Final = "placement"
SEEDS: Final = 30
SIZES: Final = ("5x20", "20x100", "100x500")
#: Rates are multiplied by this to see who has room for more.
SURGE: Final = 1.5
#: Node types, models and load of the large problem: about 1,000 nodes.
LARGE: Final = (20, 5_000, 1.4)
ONE_MORE: Final = 50
#: What sums of amounts may be off by rounding.
_ROUNDING: Final = 1e-6
_DECIMALS: Final = 6


def main(argv: Sequence[str] | None = None) -> int:
    """Run all, write figures and section; return 1 if a placement is over a node's capacity."""
    args = _arguments(argv)
    runs = []
    for size in args.sizes:
        types, models = map(int, size.split("x"))
        for correlation in CORRELATIONS:
            for seed in range(args.seeds):
                runs.append(run(types, models, correlation, seed))
                print(_line(runs[-1]), flush=True)
    report = {
        "date": common.today(),
        "machine": common.machine() | {"load_average": round(os.getloadavg()[1], 2)},
        "seeds": args.seeds,
        "sizes": args.sizes,
        "surge": SURGE,
        "runs": runs,
        "large": None if args.no_large else large(),
        "decision": None if args.no_large else placement_decision.timed(scale.Size()),
    }
    overfull = sum(c["faults"] for each in runs for c in each["contenders"].values())
    if args.dry:
        print(placement_report.section(report))
    else:
        common.write_results(NAME, report)
        common.write_section(NAME, placement_report.section(report))
    return 1 if overfull else 0


def run(types: int, models: int, correlation: str, seed: int) -> dict[str, Any]:
    """Place one fleet by all contenders."""
    fleet = placement_fleets.draw(types, models, CORRELATIONS[correlation], seed)
    found = offers(fleet, priced=False)
    solution = solve(found.problem)
    return {
        "size": f"{types}x{models}",
        "correlation": correlation,
        "seed": seed,
        "nodes": sum(kind.count for kind in fleet.node_types),
        "outcome": str(solution.outcome),
        "bound": solution.bound,
        "contenders": {name: _judged(name, fleet, found, solution.bound) for name in CONTENDERS},
    }


def _judged(name: str, fleet: Fleet, found: Offers, bound: float) -> dict[str, Any]:
    begun_s = time.process_time()
    placed = CONTENDERS[name](fleet, found)
    took_s = time.process_time() - begun_s
    cost = sum(each.option.cost for each in placed.values())
    whole = len(placed) == len(fleet.models)
    return {
        "placed": len(placed) / len(fleet.models),
        # Not clipped: a cost below the bound would be an error, and is to be seen.
        "gap": round(cost / bound - 1, _DECIMALS) + 0.0 if whole else None,
        "misses": _misses(fleet, found, placed) / len(fleet.models),
        "faults": faults(found.problem, placed),
        "cpu_s": took_s,
    }


def _misses(fleet: Fleet, found: Offers, placed: Placement) -> int:
    """Count models whose replicas could not answer if rates surged, or that are not placed."""
    count = 0
    for model in fleet.models:
        there = placed.get(model.name)
        if there is None:
            count += 1
            continue
        option = there.option
        size = found.sizes[model.name][option.node_type, option.processor]
        count += SURGE * model.rate_per_second > option.replicas * size.capacity_per_s
    return count


def faults(problem: PlacementProblem, placed: Placement) -> int:
    """Count nodes and processors that give more than they have, and models that lack replicas."""
    kinds = {kind.name: kind for kind in problem.node_types}
    used: dict[tuple[str, int, int, str], float] = {}
    lacking = 0
    for each in placed.values():
        kind, option = kinds[each.option.node_type], each.option
        devices = each.devices or (0,) * len(each.nodes)
        lacking += not len(each.nodes) == len(devices) == option.replicas
        for node, device in zip(each.nodes, devices, strict=False):
            for name, amount in option.uses.items():
                # What is not divided is counted at the node, as of its first processor.
                key = (kind.name, node, device if _count(kind, name) > 1 else 0, name)
                used[key] = used.get(key, 0.0) + amount
    over = {
        (name, node, device)
        for (name, node, device, resource), amount in used.items()
        if amount > _has(kinds[name], node, resource) * (1 + _ROUNDING)
    }
    return lacking + len(over)


def _count(kind: NodePool, resource: str) -> int:
    """Return among how many processors of a node a resource is divided."""
    return next((part.count for part in kind.parts if resource in part.resources), 1)


def _has(kind: NodePool, node: int, resource: str) -> float:
    return kind.free[node].get(resource, 0.0) / _count(kind, resource)


def large() -> dict[str, Any]:
    """Solve one large problem anew, and then place models one by one into what is left."""
    types, models, load = LARGE
    fleet = placement_fleets.draw(types, models, CORRELATIONS["weak"], 0, load)
    problem = offers(fleet, priced=False).problem
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    solution = solve(problem)
    took_s, took_cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    packing = packed(problem, solution.placed.values())
    one_more_ms = []
    for demand in problem.demands[:ONE_MORE]:
        begun_s = time.perf_counter()
        placed = place_next(packing, demand)
        one_more_ms.append(1000 * (time.perf_counter() - begun_s))
        if placed is not None:
            packing.remove(placed)
    return {
        "node_types": types,
        "models": models,
        "nodes": sum(kind.count for kind in fleet.node_types),
        "outcome": str(solution.outcome),
        "placed": len(solution.placed),
        "gap": solution.gap,
        "faults": faults(problem, solution.placed),
        "wall_s": took_s,
        "cpu_s": took_cpu_s,
        "one_more_ms": one_more_ms,
    }


def _line(found: dict[str, Any]) -> str:
    told = []
    for name, each in found["contenders"].items():
        gap = "not all placed" if each["gap"] is None else f"{each['gap']:.2%}"
        told.append(f"{name} {gap} in {each['cpu_s']:.2f} s")
    return f"{found['size']} {found['correlation']} seed {found['seed']}: {'; '.join(told)}"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="TYPESxMODELS")
    parser.add_argument("--no-large", action="store_true", help="leave the large problems out")
    parser.add_argument("--dry", action="store_true", help="print the section, write nothing")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
