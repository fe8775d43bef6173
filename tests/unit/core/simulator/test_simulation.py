from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.core.simulator import loads, oracle, simulation
from ferryman.core.simulator.figures import windows_to_converge
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.tuned_run import Tuned
from ferryman.core.tuners.needs import ENOUGH, Replicas
from ferryman.core.tuners.protocol import Decision
from ferryman.core.tuners.select import TunerState, tune

EXAMPLE = yaml.safe_load((Path(__file__).parents[3] / "data" / "scenario.yaml").read_text("utf-8"))


def says(batching, state=None, reason="Recommended", **fields):
    return Decision(batching, reason, "because", state, **fields)


@dataclass
class Scripted:
    """An algorithm that follows a script and remembers what it saw."""

    script: Callable[[int, Batching, Any], Decision]

    def __post_init__(self):
        self.windows, self.states = [], []

    def __call__(self, _spec, _objectives, applied, window, state):
        """Answer the next line."""
        self.windows.append(window)
        self.states.append(state)
        return self.script(len(self.windows), applied, state)


def scenario(*, batching=None, **fields):
    values = {**EXAMPLE, **fields, "batching": {**EXAMPLE["batching"], **(batching or {})}}
    return Scenario.model_validate(values, extra="forbid")


def run(given, tuned=None):
    return simulation.simulate(given, loads.draw(given), tuned or Tuned(tune, TunerState()))


def fixed(given, start=None):
    return run(given, Tuned(algorithm=None, start=start))


def scripted(given, script, **employed):
    algorithm = Scripted(script)
    return run(given, Tuned(algorithm, **employed)), algorithm


def bounds(ran):
    return [change.after.max_batch_size for change in ran.changes]


@pytest.mark.parametrize("seed", range(4))
def test_an_under_batched_start_drives_trend_to_a_batch_of_one(seed):
    """Capacity below the rate: latency is above the target, and "decrease" makes it worse."""
    given = scenario(seed=seed)
    arrivals_s = loads.draw(given)
    ran = run(given)
    assert bounds(ran) == [2, 1]
    assert {change.reason for change in ran.changes} == {Reason.TREND_DECREASE}
    best = oracle.find(given, arrivals_s, lambda _done, _of: None)
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
        windows=40,
    )
    ran = run(given)
    assert bounds(ran) == sorted(bounds(ran), reverse=True)
    assert 1 < ran.batching.max_batch_size < 12
    assert sum(ran.figures.goodput_by_window[-5:]) / 5 > 0.95 * 200
    assert ran.figures.attainment > 2 * fixed(given).figures.attainment


def test_without_an_algorithm_nothing_ever_changes():
    given = scenario()
    ran = fixed(given)
    assert (ran.changes, ran.changes_by_actuator, ran.windows) == ((), {}, 0)
    static = oracle.serve(given, loads.draw(given), given.start)
    assert ran.batching == static.batching
    assert ran.figures == static.figures


def test_where_it_starts_can_be_chosen():
    ran = fixed(scenario(), start=Batching(max_batch_size=16))
    assert ran.batching.max_batch_size == 16
    assert ran.figures.attainment > 0.99


def test_met_objectives_are_left_alone():
    ran = run(scenario(arrivals={"poisson": {"ratePerSecond": 100}}))
    assert (ran.changes, ran.batching) == ((), Batching(max_batch_size=4))


def test_a_change_takes_the_time_of_a_reload_and_its_window_is_discarded():
    ran = run(scenario())
    first, second = ran.changes
    assert (first.window, first.begun_at_s, first.at_s, first.actuator) == (2, 10, 12, "Reload")
    # In force at 12, a window begins with the reading at 13, and two make three values.
    assert (second.window, second.begun_at_s, second.at_s) == (4, 23, 25)
    assert (first.before, first.after) == (Batching(max_batch_size=4), Batching(max_batch_size=2))
    assert ran.changes_by_actuator == {"Reload": 2}


def test_what_is_being_loaded_is_waited_for():
    ran = run(scenario(reload={"loadSeconds": 17}, windows=20))
    assert [change.at_s for change in ran.changes][:2] == [27.0, 55.0]
    assert ran.changes[1].window == 4, "windows that end meanwhile are discarded"


def test_a_reload_that_is_not_over_at_the_end_did_not_happen():
    ran = run(scenario(reload={"loadSeconds": 3600}))
    assert (ran.changes, ran.batching.max_batch_size) == ((), 4)


def test_guardrails_make_a_reload_wait():
    ran = run(scenario(batching={"guardrails": {"minSecondsBetweenReloads": 40}}, windows=20))
    # The first began at 10, and windows end at 23, 28, …, 53.
    assert [change.begun_at_s for change in ran.changes] == [10, 53]
    spent = run(scenario(batching={"guardrails": {"maxReloadsPerHour": 0}}))
    assert spent.changes == ()


@pytest.mark.parametrize(
    ("if_refused", "handed"),
    [
        pytest.param(None, ["first", "first"], id="its state of before"),
        pytest.param("refused", ["first", "refused"], id="what it wants to remember then"),
    ],
)
def test_an_algorithm_that_is_refused_is_handed(if_refused, handed):
    given = scenario(batching={"guardrails": {"maxReloadsPerHour": 0}}, windows=2)
    larger = Batching(max_batch_size=16)
    _, algorithm = scripted(
        given, lambda *_: says(larger, "second", if_refused=if_refused), state="first"
    )
    assert algorithm.states == handed


def test_what_is_no_algorithm_of_the_operator_may_be_free_of_guardrails():
    given = scenario(batching={"guardrails": {"maxReloadsPerHour": 0}})
    larger = Batching(max_batch_size=16)
    ran, _ = scripted(given, lambda *_: says(larger), guarded=False)
    assert bounds(ran) == [16]


@pytest.mark.parametrize(
    ("guardrails", "carried_out"),
    [
        pytest.param({"minSecondsBetweenReloads": 3600}, [2, 4], id="it does not wait"),
        pytest.param({"maxReloadsPerHour": 2}, [2, 4], id="but it counts"),
        pytest.param({"maxReloadsPerHour": 3}, [2, 4, 8], id="and others are left"),
    ],
)
def test_a_rollback_is_no_matter_of_guardrails(guardrails, carried_out):
    def back_and_forth(number, applied, _state):
        bound = min(2**number, 8)
        reason = Reason.ROLLED_BACK if number == 2 else "Recommended"
        return says(applied.with_(max_batch_size=bound), reason=reason)

    free = {"minSecondsBetweenReloads": 0, "maxReloadsPerHour": 120}
    ran, _ = scripted(scenario(batching={"guardrails": {**free, **guardrails}}), back_and_forth)
    assert bounds(ran) == carried_out


def test_a_change_of_instances_is_in_place():
    given = scenario(
        batching={"guardrails": {"maxReloadsPerHour": 0}}, reload={"inPlaceSeconds": 0.5}
    )
    ran, _ = scripted(
        given, lambda _, applied, __: says(applied.with_(instances=min(applied.instances + 1, 3)))
    )
    assert ran.changes_by_actuator == {"InPlace": 2}
    assert [change.at_s for change in ran.changes] == [5.5, 11.5]
    assert ran.batching.instances == 3
    assert ran.figures.goodput_by_window[-1] == pytest.approx(500, rel=0.1)


def test_the_live_cap_changes_the_bound_without_a_reload():
    given = scenario(
        liveCap=True,
        batching={"guardrails": {"maxReloadsPerHour": 0}},
        reload={"liveCapSeconds": 0.25},
    )
    ran, _ = scripted(given, lambda _, applied, __: says(applied.with_(max_batch_size=16)))
    assert [(change.actuator, change.at_s) for change in ran.changes] == [("LiveCap", 5.25)]
    assert ran.figures.goodput_by_window[-1] == pytest.approx(500, rel=0.1)


def test_the_live_cap_does_not_change_a_delay():
    given = scenario(liveCap=True)
    delayed = Batching(max_batch_size=16, max_queue_delay_microseconds=500)
    ran, _ = scripted(given, lambda *_: says(delayed))
    assert ran.changes_by_actuator == {"Reload": 1}


FREE = {"guardrails": {"minSecondsBetweenReloads": 0, "maxReloadsPerHour": 120}}


@pytest.mark.parametrize(
    ("first", "second", "actuators"),
    [
        pytest.param({"max_batch_size": 8}, {"max_batch_size": 6}, 2 * ["LiveCap"], id="the bound"),
        pytest.param(
            {"preferred_batch_size": (2,)},
            {"max_batch_size": 8},
            ["Reload", "LiveCap"],
            id="the bound, with preferred sizes that were loaded",
        ),
        pytest.param(
            {"max_batch_size": 8},
            {"max_batch_size": 6, "preferred_batch_size": (2,)},
            ["LiveCap", "Reload"],
            id="preferred sizes that were not",
        ),
        pytest.param(
            {"max_queue_delay_microseconds": 500},
            {"max_batch_size": 8},
            ["Reload", "Reload"],
            id="with a delay loaded there is no live cap",
        ),
        pytest.param(
            {"instances": 2},
            {"max_batch_size": 8},
            ["InPlace", "LiveCap"],
            id="instances in place keep it",
        ),
    ],
)
def test_the_live_cap_reaches_what_it_would_in_a_pod(first, second, actuators):
    steps = [first, second]

    def script(_number, applied, _state):
        return says(applied.with_(**steps.pop(0)) if steps else applied)

    ran, _ = scripted(scenario(liveCap=True, batching=FREE), script)
    assert [change.actuator for change in ran.changes] == actuators


def test_with_inputs_of_variable_dimensions_the_live_cap_reaches_also_with_a_delay():
    steps = [{"max_queue_delay_microseconds": 500}, {"max_batch_size": 8}]

    def script(_number, applied, _state):
        return says(applied.with_(**steps.pop(0)) if steps else applied)

    ran, _ = scripted(scenario(liveCap=True, variableInputs=True, batching=FREE), script)
    assert [change.actuator for change in ran.changes] == ["Reload", "LiveCap"]


def test_noise_and_a_tenant_show_in_what_batches_take():
    curve = {
        **EXAMPLE["serviceTime"],
        "noise": 0.3,
        "tenant": [{"fromSeconds": 10, "untilSeconds": 20, "factor": 2}],
    }
    given = scenario(arrivals={"poisson": {"ratePerSecond": 100}}, serviceTime=curve)
    _, algorithm = scripted(given, lambda _, applied, __: says(applied))
    alone_ms = [window.service_times[1][1] for window in algorithm.windows]
    assert alone_ms[:2] == pytest.approx([6.0, 6.0], rel=0.1)
    assert alone_ms[:2] != [6.0, 6.0]
    assert alone_ms[2] == pytest.approx(12.0, rel=0.15)
    assert alone_ms[-1] == pytest.approx(6.0, rel=0.1)


def test_what_was_taken_back_is_not_tried_again_within_the_hour():
    """As in the operator, whoever wants it."""

    def there_and_back(number, applied, _state):
        back = number % 2 == 0
        reason = Reason.ROLLED_BACK if back else Reason.SATURATED
        return says(applied.with_(max_batch_size=4 if back else 8), reason=reason)

    ran, _ = scripted(scenario(batching=FREE), there_and_back)
    assert bounds(ran) == [8, 4]


def test_with_mode_recommend_nothing_changes():
    given = scenario(batching={**FREE, "mode": "Recommend"})
    ran, algorithm = scripted(given, lambda *_: says(Batching(max_batch_size=16), "wished"))
    assert (ran.changes, set(algorithm.states[1:])) == ((), {"wished"})


def test_what_the_models_own_configuration_states_stays():
    given = scenario(
        batching=FREE, config={"dynamic_batching": {"preferred_batch_size": [2, 4, 8]}}
    )
    ran, _ = scripted(given, lambda *_: says(Batching(max_batch_size=6, preferred_batch_size=(5,))))
    assert given.start == Batching(max_batch_size=4, preferred_batch_size=(2, 4))
    assert ran.batching == Batching(max_batch_size=6, preferred_batch_size=(2, 4))


def test_every_window_is_decided_as_the_operator_would():
    given = scenario(arrivals={"poisson": {"ratePerSecond": 300}}, windows=20)
    ran, algorithm = scripted(given, lambda _, applied, __: says(applied))
    seen = algorithm.windows
    assert [window.ended_at_s for window in seen] == [5.0 * i for i in range(1, 21)]
    assert ran.windows == 20
    assert {window.seconds for window in seen} == {5.0}
    assert sum(window.requests for window in seen) == pytest.approx(ran.figures.offered, abs=20)
    # Nothing changed: the server's own quantile is believed, not an estimate.
    assert not any(window.latency_estimated for window in seen)
    assert seen[-1].latency_ms == pytest.approx(ran.figures.latency_ms[99], rel=0.1)
    assert seen[-1].service_times[1][1] == pytest.approx(6.0)


def test_windows_end_as_the_specification_says():
    """After 1,000 requests, but not before 5 seconds; the grid of the figures is another."""
    given = scenario(
        arrivals={"poisson": {"ratePerSecond": 100}}, batching={"window": {}}, windows=20
    )
    _, algorithm = scripted(given, lambda _, applied, __: says(applied))
    assert all(window.requests >= 1000 for window in algorithm.windows)
    assert {window.seconds for window in algorithm.windows} <= {9, 10, 11, 12}


def test_arrivals_are_told_second_by_second():
    """As the server's counters tell them: no algorithm sees the arrivals themselves."""
    given = scenario(arrivals={"poisson": {"ratePerSecond": 300}}, windows=1)
    ran, algorithm = scripted(given, lambda _, applied, __: says(applied))
    [window] = algorithm.windows
    assert [seconds for seconds, _ in window.arrived] == [1.0] * 5
    assert sum(count for _, count in window.arrived) == pytest.approx(ran.figures.offered, abs=10)


def test_a_lack_of_capacity_is_noted_when_it_was_first_told():
    def lacking(number, applied, _state):
        return says(applied, needs=ENOUGH if number < 3 else Replicas(number))

    ran, _ = scripted(scenario(windows=6), lacking)
    assert ran.shortage is not None
    assert (ran.shortage.window, ran.shortage.at_s, ran.shortage.needs) == (3, 15.0, Replicas(6))
    assert run(scenario()).shortage is None


def test_service_times_drift():
    """Batches that take half as long again are seen to, from then on."""
    curve = {**EXAMPLE["serviceTime"], "drift": [{"atSeconds": 10, "factor": 1.5}]}
    given = scenario(arrivals={"poisson": {"ratePerSecond": 100}}, serviceTime=curve)
    _, algorithm = scripted(given, lambda _, applied, __: says(applied))
    alone_ms = [window.service_times[1][1] for window in algorithm.windows]
    assert alone_ms[:2] == pytest.approx([6.0, 6.0])
    assert alone_ms[3:] == pytest.approx([9.0] * (len(alone_ms) - 3))


def test_the_same_scenario_gives_the_same_run():
    given = scenario(replicas=2)
    assert run(given) == run(given)
    assert run(given).figures != run(given.with_(seed=99)).figures


def test_what_became_of_every_request_is_told():
    ran = run(scenario(replicas=2))
    assert sum(pod.arrivals_s.size for pod in ran.served) == ran.figures.offered
    assert len(ran.served) == 2


def test_without_latency_objective_the_throughput_decides():
    """The p99 is then of no account, and a lack of throughput asks for larger batches."""
    given = scenario(objectives={"throughput": {"minPerSecond": 480}}, windows=25)
    ran = run(given)
    assert bounds(ran)[0] == 6
    assert ran.figures.goodput_by_window[-1] == pytest.approx(500, rel=0.1)


def test_batches_that_do_not_fit_into_memory_fail():
    """500 requests/s fill batches to 5 on average: those above 8 are some, and are lost."""
    given = scenario(maxWorkingBatch=8)
    ran, algorithm = scripted(
        given, lambda _, applied, __: says(applied), start=Batching(max_batch_size=16)
    )
    figures = ran.figures
    assert figures.failed > 1000
    assert figures.failed == sum(pod.failed_s.size for pod in ran.served)
    assert figures.attainment == pytest.approx(1 - figures.failed / figures.offered, abs=0.01)
    failures = sum(window.failures for window in algorithm.windows)
    assert failures == pytest.approx(figures.failed, abs=50)
    assert max(max(window.service_times) for window in algorithm.windows) == 8
    assert fixed(given, start=Batching(max_batch_size=8)).figures.failed == 0
