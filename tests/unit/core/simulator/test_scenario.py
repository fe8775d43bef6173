from math import inf
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from ferryman.api.batching import Batching
from ferryman.core.simulator.scenario import Scenario

EXAMPLE = Path(__file__).parents[3] / "data" / "scenario.yaml"

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
    assert found.start == Batching(max_batch_size=64), "the largest bound that is allowed"
    assert scenario(batching={"algorithm": "Trend"}).start == Batching(max_batch_size=8)
    assert found.batching.limits.max_batch_size.max == 64


def test_without_a_latency_objective_every_latency_is_good():
    assert scenario(objectives={"throughput": {"minPerSecond": 5}}).target_ms == inf


def test_load_and_service_time_turn_at_moments_within_the_run():
    steps = [{"seconds": s, "ratePerSecond": 1} for s in (100, 100, 5000, 1)]
    curve = {
        "coefficients": {"t0": 5},
        "drift": [{"atSeconds": s, "factor": 2} for s in (150, 200)],
    }
    found = scenario(arrivals={"steps": steps}, serviceTime=curve)
    assert found.duration_s == 3000
    assert found.turns_s == (100, 150, 200)
    assert scenario().turns_s == ()


def knots(*sizes):
    return {"knots": [{"batchSize": size, "milliseconds": 5} for size in sizes]}


@pytest.mark.parametrize(
    ("fields", "where", "words"),
    [
        pytest.param(
            {"serviceTime": knots(1, 63)}, "", "must reach batchSize 64", id="a curve too short"
        ),
        pytest.param(
            {"arrivals": {"steps": [{"seconds": 10, "ratePerSecond": -1}]}},
            "arrivals.steps.0.ratePerSecond",
            "greater than or equal to 0",
            id="a negative rate",
        ),
        pytest.param(
            {"serviceTime": {"coefficients": {"t0": 5}, "drift": [{"atSeconds": 0, "factor": 2}]}},
            "serviceTime.drift.0.atSeconds",
            "greater than or equal to 1",
            id="a drift before the start",
        ),
        pytest.param(
            {"reload": {"liveCapSeconds": -1}},
            "reload.liveCapSeconds",
            "greater than or equal to 0",
            id="a change before it was decided",
        ),
        pytest.param(
            {"batching": {"window": {"minSeconds": 9, "maxSeconds": 8}}},
            "",
            "batching.window.minSeconds must not exceed batching.window.maxSeconds",
            id="windows that never end",
        ),
        pytest.param(
            {"arrivals": {"poisson": {"ratePerSecond": 10_000}}},
            "",
            "more than 20000000 requests",
            id="too many requests",
        ),
        pytest.param({"objectives": {}}, "", "objectives must state", id="no objective"),
        pytest.param(
            {"scaling": {"minReplicas": 3, "maxReplicas": 2}},
            "",
            "scaling.minReplicas must not exceed scaling.maxReplicas",
            id="scaling the wrong way round",
        ),
        pytest.param(
            {"scaling": {"maxReplicas": 2}, "batching": {"algorithm": "Trend"}},
            "",
            "scaling needs batching.mode Auto with batching.algorithm Guarded",
            id="scaling by what says no number",
        ),
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
            {"batching": {"warmStart": "Benchmark"}},
            "",
            "batching.warmStart must be Never",
            id="there are no pods to measure",
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
        pytest.param(
            {"config": {"max_batch_size": 0}},
            "",
            "the model has no batch dimension, nothing to tune",
            id="a configuration that leaves nothing to tune",
        ),
        pytest.param(
            {"config": {"dynamic_batching": {"preferred_batch_size": 4}}},
            "",
            "preferred_batch_size must be a list",
            id="a configuration that cannot be read",
        ),
        pytest.param(
            {"config": {"ensemble_scheduling": {"step": []}}},
            "",
            "remove ensemble_scheduling",
            id="a configuration that no model can have",
        ),
        pytest.param(
            {"serviceTime": knots(1, 64), "config": {"model_warmup": [{"batch_size": 100}]}},
            "",
            "must reach batchSize 100",
            id="a curve that does not reach the warm-up",
        ),
    ],
)
def test_a_malformed_field_is_named(fields, where, words):
    with pytest.raises(ValidationError, match=words) as refused:
        scenario(**fields)
    [problem] = refused.value.errors()
    assert ".".join(map(str, problem["loc"])) == where


def test_no_bound_is_smaller_than_what_the_model_is_warmed_up_with():
    warm_up = {"model_warmup": [{"name": "w", "batch_size": 100}]}
    found = scenario(config=warm_up, batching={"initial": {"maxBatchSize": 4}})
    limits = found.batching.limits.max_batch_size
    assert (limits.min, limits.max, found.start.max_batch_size) == (100, 100, 100)


def test_a_short_burst_of_very_many_is_no_run_of_very_many():
    burst = [{"seconds": 1, "ratePerSecond": rate} for rate in (10, 1_000_000, 10)]
    assert scenario(arrivals={"steps": burst}).arrivals.expected(3000) == 1_000_010 + 2998 * 10
