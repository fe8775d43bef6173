"""How good the balancing of pipelines is: random graphs, exhaustive search, and the live balancer.

``python -m benchmarks.pipelines_twin.run`` draws 1,000 graphs of up to eight steps for each of two
questions (how many instances, how the latency budget is split), answers them by the balancer and by
searches that try everything, and runs the live balancer on the twin. It writes every figure to
benchmarks/results and a section to docs/benchmarks.md. ``--graphs 20`` is a quick look.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from benchmarks import common
from benchmarks.pipelines_twin import graphs, live, oracles, report
from benchmarks.pipelines_twin.graphs import Shape
from ferryman.core.balancing.latency import BudgetSplit, split_budget
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.throughput import largest

NAME: Final = "pipelines-twin"
GRAPHS: Final = 1_000
SHAPES: Final[tuple[Shape, ...]] = ("chain", "graph")
#: Graphs of which every assignment is tried on the twin, and their largest number of steps.
ON_THE_TWIN: Final = 100
STEPS_ON_THE_TWIN: Final = 3
#: Pipelines that are drawn for the live balancer.
LIVE: Final = 50
#: Each is solved so often, and the quickest time counts: other work only makes it longer.
REPEATS: Final = 3
_MS_PER_S: Final = 1e3
#: Shares of the optimum that differ by less are the same.
_ROUNDING: Final = 1e-9

Found = TypeVar("Found")


def main(argv: Sequence[str] | None = None) -> int:
    """Run all, write figures and section; return 1 if anything is better than the best of all."""
    args = _arguments(argv)
    results = {
        "date": common.today(),
        "machine": common.machine(),
        "graphs": args.graphs,
        "throughput": [throughput(seed) for seed in range(args.graphs)],
        "latency": {
            shape: [latency(seed, shape) for seed in range(args.graphs)] for shape in SHAPES
        },
        "twin": [on_the_twin(seed) for seed in range(min(ON_THE_TWIN, args.graphs))],
        "pipelines": {name: live.balanced(steps) for name, steps in live.PIPELINES.items()},
        "slower": {name: live.slowed(steps) for name, steps in live.PIPELINES.items()},
        "drawn": [live.balanced(live.drawn(seed)) for seed in range(min(LIVE, args.graphs))],
        "processors": [
            live.on_processors(count, known=known)
            for count in (1.0, 2.0, 4.0)
            for known in (True, False)
        ],
    }
    if args.dry:
        print(report.section(results))
    else:
        common.write_results(NAME, results)
        common.write_section(NAME, report.section(results))
    impossible = [each for each in results["throughput"] if each["share"] > 1 + _ROUNDING]
    return 1 if impossible else 0


def throughput(seed: int) -> dict[str, Any]:
    """Return the share of the largest rate of all assignments that ours carries, and its time."""
    drawn = graphs.draw(seed)
    found, took_ms = _timed(lambda: largest(drawn.steps, drawn.resources))
    best = oracles.largest_rate(drawn)
    return {
        "steps": len(drawn.steps),
        "share": found.rate_per_s / best if best else 1.0,
        "fits": found.fits == (best > 0),
        "ms": took_ms,
    }


def on_the_twin(seed: int) -> dict[str, Any]:
    """Return the share of the best that the twin shows of ours, every assignment tried on it."""
    drawn = graphs.draw(seed, STEPS_ON_THE_TWIN)
    unlimited = graphs.Drawn(drawn.steps, Resources(drawn.resources.memory_bytes))
    found = largest(unlimited.steps, unlimited.resources)
    best = oracles.best_on_the_twin(unlimited)
    ours = oracles.rate_on_the_twin(unlimited.steps, found.instances)
    return {"steps": len(drawn.steps), "share": ours / best}


def latency(seed: int, shape: Shape) -> dict[str, Any]:
    """Return what our split, the cheapest of all, and simpler ones cost, and our time."""
    drawn = graphs.draw_budget(seed, shape)
    found, took_ms = _timed(
        lambda: split_budget(drawn.steps, drawn.budget_s, drawn.demand_per_s, Resources())
    )
    split = found if isinstance(found, BudgetSplit) else None
    return {
        "steps": len(drawn.steps),
        "cost": split.cost if split else None,
        "at_least": split.at_least if split else None,
        "best": oracles.cheapest_split(drawn),
        "even": oracles.even_split(drawn, own_path=False),
        "even_by_path": oracles.even_split(drawn, own_path=True),
        "proportional": oracles.proportional_split(drawn, own_path=False),
        "proportional_by_path": oracles.proportional_split(drawn, own_path=True),
        "ms": took_ms,
    }


def _timed(solve: Callable[[], Found]) -> tuple[Found, float]:
    """Return an answer and the CPU milliseconds that it takes, of the quickest of a few times."""
    times_s = []
    for _ in range(REPEATS):
        begun_s = time.process_time()
        found = solve()
        times_s.append(time.process_time() - begun_s)
    return found, round(min(times_s) * _MS_PER_S, 3)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=GRAPHS)
    parser.add_argument("--dry", action="store_true", help="print the section, write nothing")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
