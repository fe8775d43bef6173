from math import inf
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from ferryman.api.batching import Batching
from ferryman.core.scenario import Scenario, ServiceTime

EXAMPLE = Path(__file__).parents[2] / "data" / "scenario.yaml"

MINIMAL = {
    "serviceTime": {"coefficients": {"t0": 5, "a": 1}},
    "arrivals": {"poisson": {"ratePerSecond": 100}},
    "objectives": {"latency": {"targetMilliseconds": 50}},
}


def scenario(**fields):
    return Scenario.model_validate({**MINIMAL, **fields}, extra="forbid")


def test_the_example_of_the_documentation_is_a_scenario():
    found = Scenario.model_validate(yaml.safe_load(EXAMPLE.read_text("utf-8")), extra="forbid")
    assert (found.duration_s, found.target_ms) == (75, 50)
    assert found.start == Batching(max_batch_size=4)


def test_what_is_absent_has_the_defaults_of_an_inference_model():
    found = scenario()
    assert (found.windows, found.window_seconds, found.seed, found.replicas) == (100, 30, 0, 1)
    assert found.start == Batching(max_batch_size=8)
    assert found.batching.limits.max_batch_size.max == 64


def test_without_a_latency_objective_every_latency_is_good():
    assert scenario(objectives={"throughput": {"minPerSecond": 5}}).target_ms == inf


def test_coefficients_are_a_formula_in_milliseconds():
    curve = ServiceTime.model_validate({"coefficients": {"t0": 4, "a": 2, "g": 0.5}})
    assert curve.curve_s(3) == pytest.approx((0.0065, 0.010, 0.0145))
    assert curve.largest == inf


def test_between_knots_the_curve_is_straight():
    knots = [{"batchSize": b, "milliseconds": ms} for b, ms in ((1, 5), (3, 9), (4, 20))]
    curve = ServiceTime.model_validate({"knots": knots})
    assert curve.curve_s(4) == pytest.approx((0.005, 0.007, 0.009, 0.020))
    assert curve.largest == 4


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        pytest.param({"poisson": {"ratePerSecond": 100}}, 100, id="poisson"),
        pytest.param(
            {
                "mmpp": {
                    "calmRatePerSecond": 10,
                    "calmMeanSeconds": 30,
                    "burstRatePerSecond": 110,
                    "burstMeanSeconds": 10,
                }
            },
            35,
            id="mmpp: weighted by the time spent in each state",
        ),
        pytest.param(
            {"steps": [{"seconds": 9, "ratePerSecond": 7}, {"seconds": 9, "ratePerSecond": 5}]},
            7,
            id="steps: the highest",
        ),
        pytest.param({"trace": {"file": "gaps.txt"}}, 0, id="a trace does not say"),
    ],
)
def test_how_much_is_expected(arrivals, expected):
    assert scenario(arrivals=arrivals).arrivals.expected_per_second == expected


def knots(*sizes):
    return {"knots": [{"batchSize": size, "milliseconds": 5} for size in sizes]}


@pytest.mark.parametrize(
    ("fields", "where", "words"),
    [
        pytest.param({"serviceTime": {}}, "serviceTime", "exactly one of knots", id="no curve"),
        pytest.param(
            {"serviceTime": {**knots(1, 64), "coefficients": {"t0": 1}}},
            "serviceTime",
            "exactly one of knots, coefficients",
            id="two curves",
        ),
        pytest.param({"serviceTime": knots()}, "serviceTime", "exactly one of knots", id="no knot"),
        pytest.param(
            {"serviceTime": knots(2, 64)}, "serviceTime", "begin at batchSize 1", id="not from 1"
        ),
        pytest.param(
            {"serviceTime": knots(1, 9, 9)}, "serviceTime", "and ascend", id="a knot twice"
        ),
        pytest.param(
            {"serviceTime": knots(1, 63)}, "", "must reach batchSize 64", id="a curve too short"
        ),
        pytest.param(
            {"serviceTime": {"coefficients": {}}},
            "serviceTime.coefficients",
            "must be greater than 0",
            id="batches that take no time",
        ),
        pytest.param(
            {"arrivals": {"steps": [{"seconds": 10, "ratePerSecond": -1}]}},
            "arrivals.steps.0.ratePerSecond",
            "greater than or equal to 0",
            id="a negative rate",
        ),
        pytest.param(
            {"arrivals": {"steps": []}}, "arrivals", "one of poisson, mmpp", id="no steps"
        ),
        pytest.param({"arrivals": {}}, "arrivals", "one of poisson, mmpp", id="no arrivals"),
        pytest.param(
            {"arrivals": {"poisson": {"ratePerSecond": 10_000}}},
            "",
            "more than 20000000 requests",
            id="too many requests",
        ),
        pytest.param({"objectives": {}}, "", "objectives must state", id="no objective"),
        pytest.param({"windows": 0}, "windows", "greater than or equal to 1", id="no window"),
        pytest.param({"window": 5}, "window", "not permitted", id="a field that is unknown"),
        pytest.param(
            {"batching": {"limits": {"maxBatchSze": {"max": 8}}}},
            "batching.limits.maxBatchSze",
            "not permitted",
            id="a misspelling in a type of the API",
        ),
        pytest.param(
            {"batching": {"mode": "Fixed"}}, "", "batching.initial must be set", id="fixed to what"
        ),
        pytest.param(
            {"batching": {"limits": {"instances": {"min": 3, "max": 2}}}},
            "",
            "batching.limits.instances.min must not exceed batching.limits.instances.max",
            id="limits the wrong way round",
        ),
        pytest.param(
            {"batching": {"initial": {"maxBatchSize": 65}}},
            "",
            "batching.initial.maxBatchSize must lie within batching.limits.maxBatchSize",
            id="a start beyond the limits",
        ),
    ],
)
def test_a_malformed_field_is_named(fields, where, words):
    with pytest.raises(ValidationError, match=words) as refused:
        scenario(**fields)
    [problem] = refused.value.errors()
    assert ".".join(map(str, problem["loc"])) == where
