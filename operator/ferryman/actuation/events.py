"""What happens while a model is tuned without Kubernetes: values for displays and journals."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ferryman.api.batching import Actuator, Batching
from ferryman.api.inference_model_status import ChangeOutcome
from ferryman.core.batching.step import Step
from ferryman.core.observation.objectives import Verdict
from ferryman.core.observation.window import Window


@dataclass(frozen=True, slots=True)
class Began:
    """Observation begins."""

    applied: Batching


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters were read; the window goes on."""

    window_s: float
    """Seconds since the window began."""
    requests: int
    """Requests that ended in it so far."""


@dataclass(frozen=True, slots=True)
class Silence:
    """The server does not answer, or not for this model."""

    message: str
    since_s: float


@dataclass(frozen=True, slots=True)
class Observed:
    """A window ended."""

    number: int
    """Counted from 1."""
    applied: Batching
    window: Window
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Decided:
    """The tuner spoke, and this is done about it."""

    number: int
    """The window's."""
    applied: Batching
    step: Step
    took_ms: float
    """Time that the tuner took."""


@dataclass(frozen=True, slots=True)
class ChangeBegun:
    """A change is being carried out; what is in force serves on."""

    before: Batching
    after: Batching
    actuator: Actuator
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ChangeEnded:
    """What came of a change."""

    before: Batching
    after: Batching
    actuator: Actuator
    reason: str
    outcome: ChangeOutcome
    message: str
    applied: Batching
    """What is in force now."""
    took_s: float


@dataclass(frozen=True, slots=True)
class Moved:
    """Somebody else changed the batching, or the server restarted; it is what is tuned from now."""

    before: Batching
    applied: Batching


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over."""

    applied: Batching
    windows: int
    why: Literal["Stopped", "Lost"]
    message: str = ""


Event = Began | Reading | Silence | Observed | Decided | ChangeBegun | ChangeEnded | Moved | Ended


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and when it was."""

    at: datetime
    elapsed_s: float
    """Since the session began."""
    event: Event
