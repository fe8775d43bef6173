"""A scenario that is simulated in no time."""

from ferryman.core.simulator.scenario import Scenario

#: One pod with slack: batches of up to 16 meet the target with a queue delay.
SMALL = Scenario.model_validate(
    {
        "serviceTime": {"coefficients": {"t0": 20, "a": 2}},
        "arrivals": {"poisson": {"ratePerSecond": 100}},
        "objectives": {"latency": {"percentile": 99, "targetMilliseconds": 200}},
        "batching": {
            "limits": {
                "maxBatchSize": {"min": 1, "max": 16},
                "maxQueueDelayMicroseconds": {"min": 0, "max": 64000},
                "instances": {"min": 1, "max": 1},
            },
        },
        "windows": 6,
        "windowSeconds": 10,
    }
)
