import numpy as np
import pytest

from ferryman.core.simulator import loads
from ferryman.core.simulator.scenario import Scenario


def scenario(arrivals, **fields):
    values = {
        "serviceTime": {"coefficients": {"t0": 5}},
        "objectives": {"latency": {"targetMilliseconds": 50}},
        "windows": 15,
        "windowSeconds": 5,
        "arrivals": arrivals,
    }
    return Scenario.model_validate({**values, **fields}, extra="forbid")


@pytest.mark.parametrize(
    "arrivals",
    [
        pytest.param({"steps": [{"seconds": 9, "ratePerSecond": 99}]}, id="steps"),
        pytest.param(
            {
                "mmpp": {
                    "calmRatePerSecond": 10,
                    "calmMeanSeconds": 3,
                    "burstRatePerSecond": 200,
                    "burstMeanSeconds": 1,
                }
            },
            id="mmpp",
        ),
        pytest.param({"poisson": {"ratePerSecond": 50}}, id="poisson"),
    ],
)
def test_the_seed_decides_everything(arrivals):
    given = scenario(arrivals, replicas=2)
    one, again, other = (loads.draw(each) for each in (given, given, given.with_(seed=99)))
    assert len(one) == 2
    assert all(np.array_equal(left, right) for left, right in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_a_trace_is_replayed():
    [moments_s] = loads.draw(scenario({"trace": {"file": "gaps.txt"}}), (0.5, 0.25))
    assert moments_s[:4].tolist() == [0.5, 0.75, 1.25, 1.5]
    assert moments_s.size == 199


@pytest.mark.parametrize(
    ("gaps_s", "words"),
    [
        pytest.param((), "not all of them 0", id="no gaps"),
        pytest.param((1e-9,), "more than 20000000 requests", id="too many requests"),
    ],
)
def test_a_trace_that_cannot_be_replayed_is_refused(gaps_s, words):
    with pytest.raises(ValueError, match=words):
        loads.draw(scenario({"trace": {"file": "gaps.txt"}}), gaps_s)
