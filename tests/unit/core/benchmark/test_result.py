import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.benchmark.result import MAX_FAILURES, failed, parse_result, succeeded
from ferryman.core.benchmark.schedule import Measurement
from tests.factories import NOW, at, benchmark, points

MEASUREMENT = Measurement("cpu-small", "cpu", "triton", "triton:1", "node-7")


def row(batch_size=1, **changes):
    return {
        "batchSize": batch_size,
        "imagesPerSecond": 12.5,
        "latencyP50Milliseconds": 80,
        "latencyP99Milliseconds": 95.5,
        **changes,
    }


def result(*rows, **fields):
    return json.dumps({"points": list(rows), **fields})


def test_a_result_is_read_and_sorted_by_batch_size():
    found = parse_result(result(row(4), row(1, extra="ignored"), maxInstances=2))
    rows = [(point.batch_size, point.images_per_second) for point in found.points]
    assert rows == [(1, 12.5), (4, 12.5)]
    assert found.max_instances == 2


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(result(row()), id="absent"),
        pytest.param(result(row(), maxInstances=None, error=None), id="null"),
    ],
)
def test_the_number_of_instances_may_be_unknown(text):
    assert parse_result(text).max_instances is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "not a JSON object: ''", id="nothing"),
        pytest.param("Killed", "not a JSON object: 'Killed'", id="words"),
        pytest.param("[1]", "not a JSON object", id="a list"),
        pytest.param('{"points": [', "not a JSON object", id="cut off"),
        pytest.param("{}", "wrong at points: Field required", id="no points"),
        pytest.param(result(), "wrong at points: .* at least 1 item", id="an empty table"),
        pytest.param(result(*map(row, range(1, 18))), "at most 16", id="too many rows"),
        pytest.param(result(row(), row()), "two points of one batch size", id="a size twice"),
        pytest.param(result(row(0)), "wrong at points.0.batchSize", id="batch size 0"),
        pytest.param(result(row(batch_size=True)), "points.0.batchSize", id="a batch size of true"),
        pytest.param(
            result(row(), row(2, imagesPerSecond=0)), "points.1.imagesPerSecond", id="no images"
        ),
        pytest.param(
            result(row(imagesPerSecond=-1)), "points.0.imagesPerSecond", id="negative images"
        ),
        pytest.param(
            result(row(imagesPerSecond=1e308)), "points.0.imagesPerSecond", id="absurdly many"
        ),
        pytest.param(
            result(row(imagesPerSecond=float("nan"))), "points.0.imagesPerSecond", id="NaN"
        ),
        pytest.param(
            result(row(latencyP99Milliseconds=float("inf"))),
            "points.0.latencyP99Milliseconds",
            id="an infinite latency",
        ),
        pytest.param(
            result(row(imagesPerSecond="12")), "points.0.imagesPerSecond", id="a number as text"
        ),
        pytest.param(
            result({"batchSize": 1}), "points.0.imagesPerSecond: Field required", id="a missing one"
        ),
        pytest.param(result(row(), maxInstances=0), "wrong at maxInstances", id="no instances"),
        pytest.param(result(row(), maxInstances=True), "wrong at maxInstances", id="true ones"),
        pytest.param('{"error": "model not ready"}', "^model not ready$", id="a failure"),
        pytest.param('{"error": 5}', "wrong at error", id="a failure that is no text"),
    ],
)
def test_garbage_is_an_error_that_says_where(text, words):
    with pytest.raises(ValueError, match=words):
        parse_result(text)


@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_whatever_is_written_is_read_or_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_result(text)


def test_success_becomes_a_table():
    table = succeeded(MEASUREMENT, result(row(), maxInstances=3), NOW)
    assert table.as_dict() == {
        "class": "cpu",
        "runtime": "triton",
        "image": "triton:1",
        "nodeType": "cpu-small",
        "measuredOn": "node-7",
        "measuredAt": at(0),
        "points": [row()],
        "maxInstances": 3,
        "failures": 0,
    }


def test_a_row_keeps_its_interval_its_rounds_and_why_it_ended():
    known = row(imagesPerSecondHalfWidth=0.5, rounds=3, ended="Stable")
    [point] = succeeded(MEASUREMENT, result(known), NOW).points
    assert point.as_dict() == known
    with pytest.raises(ValueError, match=r"wrong at points\.0\.ended"):
        parse_result(result(row(ended="Bored")))


def test_a_table_says_under_which_driver_it_was_measured():
    assert succeeded(replace(MEASUREMENT, driver="550.54"), result(row()), NOW).driver == "550.54"


@pytest.mark.parametrize(
    ("note", "limit", "words"),
    [
        pytest.param(None, 0, None, id="nothing to say"),
        pytest.param("no memory", 0, "no memory", id="the client's words"),
        pytest.param(
            None,
            2500,
            "measured with 2.5 CPUs: serving models have reserved the rest",
            id="a part of the node",
        ),
        pytest.param(
            "no memory",
            2000,
            "no memory; measured with 2 CPUs: serving models have reserved the rest",
            id="both",
        ),
    ],
)
def test_a_table_says_what_it_lacks(note, limit, words):
    measurement = replace(MEASUREMENT, cpu_limit_millicores=limit)
    assert succeeded(measurement, result(row(), note=note), NOW).note == words


def test_success_with_garbage_is_an_error():
    with pytest.raises(ValueError, match="not a JSON object"):
        succeeded(MEASUREMENT, "garbage", NOW)


def test_a_first_failure_has_no_rows():
    table = failed(MEASUREMENT, "deadline exceeded", NOW)
    assert (table.points, table.max_instances) == ((), None)
    assert (table.error, table.failures, table.measured_at) == ("deadline exceeded", 1, at(0))


def test_failures_in_a_row_are_counted_to_the_limit():
    second = failed(MEASUREMENT, "again", NOW, failed(MEASUREMENT, "once", NOW))
    assert second.failures == 2
    many = second.with_(failures=MAX_FAILURES)
    assert failed(MEASUREMENT, "again", NOW, many).failures == MAX_FAILURES


def test_the_rows_of_before_outlive_a_failure():
    table = failed(MEASUREMENT, "node was busy", NOW, benchmark(50.0))
    assert (table.points, table.max_instances) == (points(25.0, 50.0), 2)
    assert table.error == "node was busy"


@pytest.mark.parametrize(("sharing", "told"), [("mps among 4", "mps among 4"), ("", None)])
def test_a_table_says_how_the_device_was_shared(sharing, told):
    shared = replace(MEASUREMENT, sharing=sharing)
    assert succeeded(shared, result(row()), NOW).sharing == told
    assert failed(shared, "no", NOW).sharing == told
    assert failed(MEASUREMENT, "no", NOW, benchmark(50.0, sharing="mig")).sharing == "mig"


def test_the_driver_of_the_rows_outlives_a_failure_under_another():
    before = benchmark(50.0, driver="535.1", note="small")
    table = failed(replace(MEASUREMENT, driver="550.54"), "no", NOW, before)
    assert (table.driver, table.note) == ("535.1", "small")
    first = failed(replace(MEASUREMENT, driver="550.54"), "no", NOW)
    assert (first.driver, first.note) == ("550.54", None)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param("", "the benchmark gave no reason", id="silence is called silence"),
        pytest.param("x" * 5000, "x" * 1023 + "…", id="a long log is cut"),
    ],
)
def test_the_error_is_fit_for_a_status(error, words):
    assert failed(MEASUREMENT, error, NOW).error == words
