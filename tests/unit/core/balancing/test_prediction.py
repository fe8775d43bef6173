import pytest

from ferryman.core.balancing.prediction import Planned, percentile_ms
from tests.unit.core.balancing.pipelines import step


def test_an_idle_chain_takes_its_service_times():
    planned = [
        Planned(step("a", 20), 1, 1),
        Planned(step("b", 30, after=("a",)), 1, 1),
    ]
    assert percentile_ms(planned, 0.01, 50) == pytest.approx(50.0)


def test_a_single_worker_has_the_mean_wait_of_its_queue():
    """M/D/1 at rho = 0.5: half of all requests wait for less than the mean, rho / (2(1 - rho))."""
    took = percentile_ms([Planned(step("a", 20), 1, 1)], 25.0, 90)
    assert 20.0 + 0.5 * 20.0 < took < 20.0 + 3 * 20.0


def test_another_instance_shortens_the_wait():
    one, two = (percentile_ms([Planned(step("a", 20), n, 1)], 40.0, 99) for n in (1, 2))
    assert two < one / 2


def test_a_batch_holds_whole_requests():
    """Six rows a request: a bound of 16 holds two of them, of 12 rows."""
    rows = step("lines", service_ms=[10.0 * b for b in range(1, 17)], visits=6.0)
    assert percentile_ms([Planned(rows, 1, 16)], 0.01, 50) == pytest.approx(60.0)
    assert percentile_ms([Planned(rows, 1, 2)], 0.01, 50) == pytest.approx(60.0)
