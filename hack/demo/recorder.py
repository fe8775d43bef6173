"""What was seen of a model while the load ran: its status, and the load's own measurements."""

import statistics
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hack import installation
from hack.cluster import Cluster
from hack.demo.scenario import NAMESPACE, Act
from hack.load_job import LoadJob


@dataclass
class Recording:
    """One model's story: its status over time and the load on it."""

    act: Act
    job: LoadJob
    batches: list[tuple[float, int]] = field(default_factory=list)
    """(Unix time, applied batch size bound), one entry a look."""
    model: dict[str, Any] = field(default_factory=dict)
    verdict: str = "not judged"
    """What the operator last said of the objectives while there was traffic."""

    def look(self, cluster: Cluster) -> None:
        """Read the model's status once."""
        self.model = installation.get(cluster, "inferencemodel", self.act.name, NAMESPACE)
        met = installation.condition(self.model, "ObjectivesMet") or {}
        if met.get("status") in {"True", "False"}:
            self.verdict = "met" if met["status"] == "True" else f"missed ({met['reason']})"
        if bound := self.batch:
            self.batches.append((time.time(), bound))

    @property
    def status(self) -> dict[str, Any]:
        """The model's status as last read."""
        found: dict[str, Any] = self.model.get("status", {})
        return found

    @property
    def batch(self) -> int | None:
        """The applied batch size bound."""
        return self.applied.get("maxBatchSize")

    @property
    def applied(self) -> dict[str, Any]:
        """The applied batching."""
        found: dict[str, Any] = self.status.get("batching", {}).get("applied") or {}
        return found

    @property
    def change_times(self) -> list[float]:
        """Unix times of the changes of batching that were applied, oldest first."""
        changes = self.status.get("batching", {}).get("changes", [])
        times = [change["time"] for change in changes if change["outcome"] == "Applied"]
        return sorted(datetime.fromisoformat(when).timestamp() for when in times)

    def accuracies(self) -> dict[str, float]:
        """Return the share of right answers before, during and after the changes of batching."""
        changes = self.change_times
        if not changes:
            return {"throughout": _accuracy(self.job.seconds)}
        first, last = changes[0] - 1, changes[-1] + 3
        phases: dict[str, list[dict[str, Any]]] = {"before": [], "during": [], "after": []}
        for second in self.job.seconds:
            when = second["time"]
            phase = "before" if when < first else "during" if when <= last else "after"
            phases[phase].append(second)
        return {phase: _accuracy(seconds) for phase, seconds in phases.items() if seconds}

    def settled(self, seconds: int = 20) -> list[dict[str, Any]]:
        """Return the load's last seconds: after the tuning, if there was any."""
        return self.job.seconds[-seconds:]


def typical_p99_ms(seconds: list[dict[str, Any]]) -> float:
    """Return the median over seconds of each second's p99."""
    values = [second["p99_ms"] for second in seconds if second["p99_ms"] is not None]
    return statistics.median(values) if values else float("nan")


def _accuracy(seconds: list[dict[str, Any]]) -> float:
    scored = [
        (second["ok"], second["accuracy"])
        for second in seconds
        if second.get("accuracy") is not None
    ]
    answered = sum(ok for ok, _ in scored)
    return sum(ok * accuracy for ok, accuracy in scored) / answered if answered else float("nan")
