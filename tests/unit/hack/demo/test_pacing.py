"""How much is asked for: more than small batches serve, less than large ones do."""

import pytest

from hack.demo import pacing


@pytest.mark.parametrize("slower", [0.2, 1.0, 20.0])
def test_the_load_drowns_small_batches_and_not_large_ones_on_any_machine(slower):
    few_ms, many_ms = 27 * slower, 56 * slower
    pace = pacing.drowning((2, few_ms), (16, many_ms))

    assert 1.2 * 2e3 / few_ms < pace.rate_per_s < 0.46 * 16e3 / many_ms
    assert pace.target_ms >= max(pacing.LEAST_TARGET_MS, 4 * many_ms)


def test_where_batches_gain_little_no_more_is_asked_for_than_large_ones_can_serve():
    pace = pacing.drowning((2, 40.0), (16, 200.0))
    assert pace.rate_per_s == pytest.approx(pacing.RESCUED * 80)


def test_single_requests_leave_the_device_idle_for_more_than_half_of_the_time():
    pace = pacing.slack(20.0)
    assert (pace.rate_per_s, pace.target_ms) == (22.5, 1000)


def test_a_slow_machine_is_given_more_time():
    assert pacing.slack(100.0).target_ms == 4000


def test_more_pages_are_asked_for_than_one_worker_reads():
    assert pacing.slow_step(100.0) == pytest.approx(13.5)
    assert pacing.slow_step(60_000.0) == pytest.approx(0.5)
