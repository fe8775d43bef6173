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


def test_a_trace_is_scaled_to_a_rate_and_begins_anywhere():
    how = {"trace": {"file": "gaps.txt", "ratePerSecond": 4, "skip": 4}}
    [moments_s] = loads.draw(scenario(how), (0.5, 1.0, 1.5))
    assert moments_s[:4].tolist() == pytest.approx([0.25, 0.625, 0.75, 1.0])
    assert moments_s.size == pytest.approx(4 * 75, abs=2)


def test_a_trace_that_would_be_too_many_requests_is_refused_before_it_is_read():
    with pytest.raises(ValueError, match="more than 20000000 requests may arrive"):
        scenario({"trace": {"file": "gaps.txt", "ratePerSecond": 1_000_000}})


def noisy(sigma, **fields):
    curve = {"coefficients": {"t0": 5}, "noise": sigma}
    return scenario({"poisson": {"ratePerSecond": 50}}, serviceTime=curve, **fields)


def test_noise_has_a_mean_of_one_and_the_sigma_that_is_stated():
    found = np.array(loads.noise(noisy(0.3), 0, 100_000))
    assert found.mean() == pytest.approx(1, abs=4 * 0.31 / np.sqrt(100_000))
    assert np.log(found).std() == pytest.approx(0.3, rel=0.02)


def test_noise_is_that_of_the_seed_and_the_pod_and_leaves_arrivals_alone():
    one, again = (loads.noise(noisy(0.3), 0, 5) for _ in range(2))
    assert one == again
    assert one != loads.noise(noisy(0.3), 1, 5)
    assert one != loads.noise(noisy(0.3, seed=1), 0, 5)
    assert loads.noise(noisy(0), 0, 2) == [1, 1]
    assert np.array_equal(loads.draw(noisy(0.3))[0], loads.draw(noisy(0))[0])


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


def test_a_burst_that_lasts_far_longer_than_its_mean_share_is_refused():
    rare = {
        "calmRatePerSecond": 0,
        "calmMeanSeconds": 1_000_000,
        "burstRatePerSecond": 1_000_000,
        "burstMeanSeconds": 100_000,
    }
    found = scenario({"mmpp": rare}, windows=1, windowSeconds=200)
    # It rarely begins with a burst, which then lasts to the end.
    begins = next(seed for seed in range(1000) if np.random.default_rng(seed).random() < 1 / 11)
    with pytest.raises(ValueError, match="more than 20000000 requests would arrive: lower"):
        loads.draw(found.with_(seed=begins))
