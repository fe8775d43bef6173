"""How replicas follow the load: by Ferryman's own scaling, and by an HPA that follows its number.

``python -m benchmarks.scaling.run`` runs every load of ``cases`` on the digital twin under both,
loads that are random with three seeds. It writes every figure to benchmarks/results and a section
to docs/benchmarks.md: about five minutes of one core. ``--seeds 1 --dry`` is a quicker look.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from math import ceil
from typing import Any, Final

import numpy as np

from benchmarks import common
from benchmarks.scaling import cases, report
from benchmarks.scaling.cases import WINDOW_S, Load
from benchmarks.scaling.hpa import Autoscaler, Following
from ferryman.api.scaling import ScalingChange
from ferryman.core import timestamps
from ferryman.core.simulator import loads
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.simulation import EPOCH, simulate
from ferryman.core.simulator.tuned_run import Run, Tuned
from ferryman.core.tuners.select import TunerState, tune

NAME: Final = "scaling"
SEEDS: Final = 3
CONTENDERS: Final = ("Ferryman", "HPA")
#: A change is preceded by windows that show that it is needed, and followed by those that wait.
AROUND_S: Final = 2 * WINDOW_S
_PERCENTILE: Final = 99
_MS_PER_S: Final = 1e3


def main(argv: Sequence[str] | None = None) -> int:
    """Run all, and write figures and section."""
    args = _arguments(argv)
    results = {
        "date": common.today(),
        "machine": common.machine(),
        "runs": list(_runs(args.seeds)),
    }
    if args.dry:
        print(report.section(results))
    else:
        common.write_results(NAME, results)
        common.write_section(NAME, report.section(results))
    return 0


def _runs(seeds: int) -> Iterator[dict[str, Any]]:
    for number, load in enumerate(cases.LOADS):
        for seed in range(seeds if load.is_random else 1):
            model = tuple(cases.MODELS)[(number + seed) % len(cases.MODELS)]
            for contender in CONTENDERS:
                yield figures(model, load, seed, contender)


def figures(model: str, load: Load, seed: int, contender: str) -> dict[str, Any]:
    """Return what became of a load of a model under a contender."""
    scenario = cases.scenario(model, load, seed)
    run = scaled(scenario, contender)
    ups = [at_s(each) for each in run.scaled if each.after > each.before]
    missed = [window for window in windows(scenario, run) if window["missed"]]
    starts_s = scenario.pod_start_seconds
    waited = [
        any(at - AROUND_S <= each["at_s"] <= at + starts_s + AROUND_S for at in ups)
        for each in missed
    ]
    least = [
        max(1, ceil(each["offered"] / WINDOW_S / cases.capacity_per_s(model)))
        for each in windows(scenario, run)
    ]
    return {
        "model": model,
        "load": load.name,
        "seed": seed,
        "contender": contender,
        "changes": [[at_s(each), each.before, each.after] for each in run.scaled],
        "ups": len(ups),
        "downs": len(run.scaled) - len(ups),
        "turns": turns(run.scaled),
        "windows": scenario.windows,
        "missed": len(missed),
        "missed_otherwise": waited.count(False),
        "attainment": round(run.figures.attainment, 4),
        "pods": round(run.pod_seconds / scenario.duration_s, 3),
        "least_pods": round(float(np.mean(least)), 3),
    }


def scaled(scenario: Scenario, contender: str) -> Run:
    """Return a scenario's run under a contender."""
    bounds = scenario.scaling
    hpa = Following(Autoscaler(1, most=bounds.max_replicas if bounds else 1))
    tuned = Tuned(
        partial(tune, in_effect=scenario.in_effect),
        TunerState(),
        scaler=hpa if contender == "HPA" else None,
    )
    return simulate(scenario, loads.draw(scenario), tuned)


def windows(scenario: Scenario, run: Run) -> Iterator[dict[str, Any]]:
    """Yield when each window began, how many requests arrived in it, and whether p99 was missed."""
    arrived_s = np.concatenate([pod.arrivals_s for pod in run.served])
    latency_ms = _MS_PER_S * np.concatenate([pod.ends_s - pod.arrivals_s for pod in run.served])
    number = (arrived_s / WINDOW_S).astype(int)
    for index in range(scenario.windows):
        own = latency_ms[number == index]
        late = own.size > 0 and float(np.percentile(own, _PERCENTILE)) > scenario.target_ms
        yield {"at_s": index * WINDOW_S, "offered": int(own.size), "missed": bool(late)}


def turns(changes: Sequence[ScalingChange]) -> int:
    """Return how often there were more again after there were fewer."""
    return sum(
        one.after < one.before and other.after > other.before for one, other in pairwise(changes)
    )


def at_s(change: ScalingChange) -> int:
    """Return when a change was decided, from the start of the run."""
    return int((timestamps.parse(change.time) - EPOCH).total_seconds())


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of each load that is random")
    parser.add_argument("--dry", action="store_true", help="print the section, write nothing")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
