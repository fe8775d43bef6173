"""What is told of each step: its figures, and why it has the workers that it has."""

from dataclasses import dataclass

from ferryman.api.conditions import Reason


@dataclass(frozen=True, slots=True)
class StepAccount:
    """One step, as status, metrics and ``ferryman explain`` show it. None: unknown."""

    name: str
    instances: int
    """What it is to have, in each pod."""
    bound: int
    """The largest batch that it is to run."""
    reason: Reason
    """Why it is not given one more."""
    message: str
    visits: float | None = None
    """Rows per request of the pipeline."""
    service_ms: float | None = None
    """Mean time of a batch in the window."""
    queue_ms: float | None = None
    """Mean wait of a request in the window."""
    busy: float | None = None
    """Share of the window in which its instances ran, from 0 to 1."""
    latency_share: float | None = None
    """Share of its wait and service in those of all steps."""
    capacity_per_s: float | None = None
    """Requests of the pipeline a second and pod that it carries as it is to be."""
    gain_per_s: float | None = None
    """What one more instance of it would add to what the pipeline carries."""
    budget_ms: float | None = None
    """Its part of the end-to-end latency budget, where there is one."""
    is_limiting: bool = False
    """Whether it carries least of all steps."""
