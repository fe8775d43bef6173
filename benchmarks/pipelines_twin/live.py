"""Pipelines that the live balancer runs on the twin, from one instance of each step on."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, Final

import numpy as np

from benchmarks.pipelines_twin.graphs import Drawn
from benchmarks.pipelines_twin.oracles import largest_rate
from ferryman.api.batching import BatchingLimits, InstanceLimits, WindowSettings
from ferryman.core.balancing.profile import Resources, StepProfile
from ferryman.core.balancing.state import Assignment, BalancingRules, StepSetup
from ferryman.core.simulator.graph.balanced_run import BalancedRun, SlowerFrom, run_balanced
from ferryman.core.simulator.graph.steps import PipelineLoad, SimulatedPipeline, SimulatedStep
from ferryman.core.simulator.graph.twin import PipelineTwin

#: Windows after which the assignment is judged.
WINDOWS: Final = 2
CLIENTS: Final = 40
SETTINGS: Final = WindowSettings(max_requests=1_000, max_seconds=15, min_seconds=5)
#: Instances of one byte each, and room for so many.
ROOM: Final = 12
_SECONDS: Final = 75.0
_SLOWER_AT_S: Final = 60.0
_SLOWER_SECONDS: Final = 150.0
_SLOWER: Final = 3.0
_MS_PER_S: Final = 1e3


def _step(name: str, milliseconds: float, *after: str, processors: float = 0.0) -> SimulatedStep:
    return SimulatedStep(name, (milliseconds / _MS_PER_S,), after, processors=processors)


#: Steps that sleep: chains, forks and joins, unequal by 3 to 10.
PIPELINES: Final[dict[str, tuple[SimulatedStep, ...]]] = {
    "chain": (_step("a", 20), _step("b", 100, "a"), _step("c", 50, "b"), _step("d", 10, "c")),
    "fork": (
        _step("a", 10),
        _step("b", 60, "a"),
        _step("c", 100, "a"),
        _step("d", 20, "b"),
        _step("e", 30, "c"),
    ),
    "join": (_step("a", 30), _step("b", 90), _step("c", 15, "a", "b")),
    "diamond": (
        _step("a", 10),
        _step("b", 40, "a"),
        _step("c", 100, "a"),
        _step("d", 25, "b", "c"),
    ),
    "crossed": (
        _step("a", 20),
        _step("b", 60),
        _step("c", 50, "a", "b"),
        _step("d", 100, "b"),
        _step("e", 10, "c", "d"),
    ),
}
#: Service times of an OCR pipeline on one thread each.
OCR: Final = (
    _step("prepare", 20, processors=1.0),
    _step("detect", 254, "prepare", processors=1.0),
    _step("crop", 10, "detect", processors=1.0),
    _step("classify", 5, "crop", processors=1.0),
    _step("recognise", 285, "crop", processors=1.0),
    _step("join", 2, "classify", "recognise", processors=1.0),
)


def drawn(seed: int) -> tuple[SimulatedStep, ...]:
    """Draw a pipeline of three to eight sleeping steps that are unequal by 3 to 10."""
    generator = np.random.default_rng([seed, 3])
    count = int(generator.integers(3, 9))
    ratio = float(generator.uniform(3, 10))
    times = [1.0, ratio, *(ratio ** generator.uniform(0, 1, count - 2)).tolist()]
    generator.shuffle(times)
    steps: list[SimulatedStep] = []
    for number, each in enumerate(times):
        wanted = min(int(generator.choice([0, 1, 1, 1, 2])), number)
        chosen = sorted(generator.choice(number, size=wanted, replace=False)) if number else []
        steps.append(_step(f"s{number}", 10 * each, *(f"s{i}" for i in chosen)))
    return tuple(steps)


def rules(
    steps: Iterable[SimulatedStep], *, room: int | None, processors: float | None = None
) -> BalancingRules:
    """Return rules under which each instance holds one byte."""
    limits = BatchingLimits(instances=InstanceLimits(min=1, max=16))
    return BalancingRules(
        tuple(StepSetup(step.name, step.after, limits, memory_bytes=1) for step in steps),
        Resources(room, processors),
    )


def best(steps: Sequence[SimulatedStep], room: int, slower: str = "") -> float:
    """Return the best rate of all assignments with room for so many instances, trying each."""
    most = min(room - len(steps) + 1, 16)
    profiles = tuple(
        StepProfile(
            step.name,
            (step.service_s[0] * (_SLOWER if step.name == slower else 1.0),),
            memory_bytes=1,
            limits=InstanceLimits(min=1, max=most),
        )
        for step in steps
    )
    return largest_rate(Drawn(profiles, Resources(room)))


def balanced(steps: tuple[SimulatedStep, ...]) -> dict[str, Any]:
    """Run a pipeline from one instance each; return its share of the best after two windows."""
    room = max(ROOM, 2 * len(steps))
    run = run_balanced(
        SimulatedPipeline(steps),
        PipelineLoad(clients=CLIENTS),
        rules(steps, room=room),
        seconds=_SECONDS,
        settings=SETTINGS,
    )
    return {"steps": len(steps), **_judged(run, 0, best(steps, room))}


def slowed(steps: tuple[SimulatedStep, ...]) -> dict[str, Any]:
    """Run a pipeline whose second step becomes slower; return its share two windows later."""
    slow = steps[1]
    run = run_balanced(
        SimulatedPipeline(steps),
        PipelineLoad(clients=CLIENTS),
        rules(steps, room=ROOM),
        seconds=_SLOWER_SECONDS,
        settings=SETTINGS,
        slower=(SlowerFrom(_SLOWER_AT_S, slow.name, (slow.service_s[0] * _SLOWER,)),),
    )
    since = [w.ended_at_s > _SLOWER_AT_S for w in run.windows].index(True)
    return _judged(run, since, best(steps, ROOM, slow.name))


def on_processors(processors: float, *, known: bool) -> dict[str, Any]:
    """Run the OCR pipeline on some processors; the best is that of all assignments on the twin."""
    run = run_balanced(
        SimulatedPipeline(OCR, processors),
        PipelineLoad(clients=8),
        rules(OCR, room=None, processors=processors if known else None),
        seconds=260.0,
        settings=WindowSettings(max_requests=1_000, max_seconds=30, min_seconds=5),
    )
    served = float(np.mean([w.served_per_s for w in run.windows[-3:]]))
    reached = max(_on_twin(processors, counts) for counts in product(range(1, 5), range(1, 5)))
    return {
        "processors": processors,
        "known": known,
        "share": served / reached,
        "bound": processors * _MS_PER_S / sum(step.service_s[0] * _MS_PER_S for step in OCR),
        "served_per_s": served,
        "instances": _counts(run.assignment),
        "taken_back": [str(w.decision.reason) for w in run.windows].count("TakenBack"),
    }


def _on_twin(processors: float, counts: tuple[int, int]) -> float:
    """Return what the OCR pipeline answers with so many detectors and recognisers."""
    pipeline = SimulatedPipeline(OCR, processors)
    assignment = pipeline.unbatched()
    for name, count in zip(("detect", "recognise"), counts, strict=True):
        assignment[name] = assignment[name].with_(instances=count)
    twin = PipelineTwin(pipeline, PipelineLoad(clients=8), assignment)
    twin.run(120.0)
    return twin.answered().rate_per_s(20.0, 120.0)


def _judged(run: BalancedRun, since: int, reached: float) -> dict[str, Any]:
    """Return the share of the best from two windows on, and after how many nothing changed.

    The share is of the median window: the first may still answer what had waited before.
    """
    later = run.windows[since + WINDOWS :]
    changed = [n for n, w in enumerate(run.windows[since:]) if w.applied != run.assignment]
    served = float(np.median([window.served_per_s for window in later]))
    return {
        "share": served / reached,
        "windows": max(changed, default=-1) + 1,
        "best_per_s": reached,
        "served_per_s": served,
        "instances": _counts(run.assignment),
    }


def _counts(assignment: Assignment) -> list[int]:
    return [batching.instances for batching in assignment.values()]
