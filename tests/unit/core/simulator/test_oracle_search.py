"""The oracle that is found in few runs, held against trying every configuration."""

import pytest

from ferryman.api.batching import InstanceLimits
from ferryman.core.simulator import loads, oracle, oracle_search
from ferryman.core.simulator.scenario import Scenario
from tests.scenarios import SMALL


def _is_as_good(scenario):
    arrivals_s = loads.draw(scenario)
    told = []
    found, runs = oracle_search.find(scenario, arrivals_s, lambda done, of: told.append((done, of)))
    whole = oracle.find(scenario, arrivals_s, lambda _done, _of: None)
    assert found.figures.goodput_per_s >= 0.998 * whole.figures.goodput_per_s
    assert found.figures.device_busy_s <= 1.02 * whole.figures.device_busy_s
    every = len(oracle.candidates(scenario))
    assert told == [(run, every) for run in range(1, runs + 1)]
    assert runs <= every
    return found


@pytest.mark.parametrize(
    ("on_overload", "instances"),
    [("Queue", 1), ("Reject", 1), ("Queue", 3)],
)
def test_the_best_of_few_runs_is_as_good_as_that_of_the_whole_grid(on_overload, instances):
    limits = SMALL.batching.limits.with_(instances=InstanceLimits(max=instances))
    batching = SMALL.batching.with_(on_overload=on_overload, limits=limits)
    shared = SMALL.service_time.with_(parallelism=1.5, noise=0.2)
    _is_as_good(SMALL.with_(batching=batching, service_time=shared))


@pytest.mark.parametrize(
    "knots",
    [
        pytest.param({1: 12.5, 16: 13, 128: 325}, id="a plateau that ends"),
        pytest.param({1: 10, 4: 11, 5: 40, 8: 41, 9: 90, 16: 95}, id="stairs"),
        pytest.param({1: 5, 2: 10.5, 8: 60, 16: 130}, id="batches that do not pay"),
    ],
)
@pytest.mark.parametrize("rate", [30, 90, 200])
def test_it_is_as_good_for_times_of_other_shapes(knots, rate):
    points = [{"batchSize": size, "milliseconds": ms} for size, ms in knots.items()]
    changed = {
        "serviceTime": {"knots": points},
        "arrivals": {"poisson": {"ratePerSecond": rate}},
    }
    base = SMALL.model_dump(by_alias=True, exclude_defaults=True)
    _is_as_good(Scenario.model_validate({**base, **changed}))


def test_a_delay_that_nobody_prefers_is_not_tried():
    found = _is_as_good(SMALL.with_(batching=SMALL.batching.with_(prefer="Latency")))
    assert found.batching.max_queue_delay_microseconds == 0


def test_throughput_alone_is_sought_as_well():
    base = SMALL.model_dump(by_alias=True, exclude_defaults=True)
    asked = {"throughput": {"minPerSecond": 50}}
    _is_as_good(Scenario.model_validate({**base, "objectives": asked}))
