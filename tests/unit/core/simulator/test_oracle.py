import pytest

from ferryman.api.batching import Batching
from ferryman.api.objectives import Objectives
from ferryman.core.queue_model.service_curve import Drift
from ferryman.core.simulator import loads, oracle
from ferryman.core.simulator.figures import Figures
from ferryman.core.simulator.oracle import Static
from ferryman.core.simulator.scenario import Scenario
from tests import factories


def limits(bound=(1, 1), delay=(0, 0), instances=(1, 1)):
    return factories.limits(bound, delay, instances)


def values(field, found):
    return sorted({getattr(batching, field) for batching in found})


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        pytest.param((3, 10), [3, 4, 5, 6, 7, 8, 9, 10], id="few: all of them"),
        pytest.param(
            (3, 48), [3, 4, 6, 8, 12, 16, 24, 32, 48], id="many: a selection and the limits"
        ),
        pytest.param((64, 64), [64], id="one"),
    ],
)
def test_bounds_of_the_grid(bound, expected):
    assert values("max_batch_size", oracle.grid(limits(bound=bound))) == expected


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        pytest.param((0, 0), [0], id="none"),
        pytest.param((0, 3_000), [0, 500, 1_000, 2_000, 3_000], id="half a millisecond, doubled"),
        pytest.param((100, 600), [100, 500, 600], id="both limits"),
    ],
)
def test_delays_of_the_grid(delay, expected):
    assert values("max_queue_delay_microseconds", oracle.grid(limits(delay=delay))) == expected


def test_the_grid_is_full():
    found = oracle.grid(limits((1, 4), (0, 1_000), (1, 3)))
    assert len(set(found)) == len(found) == 4 * 3 * 3


def static(goodput, busy, bound=8, delay_us=0, instances=1):
    batching = Batching(
        max_batch_size=bound, max_queue_delay_microseconds=delay_us, instances=instances
    )
    return Static(batching, Figures(100, goodput, 1.0, {}, busy, 1.0, (goodput,)))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(static(100, 9), static(99.8, 1), id="goodput comes first"),
        pytest.param(static(99.95, 1), static(100, 9), id="nearly as good but cheaper"),
        pytest.param(
            static(100, 5, instances=1, bound=9), static(100, 5, instances=2), id="instances"
        ),
        pytest.param(
            static(100, 5, bound=4, delay_us=9), static(100, 5, bound=5), id="then the bound"
        ),
        pytest.param(static(100, 5), static(100, 5, delay_us=500), id="then the delay"),
    ],
)
def test_which_is_best(better, worse):
    assert oracle.choose([worse, better]) == better
    assert oracle.choose([better, worse]) == better


@pytest.fixture
def scenario():
    return Scenario.model_validate(
        {
            "serviceTime": {"coefficients": {"t0": 5, "a": 1, "g": 0.05}},
            "arrivals": {"poisson": {"ratePerSecond": 320}},
            "objectives": {"latency": {"targetMilliseconds": 25}},
            "batching": {
                "initial": {"maxBatchSize": 13},
                "limits": {
                    "maxBatchSize": {"max": 20},
                    "maxQueueDelayMicroseconds": {"max": 4000},
                    "instances": {"max": 2},
                },
            },
            "windows": 3,
            "windowSeconds": 5,
            "seed": 3,
        }
    )


def test_no_static_configuration_beats_the_oracle(scenario):
    arrivals_s, told = loads.draw(scenario), []
    best = oracle.find(scenario, arrivals_s, lambda done, of: told.append((done, of)))
    tried = {scenario.start, *oracle.grid(scenario.batching.limits)}
    statics = [oracle.serve(scenario, arrivals_s, batching) for batching in tried]
    highest = max(static.figures.goodput_per_s for static in statics)
    assert best.figures.goodput_per_s >= 0.999 * highest
    as_good = [s for s in statics if s.figures.goodput_per_s >= 0.999 * highest]
    assert best.figures.device_busy_s == min(s.figures.device_busy_s for s in as_good)
    assert min(s.figures.goodput_per_s for s in statics) < 0.5 * highest, "there is a choice"
    assert told == [(done, len(tried)) for done in range(1, len(tried) + 1)]


def test_pods_together_serve_what_one_alone_cannot(scenario):
    alone = oracle.serve(scenario, loads.draw(scenario), Batching(max_batch_size=1))
    together = scenario.with_(replicas=4)
    shared = oracle.serve(together, loads.draw(together), Batching(max_batch_size=1))
    assert alone.figures.attainment < 0.1
    assert shared.figures.attainment > 0.9
    assert shared.figures.offered == alone.figures.offered


def test_what_is_rejected_is_tried_where_the_scenario_rejects(scenario):
    queueing = oracle.candidates(scenario)
    assert {batching.default_timeout_microseconds for batching in queueing} == {0}
    rejecting = scenario.with_(batching=scenario.batching.with_(on_overload="Reject"))
    found = oracle.candidates(rejecting)
    assert set(queueing) < set(found)
    # A quarter, a half and three quarters of the target.
    timeouts = {batching.default_timeout_microseconds for batching in found}
    assert timeouts == {0, 6_250, 12_500, 18_750}


def test_where_latency_is_preferred_no_delay_beyond_the_least_is_tried(scenario):
    limits = scenario.batching.limits
    waited = {batching.max_queue_delay_microseconds for batching in oracle.candidates(scenario)}
    assert len(waited) > 1
    spec = scenario.batching.with_(prefer="Latency")
    found = oracle.candidates(scenario.with_(batching=spec))
    least_us = limits.max_queue_delay_microseconds.min
    assert {batching.max_queue_delay_microseconds for batching in found} == {least_us}


def test_without_a_latency_target_nothing_is_too_late_to_be_answered(scenario):
    spec = scenario.batching.with_(on_overload="Reject")
    objectives = Objectives.model_validate({"throughput": {"minPerSecond": 100}})
    found = oracle.candidates(scenario.with_(batching=spec, objectives=objectives))
    assert {batching.default_timeout_microseconds for batching in found} == {0}


def test_a_drift_of_the_service_time_is_served_too(scenario):
    """320 requests/s of batches that suddenly take thrice as long are more than can be served."""
    curve = scenario.service_time.with_(drift=(Drift(at_seconds=10, factor=3),))
    loads_s = loads.draw(scenario)
    steady = oracle.serve(scenario, loads_s, scenario.start).figures.goodput_by_window
    slowed = oracle.serve(
        scenario.with_(service_time=curve), loads_s, scenario.start
    ).figures.goodput_by_window
    assert slowed[:2] == steady[:2]
    assert slowed[2] < 0.2 * steady[2]


def test_the_best_of_some_is_found(scenario):
    some = [Batching(max_batch_size=bound) for bound in (1, 13)]
    assert oracle.find(scenario, loads.draw(scenario), lambda *_: None, some).batching == some[1]


@pytest.mark.parametrize(
    ("most", "bounds", "delays"),
    [
        pytest.param(None, [1, 2, 3, 4, 5], [0, 500, 1_000], id="no bound: all"),
        pytest.param(15, [1, 2, 3, 4, 5], [0, 500, 1_000], id="as many as there are: all"),
        pytest.param(14, [1, 3, 5], [0, 500, 1_000], id="fewer: the longest range is thinned"),
        pytest.param(6, [1, 5], [0, 500, 1_000], id="fewer still: the longest again"),
        pytest.param(1, [1, 5], [0, 1_000], id="the ends of every range are always tried"),
    ],
)
def test_a_coarser_grid_keeps_the_ends_of_every_range(scenario, most, bounds, delays):
    spec = scenario.batching.with_(limits=limits((1, 5), (0, 1_000)), initial=None)
    found = oracle.candidates(scenario.with_(batching=spec), most)
    assert values("max_batch_size", found) == bounds
    assert values("max_queue_delay_microseconds", found) == delays
