import pytest

from ferryman.core.balancing.demand import alone_ms, asked, busy_share, is_short, overhead_ms
from tests.unit.core.balancing.windows import applied, pipeline_window, rules, step_window

CHAIN = rules("a", "b").steps
NOW = applied(a=1, b=1)


def chain(a=None, b=None, *, mean_ms=400.0, **fields):
    """Return a chain of which b, 100 ms, answers ten requests a second."""
    steps = {
        "a": step_window(100, 20.0, **(a or {})),
        "b": step_window(100, 100.0, **({"queue_ms": 280.0} | (b or {}))),
    }
    return pipeline_window(100, mean_ms, steps, **fields)


def test_clients_that_wait_ask_for_no_more_than_is_under_way_over_the_least_time():
    """Four clients, 120 ms without any wait: 33 a second, whatever the instances."""
    seen = asked(CHAIN, NOW, chain())
    assert seen.short == ("b",)
    assert seen.in_flight == pytest.approx(4.0)
    assert (seen.served_per_s, seen.offered_per_s) == (10.0, 10.0)
    assert seen.demand_per_s == pytest.approx(4.0 / 0.12)


@pytest.mark.parametrize(
    ("window", "demand_per_s"),
    [
        pytest.param(
            chain(b={"pending": 200}),
            30.0,
            id="a queue that grows by twice what is answered: three times as much",
        ),
        pytest.param(
            chain(a={"pending": 50}, b={"pending": 50}), 20.0, id="queues that grow in two steps"
        ),
        pytest.param(
            chain(b={"pending_before": 60}), 4.0, id="a queue that falls: less than is answered"
        ),
        pytest.param(chain(failures=100), 20.0, id="what failed was asked for, too"),
        pytest.param(chain(rejected=50), 15.0, id="and what was rejected"),
        pytest.param(chain(rejected=None, failures=50), 15.0, id="even if Triton calls it failed"),
        pytest.param(chain(b={"queue_ms": 0.0}), 10.0, id="nobody waits: what is answered"),
        pytest.param(chain(b={"pending": None}, mean_ms=400.0), 33.3, id="unknown is no growth"),
        pytest.param(chain(mean_ms=None), 10.0, id="unknown latency bounds nothing from above"),
    ],
)
def test_what_is_asked(window, demand_per_s):
    assert asked(CHAIN, NOW, window).demand_per_s == pytest.approx(demand_per_s, abs=0.1)


def test_all_is_by_pod():
    steps = {"a": step_window(100, 20.0, pods=2), "b": step_window(100, 100.0, pods=2)}
    seen = asked(CHAIN, NOW, pipeline_window(100, 120.0, steps, pods=2))
    assert (seen.served_per_s, seen.in_flight) == (5.0, pytest.approx(0.6))


@pytest.mark.parametrize(
    ("window", "instances", "bound", "short"),
    [
        pytest.param(step_window(100, 99.0, 50.0), 1, 1, True, id="busy, and requests wait"),
        pytest.param(step_window(100, 80.0, 50.0), 1, 1, False, id="idle for a fifth of the time"),
        pytest.param(step_window(100, 99.0, 50.0), 2, 1, False, id="half of its instances idle"),
        pytest.param(step_window(100, 99.0, 5.0), 1, 1, False, id="one client keeps it busy"),
        pytest.param(step_window(400, 99.0, 50.0, batch=4), 1, 8, False, id="room in its batches"),
        pytest.param(step_window(800, 99.0, 50.0, batch=8), 1, 8, True, id="full batches"),
        pytest.param(
            step_window(100, 99.0, 50.0, inferences=600, mean_batch_size=6.0),
            1,
            8,
            True,
            id="no room for another request of six rows",
        ),
        pytest.param(
            step_window(100, 99.0, 50.0, cached=100), 1, 1, True, id="all answered by the cache"
        ),
        pytest.param(step_window(0, 0.0), 1, 1, False, id="no request at all"),
    ],
)
def test_when_a_step_is_short_of_instances(window, instances, bound, short):
    assert is_short(window, applied(bound=bound, a=instances)["a"]) is short


def test_a_batch_that_began_before_the_window_makes_nobody_busier_than_always():
    assert busy_share(step_window(100, 120.0), 1) == 1.0
    assert busy_share(step_window(100, 50.0), 2) == pytest.approx(0.25)


def test_what_is_neither_wait_nor_batch_is_overhead():
    assert overhead_ms(CHAIN, chain()) == pytest.approx(0.0)
    assert overhead_ms(CHAIN, chain(mean_ms=410.0)) == pytest.approx(10.0)
    assert overhead_ms(CHAIN, chain(mean_ms=None)) == 0.0


def test_what_slows_is_left_out_of_the_time_alone():
    assert alone_ms(CHAIN, chain(), {}) == pytest.approx(120.0)
    assert alone_ms(CHAIN, chain(), {"b": 0.6931}) == pytest.approx(70.0, abs=0.1)
