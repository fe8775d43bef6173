"""What a simulated run was worth: goodput, attainment, latencies, device time, convergence.

*Goodput* is completions within the latency target per second, *attainment* the share of the
offered requests that they are. A request that is not answered before the run is over counts as
a miss of both; its latency still counts in the percentiles. One that was rejected, or whose batch
failed, is a miss, too, and has no latency.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ferryman.core.queue_model.batcher import Batches
from ferryman.core.simulator.scenario import Scenario

Floats = NDArray[np.float64]

#: A window has converged when its goodput is this share of the oracle's in the same window.
CONVERGED: Final = 0.95
PERCENTILES: Final = (50, 90, 95, 99)

_MS_PER_S: Final = 1e3


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a pod's requests, in order of arrival. Times in seconds."""

    arrivals_s: Floats
    """When those arrived that were answered."""
    starts_s: Floats
    """When the request's batch began."""
    ends_s: Floats
    """When it ended."""
    sizes: NDArray[np.int64]
    """The size of its batch."""
    rejected_s: Floats = field(default_factory=lambda: np.empty(0))
    """When those arrived whom the queue policy rejected: they are in none of the others."""
    failed_s: Floats = field(default_factory=lambda: np.empty(0))
    """When those arrived whose batch failed: they are in none of the others."""

    @classmethod
    def of(
        cls, arrivals_s: Floats, parts: Sequence[Batches], working_batch: float = float("inf")
    ) -> "Served":
        """Return what became of the requests of a pod in batches that together hold them all.

        Batches larger than ``working_batch`` fail.
        """
        batches, failed = Batches.concatenated(parts).up_to(working_batch)
        return cls(
            arrivals_s=arrivals_s[batches.requests],
            starts_s=np.repeat(batches.starts_s, batches.sizes),
            ends_s=np.repeat(batches.ends_s, batches.sizes),
            sizes=np.repeat(batches.sizes, batches.sizes),
            rejected_s=arrivals_s[np.sort(batches.rejected)],
            failed_s=arrivals_s[failed.requests],
        )

    @property
    def offered(self) -> int:
        """Requests that arrived."""
        return self.arrivals_s.size + self.rejected_s.size + self.failed_s.size


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run over all pods."""

    offered: int
    """Requests that arrived."""
    goodput_per_s: float
    attainment: float
    """From 0 to 1; 1 where nothing was offered."""
    latency_ms: dict[int, float]
    """Percentile -> latency in the server; empty where nothing was answered."""
    device_busy_s: float
    """Time that instances spent on batches that began within the run, added up."""
    mean_batch_size: float
    """0 where nothing was answered."""
    goodput_by_window: tuple[float, ...]
    """Goodput of each window, by the time of completion."""
    rejected: int = 0
    """Requests that the queue policy rejected."""
    failed: int = 0
    """Requests whose batch failed."""
    device_busy_by_half_s: tuple[float, float] | None = None
    """The device time of what began in each half of the run; None where only the sum is known."""
    largest_batch: int = 0
    """The largest batch that was answered; 0 where nothing was, or nobody counted."""


def measure(scenario: Scenario, pods: Iterable[Served]) -> Figures:
    """Return the figures of a run."""
    served = _merge(tuple(pods))
    duration_s, offered, answered = scenario.duration_s, served.offered, served.sizes.size
    latencies_s = served.ends_s - served.arrivals_s
    good = (latencies_s * _MS_PER_S <= scenario.target_ms) & (served.ends_s < duration_s)
    windows = (served.ends_s[good] // scenario.window_seconds).astype(np.int64)
    first_s, whole_s = (_device_busy_s(served, each) for each in (duration_s / 2, duration_s))
    by_window = np.bincount(windows, minlength=scenario.windows) / scenario.window_seconds
    return Figures(
        offered=offered,
        goodput_per_s=float(good.sum() / duration_s),
        attainment=float(good.sum() / offered) if offered else 1.0,
        latency_ms=percentiles_ms(latencies_s),
        device_busy_s=whole_s,
        # Each request is 1 / size of a batch.
        mean_batch_size=float(answered / (1 / served.sizes).sum()) if answered else 0.0,
        goodput_by_window=tuple(by_window.tolist()),
        rejected=served.rejected_s.size,
        failed=served.failed_s.size,
        device_busy_by_half_s=(first_s, whole_s - first_s),
        largest_batch=int(served.sizes.max(initial=0)),
    )


def percentiles_ms(latencies_s: Floats) -> dict[int, float]:
    """Return the percentiles that objectives can name, in milliseconds; of nothing, none."""
    if latencies_s.size == 0:
        return {}
    values = np.percentile(latencies_s, PERCENTILES) * _MS_PER_S
    return dict(zip(PERCENTILES, values.tolist(), strict=True))


def windows_to_converge(run: Sequence[float], oracle: Sequence[float]) -> int | None:
    """Return after how many windows each one has at least 95 % of the oracle's goodput.

    Both are goodputs by window under the same arrivals. None when the last window has less.
    """
    short = [
        i for i, (mine, best) in enumerate(zip(run, oracle, strict=True)) if mine < CONVERGED * best
    ]
    converged = short[-1] + 1 if short else 0
    return converged if converged < len(run) else None


def _merge(pods: tuple[Served, ...]) -> Served:
    return Served(
        arrivals_s=np.concatenate([pod.arrivals_s for pod in pods]),
        starts_s=np.concatenate([pod.starts_s for pod in pods]),
        ends_s=np.concatenate([pod.ends_s for pod in pods]),
        sizes=np.concatenate([pod.sizes for pod in pods]),
        rejected_s=np.concatenate([pod.rejected_s for pod in pods]),
        failed_s=np.concatenate([pod.failed_s for pod in pods]),
    )


def _device_busy_s(served: Served, until_s: float) -> float:
    """Return the service time of batches that began before; a request has its share."""
    shares_s = (served.ends_s - served.starts_s) / served.sizes
    return float(shares_s[served.starts_s < until_s].sum())
