"""All that is planned with: what is known, what is asked, what is in force and what binds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from ferryman.api.batching import Batching, InstanceLimits
from ferryman.core.balancing.demand import Asked
from ferryman.core.balancing.learning import busy_instances, curve_s
from ferryman.core.balancing.profile import Resources, StepProfile
from ferryman.core.balancing.state import Assignment, BalancingRules, LearnedStep, StepSetup
from ferryman.core.balancing.throughput import capacity_per_s, limiting_step
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.observation.window import Window

#: Steps are to be busy for this share of the time, so that queues stay short.
UTILISATION: Final = 0.7
#: Processors that are busy for this share of the time are full.
FULL: Final = 0.97
#: What carries no more than this share in addition carries the same.
WORTH: Final = 0.02


@dataclass(frozen=True, slots=True)
class Case:
    """All that is planned with."""

    rules: BalancingRules
    applied: Assignment
    window: PipelineWindow
    steps: Mapping[str, LearnedStep]
    seen: Asked
    ceiling_per_s: float | None = None
    """What was seen not to be exceeded."""
    no_growth: bool = False
    """Whether no step may have more than it has."""

    @property
    def is_known(self) -> bool:
        """Whether some batch of each step was seen."""
        return all(self.steps[setup.name].service.points for setup in self.rules.steps)

    @property
    def resources(self) -> Resources:
        """What the pod has, and what was seen of it."""
        return replace(self.rules.resources, ceiling_per_s=self.ceiling_per_s)

    @property
    def target_per_s(self) -> float:
        """What is to be carried: the demand with headroom, and no less than the objective."""
        objectives, pods = self.rules.objectives, self.window.requests.pods
        stated = objectives.throughput if objectives is not None else None
        least_per_s = 0.0 if stated is None else stated.min_per_second / pods
        return max(self.seen.demand_per_s / UTILISATION, least_per_s)

    def profiles(self, *, shrink: bool, all_sizes: bool = False) -> tuple[StepProfile, ...]:
        """Return the steps as they may be: with fewer instances too, or not.

        At the batch that each runs when it is busy, or with the times of all sizes that a live
        cap may choose.
        """
        return tuple(
            self._profile(setup, shrink=shrink, all_sizes=all_sizes) for setup in self.rules.steps
        )

    def capacity_per_s(self, assignment: Assignment) -> float:
        """Return what an assignment carries, with its own bounds."""
        profiles = replace(self, applied=assignment).profiles(shrink=False)
        return capacity_per_s(profiles, instances_of(assignment), self.resources)

    @property
    def processors_are_full(self) -> bool:
        """Whether the pod's processors were busy for all of the window."""
        used, processors = self.window.cpu_s, self.rules.resources.processors
        if used is None or processors is None:
            return False
        whole = self.window.requests
        return used >= FULL * processors * whole.seconds * whole.pods

    def limiting_step(self, instances: Mapping[str, int]) -> str | None:
        """Return the step that carries least, the first of those alike."""
        profiles = self.profiles(shrink=False)
        return limiting_step(profiles, instances, self.resources, alike=WORTH)

    def _profile(self, setup: StepSetup, *, shrink: bool, all_sizes: bool) -> StepProfile:
        known, seen = self.steps[setup.name], self.window.steps[setup.name]
        visits = known.visits or 1.0
        if all_sizes and setup.live_cap:
            bound = max(setup.limits.max_batch_size.max, ceil(visits))
        else:
            bound = self._full_batch(setup.name, visits)
        return StepProfile(
            name=setup.name,
            service_s=curve_s(known, bound),
            # Of each of the pipeline's pods: a step of its own may have more of them, or fewer.
            visits=visits * self.window.requests.pods / seen.pods,
            after=setup.after,
            memory_bytes=setup.memory_bytes,
            cpu_s_per_row=known.cpu_s_per_row,
            limits=self._limits(setup, seen, shrink=shrink),
        )

    def _full_batch(self, name: str, visits: float) -> int:
        """Return the rows of a full batch: whole requests; of a busy step what it ran."""
        bound = self.applied[name].max_batch_size
        rows = ceil(max(1, int(bound / visits)) * visits)
        mean = self.window.steps[name].mean_batch_size
        if name in self.seen.short and mean is not None:
            return max(1, min(rows, round(mean)))
        return rows

    def _limits(self, setup: StepSetup, seen: Window, *, shrink: bool) -> InstanceLimits:
        """Return how many instances a step may have now."""
        now, limits = self.applied[setup.name].instances, setup.limits.instances
        most = min(now, limits.max) if self.no_growth else limits.max
        unknown = self.resources.memory_bytes is not None and setup.memory_bytes is None
        if not shrink or unknown or not seen.service_times:
            return InstanceLimits(min=min(max(now, limits.min), most), max=most)
        enough = ceil(busy_instances(seen) / UTILISATION)
        fewest = min(now, max(enough, limits.min))
        return InstanceLimits(min=min(fewest, most), max=most)


def instances_of(assignment: Assignment) -> dict[str, int]:
    """Return the instances of all steps."""
    return {name: batching.instances for name, batching in assignment.items()}


def with_instances(assignment: Assignment, instances: Mapping[str, int]) -> dict[str, Batching]:
    """Return an assignment with other instances, and all else as it is."""
    return {
        name: batching.with_(instances=instances[name]) for name, batching in assignment.items()
    }
