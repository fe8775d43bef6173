"""What one window teaches about the steps of a pipeline, and whether a step has changed.

Service times that rise while nothing was changed are a step that became slower, and are believed
at once. Those that rise with instances that were just added are steps that slow each other down:
``verification`` judges that, and the times that were known stay what is computed with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp
from typing import Final

from ferryman.core.balancing.state import BalancerState, BalancingRules, LearnedStep
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.observation.window import Window
from ferryman.core.tuners.learned.drift import DriftDetector
from ferryman.core.tuners.learned.service_time import ServiceTimes

#: The weight of the latest window in what is not counted by batch size.
LATEST: Final = 0.5
#: Service times are kept under one number: how instances slow each other down is not a matter of
#: one step's.
_ANY: Final = 1
_MS_PER_S: Final = 1e3


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is known after a window."""

    steps: Mapping[str, LearnedStep]
    errors: Mapping[str, float]
    """Step -> log ratio of the service times seen to those known; 0.1: about 10 % longer."""
    drifted: tuple[str, ...]
    """Steps that changed while nothing was changed."""


def learn(
    rules: BalancingRules,
    window: PipelineWindow,
    state: BalancerState,
    *,
    changed: bool,
    grew: bool,
) -> Lesson:
    """Return what is known once a window has been looked at.

    ``changed``: something else was in force in the window before; ``grew``: more instances are
    in force since, so that service times tell of the change.
    """
    processor_s = _processor_s(window)
    steps, errors, drifted = {}, {}, []
    for setup in rules.steps:
        known = state.steps.get(setup.name, LearnedStep())
        seen = window.steps[setup.name]
        if not seen.inferences or not seen.service_times:
            steps[setup.name] = known
            continue
        error = known.service.error(_ANY, seen.service_times) or 0.0
        drift = known.drift if changed else known.drift.with_error(error)
        if drift.alarm:
            drifted.append(setup.name)
        service = _service(known, seen, error, anew=changed or drift.alarm, kept=grew)
        errors[setup.name] = error
        steps[setup.name] = LearnedStep(
            service=service,
            drift=DriftDetector() if changed or drift.alarm else drift,
            visits=_visits(known.visits, seen),
            cpu_s_per_row=_blended(known.cpu_s_per_row, processor_s.get(setup.name)),
        )
    return Lesson(steps, errors, tuple(drifted))


def believed(steps: Mapping[str, LearnedStep], window: PipelineWindow) -> dict[str, LearnedStep]:
    """Return the steps with the service times of a window, which were held back."""
    believing = {}
    for name, known in steps.items():
        seen = window.steps[name].service_times
        error = known.service.error(_ANY, seen) or 0.0
        service = known.service.scaled(exp(error)).with_window(_ANY, seen)
        believing[name] = replace(known, service=service)
    return believing


def curve_s(known: LearnedStep, bound: int) -> tuple[float, ...]:
    """Return tau(1), …, tau(bound) in seconds. Raises ValueError where no batch was seen."""
    return tuple(each / _MS_PER_S for each in known.service.curve_ms(_ANY, bound))


def busy_instances(window: Window) -> float:
    """Return how many of its instances in each pod a step kept busy, on average."""
    return window.busy_ms / _MS_PER_S / window.seconds / window.pods


def _service(
    known: LearnedStep, seen: Window, error: float, *, anew: bool, kept: bool
) -> ServiceTimes:
    service = known.service
    if kept and service.points:
        return service
    if anew:
        service = service.scaled(exp(error))
    return service.with_window(_ANY, seen.service_times)


def _visits(known: float | None, seen: Window) -> float:
    """Return the rows of a request of this step, of which each of the pipeline makes one."""
    executed = seen.requests - seen.cached
    return _blended(known, seen.inferences / executed if executed else None) or 1.0


def _blended(known: float | None, latest: float | None) -> float | None:
    if known is None or latest is None:
        return known if latest is None else latest
    return LATEST * latest + (1 - LATEST) * known


def _processor_s(window: PipelineWindow) -> dict[str, float]:
    """Return the processor time of a row of each step; none where it is unknown.

    What all used is dealt out by compute time: of how the steps differ nothing tells, and it is
    their sum over a request that limits.
    """
    computing = {name: busy_instances(each) * each.pods for name, each in window.steps.items()}
    total = sum(computing.values())
    if window.cpu_s is None or not total:
        return {}
    return {
        name: window.cpu_s * computing[name] / total / each.inferences
        for name, each in window.steps.items()
        if each.inferences
    }
