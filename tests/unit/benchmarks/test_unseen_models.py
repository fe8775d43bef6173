"""Guarded on small models of kinds on which it once failed, beside the best static choice.

Each holds what is wanted of models that nobody wrote a scenario for: goodput of the whole run, and
device time of the second half. The starts are without a live cap unless one is named.
"""

import pytest

from benchmarks.contenders.registry import BY_NAME
from benchmarks.family import job
from benchmarks.family.measures import ratios
from ferryman.core.simulator.scenario import Scenario

GOODPUT = 0.95
DEVICE_TIME = 1.15


def knots(*points):
    return {"knots": [{"batchSize": size, "milliseconds": ms} for size, ms in points]}


STAIR = knots((1, 50), (16, 52), (17, 280), (32, 290))
TILES = knots((1, 87), (16, 90), (17, 170), (32, 174))
CONVEX = {"coefficients": {"t0": 20, "a": 0.6, "g": 0.1}}
BURSTS = {
    "mmpp": {
        "calmRatePerSecond": 45,
        "calmMeanSeconds": 35,
        "burstRatePerSecond": 120,
        "burstMeanSeconds": 8,
    }
}


def scenario(service, arrivals, target_ms, start, *, live_cap=False, windows=20):
    if isinstance(arrivals, int):
        arrivals = {"poisson": {"ratePerSecond": arrivals}}
    return Scenario.model_validate(
        {
            "serviceTime": service,
            "arrivals": arrivals,
            "objectives": {"latency": {"percentile": 99, "targetMilliseconds": target_ms}},
            "batching": {
                "algorithm": "Guarded",
                "initial": {"maxBatchSize": start},
                "window": {"minSeconds": 5, "maxSeconds": 10},
                "limits": {
                    "maxBatchSize": {"min": 1, "max": 32},
                    "maxQueueDelayMicroseconds": {"min": 0, "max": 200_000},
                    "instances": {"min": 1, "max": 1},
                },
            },
            "windows": windows,
            "windowSeconds": 10,
            "liveCap": live_cap,
            "seed": 3,
        },
        extra="forbid",
    )


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(scenario(STAIR, 120, 430, 1), id="a dear step behind the best size"),
        pytest.param(
            scenario(STAIR, 120, 430, 2, live_cap=True, windows=25),
            id="the same with a live cap, which keeps what waits",
        ),
        pytest.param(
            scenario(TILES, BURSTS, 1_000, 4, live_cap=True, windows=30), id="tiles under bursts"
        ),
        pytest.param(scenario(CONVEX, 200, 150, 2), id="a processor that large batches overrun"),
    ],
)
def test_what_was_never_seen_comes_near_to_the_best_that_never_changes(given):
    best = job.best(given)
    ran = job.contend(given, [BY_NAME["guarded"], BY_NAME["largest"]])
    found = ratios(ran["guarded"], best, ran["largest"])
    assert found.whole >= GOODPUT
    assert found.busy <= DEVICE_TIME


def test_a_model_that_answers_a_hundredth_of_what_is_asked_is_seen_to_fail():
    """A second a batch, whatever its size, and batches of one: ten answers never come at once."""
    given = scenario(knots((1, 1_000), (32, 1_010)), 25, 5_000, 1, live_cap=True)
    best = job.best(given)
    ran = job.contend(given, [BY_NAME["guarded"], BY_NAME["largest"]])
    found = ratios(ran["guarded"], best, ran["largest"])
    assert found.second_half >= GOODPUT
    assert found.soon
