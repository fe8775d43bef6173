"""The noise floor of the machine: what a request costs beyond a service time that is known."""

from typing import Final

from benchmarks.real import models, plan
from benchmarks.real.drive import Job, drive
from benchmarks.real.sender import Sender
from ferryman.api.batching import Batching
from ferryman.core.simulator import loads
from ferryman.core.simulator.scenario import Scenario

SERVICE_MS: Final = 10.0
#: Few enough that hardly any request waits for another.
SCENARIO: Final = Scenario.model_validate(
    {
        "serviceTime": {"coefficients": {"t0": SERVICE_MS}},
        "arrivals": {"poisson": {"ratePerSecond": 5}},
        "objectives": {"latency": {"targetMilliseconds": 1000}},
        "batching": {"limits": {"maxBatchSize": {"max": 1}}},
        "windows": 15,
        "windowSeconds": 1,
    }
)


def measure(sender: Sender) -> dict[str, float]:
    """Return p50 and p99 of the latency less the service time, in ms, of an idle sleeper."""
    [arrivals_s] = loads.draw(SCENARIO)
    employed = plan.kept(SCENARIO, Batching(max_batch_size=1))
    driven = drive(Job(SCENARIO, models.SLEEPER, employed, arrivals_s), sender.executor)
    latency_ms = driven.run.figures.latency_ms
    return {f"p{rank}Ms": round(latency_ms[rank] - SERVICE_MS, 2) for rank in (50, 99)}
