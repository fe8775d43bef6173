from dataclasses import replace

import numpy as np
import pytest

from ferryman.core.simulator.figures import Served, measure, windows_to_converge
from ferryman.core.simulator.scenario import Scenario


def scenario(**fields):
    values = {
        "serviceTime": {"coefficients": {"t0": 5}},
        "arrivals": {"poisson": {"ratePerSecond": 1}},
        "objectives": {"latency": {"targetMilliseconds": 2000}},
        "windows": 2,
        "windowSeconds": 5,
    }
    return Scenario.model_validate({**values, **fields})


def served(*requests):
    """Return requests given as (arrival, start, end, size of the batch)."""
    columns = np.array(requests, dtype=np.float64).reshape(-1, 4).T
    return Served(columns[0], columns[1], columns[2], columns[3].astype(np.int64))


PODS = (
    served((0, 0, 1, 1), (1, 2, 4, 2), (2, 2, 4, 2), (6, 6, 7.5, 1)),
    served((3, 3, 8, 1), (9, 9, 10.5, 1), (9.5, 10.5, 12, 1)),
)


def test_goodput_is_what_was_answered_in_time_before_the_end():
    figures = measure(scenario(), PODS)
    # 1 took 3 s, that of the second pod 5 s, and two were answered after the end.
    assert figures.goodput_per_s == pytest.approx(3 / 10)
    assert (figures.offered, figures.attainment) == (7, pytest.approx(3 / 7))
    assert figures.goodput_by_window == (pytest.approx(2 / 5), pytest.approx(1 / 5))


def test_a_target_that_is_reached_exactly_is_met():
    assert measure(scenario(), [served((0, 0, 2, 1))]).attainment == 1


def test_devices_are_busy_with_what_began_within_the_run():
    assert measure(scenario(), PODS).device_busy_s == pytest.approx(1 + 2 + 1.5 + 5 + 1.5)


def test_the_mean_batch_size_counts_batches():
    assert measure(scenario(), PODS).mean_batch_size == pytest.approx(7 / 6)


def test_percentiles_are_those_of_all_requests():
    latencies = measure(scenario(), PODS).latency_ms
    assert list(latencies) == [50, 90, 95, 99]
    assert latencies[50] == pytest.approx(2000)
    assert latencies[99] == pytest.approx(np.percentile([1, 3, 2, 1.5, 5, 1.5, 2.5], 99) * 1000)


def test_without_requests_nothing_was_missed():
    figures = measure(scenario(), [served()])
    assert (figures.offered, figures.attainment, figures.goodput_per_s) == (0, 1, 0)
    assert (figures.latency_ms, figures.mean_batch_size, figures.device_busy_s) == ({}, 0, 0)


def test_the_rejected_are_missed_but_have_no_latency():
    pods = [replace(PODS[0], rejected_s=np.array([2.0, 3.0])), PODS[1]]
    figures, without = measure(scenario(), pods), measure(scenario(), PODS)
    assert (figures.offered, figures.rejected, without.rejected) == (9, 2, 0)
    assert figures.attainment == pytest.approx(3 / 9)
    assert figures.goodput_per_s == without.goodput_per_s
    assert figures.latency_ms == without.latency_ms
    assert figures.mean_batch_size == without.mean_batch_size


def test_where_all_are_rejected_nothing_is_attained():
    figures = measure(scenario(), [replace(served(), rejected_s=np.array([1.0]))])
    assert (figures.offered, figures.rejected, figures.attainment) == (1, 1, 0)
    assert (figures.latency_ms, figures.mean_batch_size) == ({}, 0)


@pytest.mark.parametrize(
    ("run", "windows"),
    [
        pytest.param((100, 100, 100), 0, id="from the beginning"),
        pytest.param((10, 95, 96), 1, id="95 % is enough"),
        pytest.param((100, 94, 100), 2, id="a relapse counts"),
        pytest.param((100, 100, 94), None, id="never, when the last window misses"),
    ],
)
def test_convergence_lasts(run, windows):
    assert windows_to_converge(run, (100, 100, 100)) == windows


def test_where_nothing_is_good_there_is_nothing_to_miss():
    assert windows_to_converge((0, 0), (0, 0)) == 0
