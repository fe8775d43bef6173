import pytest

from benchmarks.contenders import aimd, hill_climb, least_squares, literal_trend, static
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window

SPEC = BatchingSpec.model_validate(
    {"step": 2, "trend": {"samples": 3}, "limits": {"maxBatchSize": {"max": 64}}}
)
TARGET = Objectives.model_validate({"latency": {"targetMilliseconds": 100}})
THROUGHPUT = Objectives.model_validate({"throughput": {"minPerSecond": 100}})


def window(*, at_s=10.0, rate=100.0, latency=50.0, queue=10.0, times=None, requests=1000):
    return Window(
        ended_at_s=at_s,
        seconds=10.0,
        requests=requests,
        inferences=requests,
        failures=0,
        requests_per_s=rate,
        inferences_per_s=rate,
        offered_inferences_per_s=rate,
        latency_ms=latency,
        queue_ms=queue,
        service_times={4: (100, 20.0)} if times is None else times,
    )


def bound(size):
    return Batching(max_batch_size=size)


def test_tritons_default_is_the_initial_bound_alone():
    stated = Batching(max_batch_size=16, max_queue_delay_microseconds=500, instances=2)
    assert static.default(SPEC.with_(initial=stated)) == bound(16)
    assert static.default(SPEC) == bound(8)


def test_the_largest_bound_is_128_or_what_the_limits_allow():
    assert static.largest(SPEC) == bound(64)
    wide = BatchingSpec.model_validate({"limits": {"maxBatchSize": {"max": 512}}})
    assert static.largest(wide) == bound(128)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param({4: (9, 20.0), 16: (1, 90.0)}, 18, id="below the target: two more"),
        pytest.param({4: (9, 20.0), 16: (1, 110.0)}, 14, id="above: ten per cent less"),
    ],
)
def test_clipper_looks_at_the_largest_batches(times, expected):
    step = aimd.by_batch_latency(SPEC, TARGET, bound(16), window(times=times, latency=9e9), None)
    assert step.batching == bound(expected)


@pytest.mark.parametrize(
    ("before", "latency", "after"),
    [
        pytest.param(16, 99.0, 18, id="below the target"),
        pytest.param(16, 101.0, 14, id="above"),
        pytest.param(4, 101.0, 3, id="by one at least"),
        pytest.param(1, 101.0, 1, id="not below the limits"),
        pytest.param(64, 99.0, 64, id="not above the limits"),
    ],
)
def test_aimd_on_latency(before, latency, after):
    step = aimd.by_end_to_end_latency(SPEC, TARGET, bound(before), window(latency=latency), None)
    assert step.batching == bound(after)


def test_aimd_holds_without_traffic_or_target():
    silent = window(latency=None, times={}, requests=0)
    assert aimd.by_batch_latency(SPEC, TARGET, bound(8), silent, None).batching == bound(8)
    held = aimd.by_end_to_end_latency(SPEC, THROUGHPUT, bound(8), window(), None)
    assert held.batching == bound(8)


def line(*sizes):
    """Service times of 10 ms + 2 ms a request."""
    return {size: (20, 10.0 + 2.0 * size) for size in sizes}


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        pytest.param(0.0, 45, id="10 + 2 n reach 100 ms at 45"),
        pytest.param(30.0, 30, id="30 ms of waiting leave 60"),
        pytest.param(5000.0, 45, id="what has waited too long is left out"),
    ],
)
def test_least_squares_solve_for_the_bound(queue, expected):
    seen = window(queue=queue, times=line(2, 4, 8))
    step = least_squares.fit(SPEC, TARGET, bound(8), seen, ())
    assert step.batching.max_batch_size in {expected - 1, expected}


def test_least_squares_remember_the_last_50_batches():
    first = least_squares.fit(SPEC, TARGET, bound(8), window(times={2: (60, 14.0)}), ())
    assert first.batching == bound(8), "one size makes no line"
    assert sum(count for *_, count in first.state) == pytest.approx(50)
    few = window(times={8: (20, 26.0)}, queue=0.0)
    second = least_squares.fit(SPEC, TARGET, bound(8), few, first.state)
    assert sum(count for *_, count in second.state) == pytest.approx(50)
    assert second.batching.max_batch_size in {44, 45}
    many = window(times={8: (500, 26.0)})
    third = least_squares.fit(SPEC, TARGET, bound(8), many, second.state)
    assert {size for size, *_ in third.state} == {8}, "the others are too old"


def test_the_literal_trend_confirms_itself():
    """Latency is far above the target, and the bound goes on upwards."""
    applied, state = bound(8), ()
    for latency in (50.0, 50.0):
        seen = window(latency=latency, rate=50.0)
        step = literal_trend.follow(SPEC, THROUGHPUT, applied, seen, state)
        applied, state = step.batching, step.state
    assert applied == bound(12), "a lack of throughput asks for more"
    worse = literal_trend.follow(SPEC, TARGET, applied, window(latency=5000.0), state)
    assert worse.batching == bound(14), "latency asks for less, the trend of the sizes decides"


def test_the_literal_trend_holds_what_meets_the_objectives():
    step = literal_trend.follow(SPEC, TARGET, bound(8), window(), ())
    assert (step.batching, step.state) == (bound(8), (8,))


def climbed(start, worth, windows=200, spec=SPEC):
    """Let the search look at steady windows; return the bounds of its steps."""
    applied, state, path = start, hill_climb.State(), []
    for number in range(windows):
        rate, latency = worth(applied)
        seen = window(at_s=10.0 * (number + 1), rate=rate, latency=latency)
        step = hill_climb.climb(spec, TARGET, applied, seen, state)
        if step.batching != applied:
            path.append((number + 1, step.batching))
        applied, state = step.batching, step.state
    assert state.finished
    return path, applied


def test_the_hill_climb_measures_each_point_for_three_windows_and_finds_the_peak():
    def worth(batching):
        rate = {1: 10, 2: 30, 4: 60, 8: 90, 16: 70}.get(batching.max_batch_size, 10)
        return float(rate), 50.0

    one = SPEC.with_(limits=SPEC.limits.with_(instances=SPEC.limits.instances.with_(max=1)))
    path, last = climbed(bound(2), worth, spec=one)
    assert last == bound(8)
    # Up as long as it gets better, once too far, and back.
    assert path == [(3, bound(4)), (6, bound(8)), (9, bound(16)), (12, bound(8))]


def test_the_hill_climb_tries_instances_too():
    def worth(batching):
        return 10.0 * batching.instances, 50.0

    _, last = climbed(bound(8), worth)
    assert last.instances == 4


def test_the_hill_climb_prefers_what_is_within_the_budget():
    def worth(batching):
        rate = {1: 50, 2: 80}.get(batching.max_batch_size, 100)
        return float(rate), 30.0 * batching.max_batch_size

    one = SPEC.with_(limits=SPEC.limits.with_(instances=SPEC.limits.instances.with_(max=1)))
    _, last = climbed(bound(8), worth, spec=one)
    assert last == bound(2)


def test_the_hill_climb_gives_a_restless_measurement_up_after_ten_windows():
    applied, state = bound(4), hill_climb.State()
    for number in range(1, 11):
        seen = window(at_s=10.0 * number, latency=10.0 * 2**number)
        step = hill_climb.climb(SPEC, TARGET, applied, seen, state)
        state = step.state
        assert (step.batching == applied) == (number < 10)


def test_the_hill_climb_leaves_out_what_had_arrived_before_the_change():
    seen = window(at_s=10.0, queue=60_000.0)
    step = hill_climb.climb(SPEC, TARGET, bound(4), seen, hill_climb.State())
    assert (step.reason, step.state.windows) == ("WarmingUp", ())
    silent = window(requests=0, latency=None)
    assert hill_climb.climb(SPEC, TARGET, bound(4), silent, step.state).state == step.state
