"""The values of a simulation: the algorithm that tunes, and what came of it."""

from dataclasses import dataclass, field
from typing import Any

from ferryman.api.batching import Actuator, Batching
from ferryman.api.scaling import ScalingChange
from ferryman.core.simulator.figures import Figures, Served
from ferryman.core.simulator.rescaling import Scaler
from ferryman.core.tuners.needs import Replicas, Unattainable
from ferryman.core.tuners.protocol import Algorithm


@dataclass(frozen=True, slots=True)
class Change:
    """A change of batching that was carried out."""

    window: int
    """The number of windows that had ended when it was decided."""
    begun_at_s: float
    """When it was decided."""
    at_s: float
    """When the new configuration came into force."""
    actuator: Actuator
    before: Batching
    after: Batching
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class CapacityShortage:
    """That an algorithm said that no configuration can meet the objectives."""

    window: int
    """The number of windows that had ended when it first said so."""
    at_s: float
    needs: Replicas | Unattainable
    """What it would take, as it said last."""


@dataclass(frozen=True, slots=True)
class Run:
    """What an algorithm did and what it was worth."""

    batching: Batching
    """What was in force at the end."""
    figures: Figures
    changes: tuple[Change, ...]
    windows: int
    """Windows that ended, and were not discarded for a change."""
    shortage: CapacityShortage | None
    served: tuple[Served, ...] = field(compare=False, repr=False)
    """What became of every request, by pod."""
    scaled: tuple[ScalingChange, ...] = ()
    """Changes of the number of replicas, in their order."""
    pod_seconds: float = 0.0
    """For how long pods served, added up."""

    @property
    def changes_by_actuator(self) -> dict[str, int]:
        """How often each actuator was used."""
        used = [change.actuator for change in self.changes]
        return {actuator: used.count(actuator) for actuator in sorted(set(used))}


@dataclass(frozen=True, slots=True)
class Tuned:
    """An algorithm, or none, and how it is employed."""

    algorithm: Algorithm | None
    """None: nothing ever changes."""
    state: Any = None
    """What it is handed with the first window."""
    start: Batching | None = None
    """Where it starts; None: where the scenario does."""
    guarded: bool = True
    """Whether the guardrails bind its reloads."""
    scaler: Scaler | None = None
    """What scales a scenario that states scaling; None: own scaling."""
