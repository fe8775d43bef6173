import pytest

from ferryman.api.objectives import LatencyObjective, Objectives, ThroughputObjective
from ferryman.core.importing import analyzer
from ferryman.core.importing.analyzer import Measured
from ferryman.core.importing.outcome import NotImportableError, Request

ROWS = (
    Measured("detector", "detector_config_default", 1, 8, 100.0, {99: 12.0}),
    Measured("detector", "detector_config_2", 2, 128, 900.0, {99: 48.0}),
    Measured("detector", "detector_config_3", 2, 256, 950.0, {99: 70.0}),
    Measured("detector", "detector_config_4", 1, 64, 900.0, {99: 40.0}),
    Measured("detector", "detector_config_5", 4, 64, 990.0, {99: 20.0}, satisfies=False),
)


def objectives(target_ms=None, percentile=99, per_second=None):
    latency = target_ms and LatencyObjective(percentile=percentile, target_milliseconds=target_ms)
    throughput = per_second and ThroughputObjective(min_per_second=per_second)
    return Objectives(latency=latency, throughput=throughput)


def asked(*stated, **options):
    given = {"storage_uri": "pvc://models", "model_format": "onnx", **options}
    return Request(objectives(*stated), **given)


@pytest.mark.parametrize(
    ("stated", "config"),
    [
        ((50,), "detector_config_4"),
        ((45,), "detector_config_4"),
        ((20,), "detector_config_default"),
        ((None, 99, 5), "detector_config_3"),
    ],
)
def test_the_best_is_the_highest_throughput_that_meets_the_latency(stated, config):
    assert analyzer.best(ROWS, objectives(*stated)).config == config


@pytest.mark.parametrize(
    ("rows", "stated", "words"),
    [
        (ROWS, (5,), "p99 of 5 ms or less: the least is 12 ms"),
        (ROWS, (50, 95), "does not say the 95th percentile"),
        (ROWS[-1:], (50,), "satisfies the constraints .* take the column"),
        ([Measured("m", "m_config_1", 1, 0, 5.0, {99: 1.0})], (50,), "import its config.pbtxt"),
    ],
)
def test_where_none_is_good_nothing_is_made_up(rows, stated, words):
    with pytest.raises(NotImportableError, match=words):
        analyzer.best(rows, objectives(*stated))


def test_a_model_begins_with_the_best():
    (found,) = analyzer.imported(ROWS, asked(50, 99, 2000))

    assert found.manifest["spec"]["batching"] == {
        "initial": {"maxBatchSize": 64, "instances": 1},
    }
    assert found.manifest["spec"]["model"] == {
        "storageUri": "pvc://models/detector",
        "modelFormat": {"name": "onnx"},
    }
    assert found.hints == (
        "begins with detector_config_4: 900 inferences per second, p99 40 ms",
        "2000 per second are asked for: one such server does not reach that, so add spec.replicas",
    )
    assert "detector_config_4/config.pbtxt" in found.left_out[0].advice


def test_limits_leave_room_for_it():
    (found,) = analyzer.imported(ROWS, asked(80))

    assert found.manifest["spec"]["batching"]["limits"] == {"maxBatchSize": {"max": 256}}


def test_each_model_is_one_and_what_fails_is_told():
    other = Measured("Other", "c", 100, 8, 5.0, {99: 1.0})
    found = analyzer.imported([*ROWS, other], asked(50))

    assert [each.name for each in found] == ["detector", "Other"]
    assert found[1].refusal == "100 instances are more than 64"
    assert [each.name for each in analyzer.imported([*ROWS, other], asked(50, model="Other"))] == [
        "Other"
    ]
    with pytest.raises(NotImportableError, match="no row of x, but of detector, Other"):
        analyzer.imported([*ROWS, other], asked(50, model="x"))
