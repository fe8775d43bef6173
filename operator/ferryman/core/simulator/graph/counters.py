"""The counters of a simulated pipeline, as Triton shows them of the ensemble and of each step."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ferryman.api.statistics import Statistics
from ferryman.core.observation.window import QUANTILE_MEMORY_S
from ferryman.core.simulator.figures import percentiles_ms

_NS_PER_S = 1e9
_US_PER_MS = 1e3


@dataclass(slots=True)
class ModelCounters:
    """What one model did, counted when it happens."""

    requests: int = 0
    rows: int = 0
    duration_s: float = 0.0
    queue_s: float = 0.0
    batches: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Rows of a batch -> (executions, seconds)."""
    latest: deque[tuple[float, float]] = field(default_factory=deque)
    """(End, latency) of requests that Triton's summary remembers."""

    def batch_ended(self, rows: int, seconds: float) -> None:
        """Count a batch."""
        executions, total_s = self.batches.get(rows, (0, 0.0))
        self.batches[rows] = (executions + 1, total_s + seconds)

    def answered(self, now_s: float, rows: int, duration_s: float, queue_s: float) -> None:
        """Count a request."""
        self.requests += 1
        self.rows += rows
        self.duration_s += duration_s
        self.queue_s += queue_s
        self.latest.append((now_s, duration_s))

    def read(self, now_s: float, pending: int | None) -> Statistics:
        """Return the counters at a moment; times must ascend from reading to reading."""
        while self.latest and self.latest[0][0] <= now_s - QUANTILE_MEMORY_S:
            self.latest.popleft()
        return Statistics(
            now_s=now_s,
            inference_count=self.rows,
            success_count=self.requests,
            success_ns=_ns(self.duration_s),
            failure_count=0,
            queue_ns=_ns(self.queue_s),
            execution_count=sum(executions for executions, _ in self.batches.values()),
            batches={
                rows: (executions, _ns(seconds))
                for rows, (executions, seconds) in sorted(self.batches.items())
            },
            latency_quantiles_us=self._quantiles_us(),
            pending=pending,
        )

    def _quantiles_us(self) -> Mapping[int, float]:
        if not self.latest:
            return {}
        latencies_s = np.array([latency_s for _, latency_s in self.latest])
        return {p: ms * _US_PER_MS for p, ms in percentiles_ms(latencies_s).items()}


def _ns(seconds: float) -> int:
    return round(seconds * _NS_PER_S)
