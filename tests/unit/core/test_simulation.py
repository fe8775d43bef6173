from pathlib import Path

import pytest
import yaml

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.core import oracle, simulation
from ferryman.core.figures import windows_to_converge
from ferryman.core.scenario import Scenario
from ferryman.core.simulation import simulate
from ferryman.core.tuner import TuneDecision

EXAMPLE = yaml.safe_load((Path(__file__).parents[2] / "data" / "scenario.yaml").read_text("utf-8"))
NO_GUARD = {"minSecondsBetweenReloads": 0, "maxReloadsPerHour": 120}


def scenario(*, batching=None, **fields):
    values = {**EXAMPLE, **fields, "batching": {**EXAMPLE["batching"], **(batching or {})}}
    return Scenario.model_validate(values, extra="forbid")


def run(given, algorithm="Trend"):
    return simulate(given, simulation.loads(given), algorithm)


def bounds(ran):
    return [change.after.max_batch_size for change in ran.changes]


@pytest.mark.parametrize("seed", range(4))
def test_an_under_batched_start_drives_trend_to_a_batch_of_one(seed):
    """Capacity below the rate: latency is above the target, and "decrease" makes it worse."""
    given = scenario(seed=seed)
    loads = simulation.loads(given)
    ran = simulate(given, loads, "Trend")
    assert bounds(ran) == [2, 1]
    assert {change.reason for change in ran.changes} == {Reason.TREND_DECREASE}
    best = oracle.find(given, loads, lambda _done, _of: None)
    assert ran.figures.attainment < 0.05
    assert best.figures.attainment > 0.99
    assert best.batching.max_batch_size > 4
    assert (
        windows_to_converge(ran.figures.goodput_by_window, best.figures.goodput_by_window) is None
    )


def test_an_over_batched_start_comes_down_until_the_target_is_met():
    """With a long delay batches wait to be filled, and smaller ones wait less."""
    given = scenario(
        arrivals={"poisson": {"ratePerSecond": 200}},
        objectives={"latency": {"targetMilliseconds": 38}},
        batching={
            "initial": {"maxBatchSize": 16, "maxQueueDelayMicroseconds": 60_000},
            "limits": {"maxBatchSize": {"max": 16}, "maxQueueDelayMicroseconds": {"max": 60_000}},
        },
        windows=30,
    )
    ran = run(given)
    assert bounds(ran) == sorted(bounds(ran), reverse=True)
    assert 1 < ran.batching.max_batch_size < 12
    assert ran.figures.goodput_by_window[-1] > 0.95 * 200
    assert ran.figures.attainment > 2 * run(given, "Fixed").figures.attainment


def test_fixed_never_changes_and_is_a_static_contender():
    given = scenario()
    loads = simulation.loads(given)
    ran = simulate(given, loads, "Fixed")
    assert (ran.changes, ran.changes_by_actuator) == ((), {})
    static = oracle.serve(given, loads, given.start)
    assert ran.batching == static.batching
    assert ran.figures == static.figures


def test_met_objectives_are_left_alone():
    ran = run(scenario(arrivals={"poisson": {"ratePerSecond": 100}}))
    assert (ran.changes, ran.batching) == ((), Batching(max_batch_size=4))


def test_a_change_takes_the_time_of_a_reload_and_its_window_is_discarded():
    ran = run(scenario())
    first, second = ran.changes
    # Two windows after the start make three values; then one is discarded, and two make three.
    assert (first.window, first.at_s, first.actuator) == (2, 12.0, "Reload")
    assert (second.window, second.at_s) == (5, 27.0)
    assert (first.before, first.after) == (Batching(max_batch_size=4), Batching(max_batch_size=2))
    assert ran.changes_by_actuator == {"Reload": 2}


def test_what_is_being_loaded_is_waited_for():
    ran = run(scenario(reload={"loadSeconds": 17}, windows=20))
    assert [change.at_s for change in ran.changes][:2] == [27.0, 57.0]
    assert ran.changes[1].window == 8, "one window is discarded, two are needed"


def test_a_reload_that_is_not_over_at_the_end_did_not_happen():
    ran = run(scenario(reload={"loadSeconds": 3600}))
    assert (ran.changes, ran.batching.max_batch_size) == ((), 4)


def test_guardrails_make_a_reload_wait():
    ran = run(scenario(batching={"guardrails": {"minSecondsBetweenReloads": 40}}, windows=20))
    assert [change.at_s for change in ran.changes] == [12.0, 57.0]
    spent = run(scenario(batching={"guardrails": {"maxReloadsPerHour": 0}}))
    assert spent.changes == ()


def test_a_change_of_instances_is_in_place(monkeypatch):
    def more_instances(_spec, _objectives, applied, _window, state):
        after = applied.with_(instances=min(applied.instances + 1, 3))
        return TuneDecision(after, Reason.RECOMMENDED, "one more", state)

    monkeypatch.setattr(simulation, "tune", more_instances)
    given = scenario(
        batching={"guardrails": {"maxReloadsPerHour": 0}}, reload={"inPlaceSeconds": 0.5}
    )
    ran = run(given)
    assert ran.changes_by_actuator == {"InPlace": 2}
    assert [change.at_s for change in ran.changes] == [5.5, 15.5]
    assert ran.batching.instances == 3
    assert ran.figures.goodput_by_window[-1] == pytest.approx(500, rel=0.1)


def test_every_window_is_decided_as_the_operator_would(monkeypatch):
    seen = []

    def watch(spec, objectives, applied, window, state):
        seen.append(window)
        return TuneDecision(applied, Reason.MET, "", state)

    monkeypatch.setattr(simulation, "tune", watch)
    given = scenario(arrivals={"poisson": {"ratePerSecond": 300}}, windows=20)
    loads = simulation.loads(given)
    ran = simulate(given, loads, "Trend")
    assert [window.ended_at_s for window in seen] == [5.0 * i for i in range(1, 21)]
    assert {window.seconds for window in seen} == {5.0}
    assert sum(window.requests for window in seen) == pytest.approx(loads[0].size, abs=20)
    # Nothing changed: the server's own quantile is believed, not an estimate.
    assert not any(window.latency_estimated for window in seen)
    assert seen[-1].latency_ms == pytest.approx(ran.figures.latency_ms[99], rel=0.1)
    assert seen[-1].service_times[1][1] == pytest.approx(6.0)


@pytest.mark.parametrize(
    "arrivals",
    [
        pytest.param({"steps": [{"seconds": 9, "ratePerSecond": 99}]}, id="steps"),
        pytest.param(
            {
                "mmpp": {
                    "calmRatePerSecond": 10,
                    "calmMeanSeconds": 3,
                    "burstRatePerSecond": 200,
                    "burstMeanSeconds": 1,
                }
            },
            id="mmpp",
        ),
        pytest.param({"poisson": {"ratePerSecond": 50}}, id="poisson"),
    ],
)
def test_the_seed_decides_everything(arrivals):
    given = scenario(arrivals=arrivals, replicas=2)
    assert run(given) == run(given)
    assert run(given).figures != run(given.with_(seed=99)).figures


def test_a_trace_is_replayed():
    given = scenario(arrivals={"trace": {"file": "gaps.txt"}})
    [moments_s] = simulation.loads(given, (0.5, 0.25))
    assert moments_s[:4].tolist() == [0.5, 0.75, 1.25, 1.5]
    assert moments_s.size == 199


@pytest.mark.parametrize(
    ("gaps_s", "words"),
    [
        pytest.param((), "not all of them 0", id="no gaps"),
        pytest.param((1e-9,), "more than 20000000 requests", id="too many requests"),
    ],
)
def test_a_trace_that_cannot_be_replayed_is_refused(gaps_s, words):
    with pytest.raises(ValueError, match=words):
        simulation.loads(scenario(arrivals={"trace": {"file": "gaps.txt"}}), gaps_s)


def test_without_latency_objective_the_throughput_decides():
    """The p99 is then of no account, and a lack of throughput asks for larger batches."""
    given = scenario(objectives={"throughput": {"minPerSecond": 480}}, windows=20)
    ran = run(given)
    assert bounds(ran)[0] == 6
    assert ran.figures.goodput_by_window[-1] == pytest.approx(500, rel=0.1)
