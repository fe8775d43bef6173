import json

import pytest

from ferryman.agent import measurement
from ferryman.agent.measurement import Round
from ferryman.api.node_profile import BenchmarkPoint


@pytest.mark.parametrize(
    ("bound", "sizes"),
    [
        pytest.param(1, (1,), id="a bound of one is one size"),
        pytest.param(32, (1, 2, 4, 8, 16, 32), id="powers of two"),
        pytest.param(24, (1, 2, 4, 8, 16, 24), id="the bound itself is measured too"),
    ],
)
def test_batch_sizes(bound, sizes):
    assert measurement.batch_sizes(bound) == sizes


def test_the_largest_bound_fits_the_table():
    assert len(measurement.batch_sizes(1024)) <= measurement.MAX_POINTS


@pytest.mark.parametrize(
    ("rates", "stable"),
    [
        pytest.param([], False, id="nothing was measured"),
        pytest.param([100, 100], False, id="two rounds are too few"),
        pytest.param([100, 91, 109], True, id="three within 10 % of their median"),
        pytest.param([100, 89, 100], False, id="one too low"),
        pytest.param([100, 100, 111], False, id="one too high"),
        pytest.param([10, 500, 100, 100, 100], True, id="only the last three count"),
        pytest.param([100, 100, 100, 50], False, id="a change after agreement"),
    ],
)
def test_is_stable(rates, stable):
    assert measurement.is_stable(rates) is stable


@pytest.mark.parametrize(
    ("before", "after", "grows"),
    [
        pytest.param(0, 1, True, id="the first instance"),
        pytest.param(100, 105, False, id="5 % is not more than 5 %"),
        pytest.param(100, 105.1, True, id="more than 5 %"),
        pytest.param(100, 60, False, id="slower"),
    ],
)
def test_grows(before, after, grows):
    assert measurement.grows(before, after) is grows


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1), (0.1, 1)]
)
def test_percentiles_are_nearest_rank(percent, expected):
    assert measurement.percentile(range(100, 0, -1), percent) == expected


def test_a_point_is_the_median_and_the_latencies_of_the_last_three_rounds():
    rounds = [
        Round(1, 1.0, (1_000.0,)),
        Round(100, 1.0, (10.0,) * 50),
        Round(110, 1.0, (11.0,) * 49),
        Round(90, 1.0, (90.12345,)),
    ]
    point = measurement.to_point(8, rounds)
    assert point == BenchmarkPoint(
        batch_size=8,
        images_per_second=100,
        latency_p50_milliseconds=10,
        latency_p99_milliseconds=11,
    )


def test_the_peak_is_the_smallest_of_equally_fast_batch_sizes():
    points = [
        BenchmarkPoint(
            batch_size=size,
            images_per_second=rate,
            latency_p50_milliseconds=1,
            latency_p99_milliseconds=1,
        )
        for size, rate in ((1, 10), (2, 20), (4, 20))
    ]
    assert measurement.peak(points).batch_size == 2


def test_the_largest_result_fits_a_termination_message():
    point = BenchmarkPoint(
        batch_size=4096,
        images_per_second=1234567.0,
        latency_p50_milliseconds=123456.7,
        latency_p99_milliseconds=1234567.0,
    )
    text = measurement.result([point] * 40, 64)
    assert len(text.encode()) <= 4096
    assert len(json.loads(text)["points"]) == 16


def test_the_result_has_the_fields_of_the_load_performance_table():
    point = measurement.to_point(2, [Round(10, 3.0, (12.34567,))])
    assert json.loads(measurement.result([point], None)) == {
        "points": [
            {
                "batchSize": 2,
                "imagesPerSecond": 3.333,
                "latencyP50Milliseconds": 12.35,
                "latencyP99Milliseconds": 12.35,
            }
        ],
        "maxInstances": None,
    }


@pytest.mark.parametrize(
    "message", ["", "a\nb", "x" * 9_000, "\x00" * 2_000, "龍" * 3_000, '"' * 3_000]
)
def test_a_failure_is_one_line_that_fits_whatever_the_server_said(message):
    text = measurement.failure(message)
    assert len(text.encode()) <= 4096
    assert "\n" not in text
    assert json.loads(text)["error"]
