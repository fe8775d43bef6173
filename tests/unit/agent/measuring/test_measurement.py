import json

import pytest

from ferryman.agent.measuring import measurement
from ferryman.agent.measuring.measurement import Round
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


def rounds_of(*rates, latency_ms=10.0):
    return [Round(rate, 1.0, (latency_ms,) * rate) for rate in rates]


def test_a_point_is_the_mean_and_the_latencies_of_the_last_ten_rounds():
    cold = [Round(1, 1.0, (1_000.0,))]
    rounds = [*cold, *rounds_of(*[90] * 5, latency_ms=9.0), *rounds_of(*[110] * 5, latency_ms=11.0)]
    point = measurement.to_point(8, rounds)
    assert (point.batch_size, point.images_per_second, point.rounds) == (8, 100, 10)
    assert (point.latency_p50_milliseconds, point.latency_p99_milliseconds) == (11, 11)
    assert point.ended == "TimeUp"


@pytest.mark.parametrize(
    ("rates", "half_width", "ended"),
    [
        pytest.param([100], None, "TimeUp", id="one round has no interval"),
        pytest.param([100, 100], 0, "TimeUp", id="two rounds are too few, however alike"),
        pytest.param([100, 99, 101], 2.484, "Stable", id="three that agree"),
        pytest.param([100, 90, 110], 24.84, "TimeUp", id="three that do not"),
    ],
)
def test_a_point_says_how_well_it_is_known_and_why_no_more_was_measured(rates, half_width, ended):
    point = measurement.to_point(1, rounds_of(*rates))
    assert (point.images_per_second_half_width, point.ended) == (half_width, ended)
    assert point.rounds == len(rates)


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
        images_per_second_half_width=123456.7,
        rounds=10,
        ended="Stable",
    )
    text = measurement.result([point] * 40, 64, note='"龍" ' * 1_000)
    assert len(text.encode()) <= 4096
    assert len(json.loads(text)["points"]) == 16
    assert json.loads(text)["note"].startswith('"龍" "龍"')


def test_the_result_has_the_fields_of_the_load_performance_table():
    point = measurement.to_point(2, [Round(10, 3.0, (12.34567,))])
    assert json.loads(measurement.result([point], None)) == {
        "points": [
            {
                "batchSize": 2,
                "imagesPerSecond": 3.333,
                "latencyP50Milliseconds": 12.35,
                "latencyP99Milliseconds": 12.35,
                "rounds": 1,
                "ended": "TimeUp",
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
