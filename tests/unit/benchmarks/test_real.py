"""The scenario benchmark on a real Triton, as far as it can be told without one."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from benchmarks.arena import plan as arena
from benchmarks.arena import tables
from benchmarks.arena.plan import ORACLE
from benchmarks.contenders.registry import BY_NAME
from benchmarks.real import drive, plan, report, run, store
from benchmarks.real.drive import account, is_rejected
from benchmarks.real.generator import DEADLINE_S
from benchmarks.real.logbook import Logbook
from benchmarks.real.meter import Meter
from benchmarks.real.plan import Task
from ferryman.actuation.events import ChangeBegun, ChangeEnded, Decided, Entry
from ferryman.api.batching import Batching
from ferryman.api.statistics import Statistics
from ferryman.clients.load.report import Outcome, Record
from ferryman.core.batching.step import Step
from ferryman.core.simulator.oracle import Static
from ferryman.core.simulator.tuned_run import Run
from ferryman.core.tuners.needs import ENOUGH, Replicas
from hack.models import sleeper

FOUR, EIGHT = Batching(max_batch_size=4), Batching(max_batch_size=8)
LATE = "503 [request id: <id_unknown>] Request timeout expired"

# What the client saw


def test_each_request_is_answered_rejected_or_failed():
    records = (
        Record(3.0, 3.5, Outcome.REFUSED, LATE),
        Record(1.0, 1.2, Outcome.OK),
        Record(2.0, 9.0, Outcome.DEADLINE),
        Record(4.0, 4.1, Outcome.REFUSED, "503 the model is not ready"),
        Record(5.0, 5.1, Outcome.CONNECTION),
    )
    served = account(records)
    assert served.arrivals_s.tolist() == [1.0, 2.0]
    assert served.ends_s.tolist() == [1.2, 2.0 + DEADLINE_S], "too late, and no percentile forgets"
    assert served.rejected_s.tolist() == [3.0]
    assert served.failed_s.tolist() == [4.0, 5.0]
    assert served.offered == len(records)


def test_only_the_queue_policy_rejects():
    assert is_rejected(Record(0, 1, Outcome.REFUSED, LATE))
    assert is_rejected(Record(0, 1, Outcome.REFUSED, "503 Exceeds maximum queue size"))
    assert not is_rejected(Record(0, 1, Outcome.REFUSED, "503 model is unloading"))
    assert not is_rejected(Record(0, 1, Outcome.INVALID, LATE))


# What Triton counted


def reading(now_s, batches, success=None):
    count = sum(size * n for size, (n, _) in batches.items()) if success is None else success
    return Statistics(now_s, count, count, 0, 0, 0, sum(n for n, _ in batches.values()), batches)


def test_device_time_goes_on_over_a_reload():
    meter = Meter(server=None)
    meter.add(reading(0, {4: (10, 10**9)}))
    assert meter.busy_s == 0, "what was before the run does not count"
    assert meter.mean_batch_size == 0
    meter.add(reading(1, {4: (12, 2 * 10**9)}))
    meter.add(reading(2, {8: (1, 5 * 10**8)}, success=8))  # the counters began anew
    meter.add(reading(3, {8: (3, 15 * 10**8)}, success=24))
    assert meter.busy_s == pytest.approx(1 + 1.5)
    assert meter.mean_batch_size == pytest.approx((2 * 4 + 3 * 8) / 5)


def test_device_time_by_window_is_read_between_the_borders():
    meter = Meter(server=None)
    with pytest.raises(RuntimeError, match="never read"):
        meter.busy_by_window(2.0, 3)
    for now_s, busy_s in ((10.0, 5.0), (11.0, 5.5), (13.0, 7.5), (14.0, 7.5), (15.9, 7.5)):
        meter.add(reading(now_s, {1: (int(now_s), round(busy_s * 1e9))}))
    assert meter.busy_by_window(2.0, 3) == [1.5, 1.0, 0.0]


async def test_the_meter_reads_once_more_when_it_is_told_to_stop():
    readings = [reading(0, {1: (1, 1)}), reading(1, {1: (3, 2 * 10**9 + 1)})]

    class Server:
        async def statistics(self):
            return readings.pop(0)

    meter, stop = Meter(Server()), asyncio.Event()
    running = asyncio.create_task(meter.run(stop))
    await asyncio.sleep(0)
    stop.set()
    await running
    assert meter.busy_s == pytest.approx(2)


# What the session did


def entry(at_s, event):
    return Entry(datetime(2026, 1, 1, tzinfo=UTC), at_s, event)


def ended(outcome, applied):
    return ChangeEnded(FOUR, EIGHT, "Reload", "Faster", outcome, "", applied, 1.0)


def test_changes_and_shortage_are_kept_in_the_words_of_a_simulated_run():
    logbook = Logbook(FOUR)
    for number, needs in ((1, ENOUGH), (2, Replicas(3)), (3, Replicas(2))):
        step = Step("Stay", FOUR, None, "NeedsCapacity", "", None, needs)
        logbook(entry(10.0 * number, Decided(number, FOUR, step, 5.0 * number)))
    logbook(entry(31.0, ChangeBegun(FOUR, EIGHT, "Reload", "Faster", "")))
    logbook(entry(33.0, ended("Applied", EIGHT)))
    changes, shortage = logbook.shifted(-0.5)
    [change] = changes
    assert (change.begun_at_s, change.at_s, change.after) == (30.5, 32.5, EIGHT)
    assert (shortage.window, shortage.at_s, shortage.needs) == (2, 19.5, Replicas(2))
    assert (logbook.applied, logbook.decision_ms) == (EIGHT, 15.0)


def test_a_change_that_was_refused_is_none():
    logbook = Logbook(FOUR)
    logbook(entry(1.0, ChangeBegun(FOUR, EIGHT, "Reload", "Faster", "")))
    logbook(entry(2.0, ended("Refused", FOUR)))
    assert (logbook.shifted(0.0), logbook.not_applied) == (((), None), 1)


# What there is to run


def test_the_starred_scenarios_and_a_real_model_are_there():
    assert plan.names() == [
        "convex-bursts",
        "digits",
        "overload-queue",
        "overload-reject",
        "slack",
        "step",
        "under-batched-cold-start",
    ]
    assert [name for name in plan.names() if plan.model_of(name) != "sleeper"] == ["digits"]


def test_the_whole_benchmark_leaves_forty_minutes_of_four_hours_to_the_others(tmp_path):
    scenarios = {name: plan.read(name) for name in plan.names()}
    bench = run.Bench(scenarios, None, plan.SEEDS, tmp_path)
    assert plan.SEEDS >= 3
    assert 2 * 3600 < bench.left_s() < 3600 * 4 - 40 * 60


@pytest.mark.parametrize("name", plan.names())
def test_phases_of_a_scenario_begin_with_a_window_of_its_grid(name):
    scenario = plan.read(name)
    assert 5 <= scenario.window_seconds <= 10
    assert all(moment % scenario.window_seconds == 0 for moment in scenario.turns_s)
    assert scenario.replicas == 1, "there is one server"


@pytest.mark.parametrize("name", [n for n in plan.names() if n != plan.REAL_MODEL])
def test_a_scenario_is_the_twin_s_but_for_its_length(name):
    real, (twin, _) = plan.read(name), arena.load(name)
    assert real.service_time == twin.service_time
    assert (real.objectives, real.batching) == (twin.objectives, twin.batching)


def test_a_try_out_has_every_step_of_the_scenario():
    whole, short = plan.read("step"), plan.read("step", 30)
    assert short.duration_s == 30
    assert [step.seconds for step in short.arrivals.steps] == [10, 10, 10]
    rates = [step.rate_per_second for step in whole.arrivals.steps]
    assert [step.rate_per_second for step in short.arrivals.steps] == rates
    assert plan.read("slack", 3).windows == 1


def test_inputs_are_the_scenario_its_seed_the_contender_and_the_oracle():
    scenario = plan.read("slack")
    different = {
        plan.inputs(scenario, "trend"),
        plan.inputs(scenario, "guarded"),
        plan.inputs(scenario, ORACLE),
        plan.inputs(scenario.with_(seed=1), "trend"),
        plan.inputs(scenario, "trend", b"the oracle's result"),
        plan.inputs(plan.read("step"), "trend"),
    }
    assert len(different) == 6
    assert plan.inputs(plan.read("slack"), "trend") == plan.inputs(scenario, "trend")


def test_a_curve_is_what_the_sleeper_is_told():
    text = sleeper.config(curve_us=[5_000, 7_000])
    assert 'key: "curve_us" value: { string_value: "5000 7000" }' in text
    assert "curve_us" not in sleeper.config()


# Going on after an interruption


@pytest.fixture
def bench(tmp_path):
    return run.Bench({"slack": plan.read("slack")}, ["bound-128", "guarded"], 1, tmp_path)


def write(bench, contender, **fields):
    [(scenario, tasks)] = bench.rounds()
    task = next(task for task in tasks if task.contender == contender)
    store.write(task, {"inputs": bench.inputs(scenario, task), **fields}, bench.folder)


def missing(bench):
    [(scenario, tasks)] = bench.rounds()
    return [task.contender for task in bench.missing(scenario, tasks)]


def test_what_is_there_is_not_run_again_unless_the_oracle_is_another(bench):
    assert missing(bench) == [ORACLE, "bound-128", "guarded"]
    write(bench, ORACLE, series=[1.0])
    write(bench, "guarded")
    assert missing(bench) == ["bound-128"]
    assert bench.left_s() == 110 + plan.OVERHEAD_S
    write(bench, ORACLE, series=[2.0])
    assert missing(bench) == ["bound-128", "guarded"]


def test_a_result_is_one_whole_file_with_a_line_for_each_figure(tmp_path):
    task = Task("slack", "trend", 2)
    store.write(task, {"inputs": "abc", "series": [1, 2]}, tmp_path)
    path = tmp_path / "slack" / "trend-2.json"
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert len(path.read_text().splitlines()) == 4
    assert store.read(task, "abc", tmp_path)["series"] == [1, 2]
    assert store.read(task, "other", tmp_path) is None
    assert store.read(replace(task, seed=1), "abc", tmp_path) is None


class Nothing:
    """A sender that sends nothing."""

    executor = None
    renewed = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def renew(self):
        """Count."""
        self.renewed += 1


def driven(scenario):
    records = tuple(Record(float(i), i + 0.1, Outcome.OK) for i in range(100))
    figures = drive.measure(scenario, [account(records)])
    outcome = Run(EIGHT, replace(figures, device_busy_s=30.0), (), 9, None, (account(records),))
    return drive.Driven(outcome, {}, {}, 0, 12.0, 1.0, [3.0] * scenario.windows)


@pytest.fixture
def nothing(monkeypatch):
    sender = Nothing()
    monkeypatch.setattr(run, "Sender", lambda: sender)
    monkeypatch.setattr(run.noise, "measure", lambda _: {"p50Ms": 1.0, "p99Ms": 2.0})
    monkeypatch.setattr(run, "drive", lambda job, _: driven(job.scenario))
    monkeypatch.setattr(run.oracle, "find", lambda *_: Static(EIGHT, None))
    return sender


ASKED = ["--only", "slack", "--contenders", "bound-128", "guarded", "--seeds", "1"]


def test_an_interrupted_benchmark_goes_on(nothing, monkeypatch, tmp_path, capsys):
    asked = [*ASKED, "--seconds", "100", "--out", str(tmp_path)]
    done = []

    def interrupted(job, _):
        if len(done) == 2:
            raise RuntimeError("tritonserver ended by itself") from KeyboardInterrupt()
        done.append(job)
        return driven(job.scenario)

    def dying(job, sender):
        try:
            return interrupted(job, sender)
        except RuntimeError as error:
            error.__context__ = KeyboardInterrupt()
            raise

    monkeypatch.setattr(run, "drive", dying)
    assert run.main(asked) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert len(list((tmp_path / "slack").iterdir())) == 2
    monkeypatch.setattr(run, "drive", lambda job, _: driven(job.scenario))
    assert run.main(asked) == 0
    assert "about 0 min left" in capsys.readouterr().out
    assert run.main(asked) == 0
    assert "every result is there" in capsys.readouterr().out


def test_a_run_that_fails_is_told_and_the_others_go_on(nothing, monkeypatch, tmp_path, capsys):
    def failing(job, _):
        if job.employed.algorithm is not None:
            raise ExceptionGroup("the session", [ValueError("a defect")])
        return driven(job.scenario)

    monkeypatch.setattr(run, "drive", failing)
    assert run.main([*ASKED, "--seconds", "100", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "slack, guarded, seed 0: failed" in said.out
    assert "a defect" in said.err
    assert nothing.renewed == 1
    assert sorted(p.name for p in (tmp_path / "slack").iterdir()) == [
        "bound-128-0.json",
        "oracle-0.json",
    ]


def test_without_the_oracle_there_is_nothing_to_compare_with(
    nothing, monkeypatch, tmp_path, capsys
):
    def failing(*_):
        raise RuntimeError("tritonserver ended by itself")

    monkeypatch.setattr(run, "drive", failing)
    assert run.main([*ASKED, "--seconds", "100", "--out", str(tmp_path)]) == 1
    assert "no oracle to compare it with" in capsys.readouterr().out


# The report


def result(**fields):
    return {
        "date": "2026-11-21",
        "machine": {"cpu": "a CPU", "cores": 2, "noise": {"p50Ms": 1.5, "p99Ms": 4.0}},
        "goodput": 90.0,
        "attainment": 1.0,
        "p99": 200.0,
        "busy": 50.0,
        "offered": 1000,
        "ratio": 1.0,
        "ratioAfter": 1.0,
        "reached": 0,
        "turns": [],
        "changes": [],
        "byActuator": {},
        "settledAt": 0.0,
        "final": {"maxBatchSize": 8},
        "shortage": None,
        "series": [90.0, 90.0],
        "failures": {},
        "examples": {},
        "searching": False,
        **fields,
    }


def slack(**fields):
    """Return results of three seeds, with some of Guarded's figures."""
    ours = {seed: result(**{"busy": 30.0, **fields}) for seed in range(3)}
    others = {seed: result() for seed in range(3)}
    return {"slack": {ORACLE: others, "bound-128": others, "guarded": ours}}


def told(results):
    return report.text({"slack": plan.read("slack")}, results)


def test_the_report_holds_promises_tables_and_the_noise():
    text = told(slack(final={"maxBatchSize": 24, "maxQueueDelayMicroseconds": 100_000}))
    assert "p50 1.5 ms, p99 4.0 ms" in text
    assert "| slack: device time, by that of delay 0, at 99 % attainment | at most 0.70 |" in text
    row = next(line for line in text.splitlines() if line.startswith("| Guarded |"))
    assert "| 0.60 |" in row
    assert "| 24 d100 |" in row
    assert "whole run" not in text, "that was promised of the twin alone"
    assert "Nowhere by more than 1 %" in text


def test_the_report_says_where_ours_loses_and_what_failed():
    lost = slack(goodput=80.0, ratioAfter=0.96, failures={"connection": 2, "deadline": 5})
    lost["slack"]["guarded"][0]["examples"] = {"connection": "reset", "deadline": "late"}
    text = told(lost)
    assert "- slack: oracle has 90.0/s, Guarded 80.0/s (+12.5%)" in text
    assert "at least 0.97 | least median 0.960" in text
    assert "15 late, **6 others**" in text
    assert "| failed requests, those apart that waited too long | 0 | 6 of 3000 in 3 runs |" in text
    assert "Others than too late ones: reset." in text


def test_device_time_counts_from_the_last_change_on():
    others = {0: result(busySeries=[10.0, 10.0])}
    ours = {0: result(busy=15.0, busySeries=[10.0, 5.0], settledAt=8.0)}
    text = told({"slack": {ORACLE: others, "bound-128": others, "guarded": ours}})
    assert "at most 0.70 | 0.50 (up to 0.50)" in text


def test_goodput_counts_from_convergence_on_beside_the_largest_bound():
    text = told(slack(goodput=45.0, series=[0.0, 90.0], reached=1))
    assert "by that of bound 128 and delay 0 | at least 0.99 | least median 0.500" in text
    assert "| the same after convergence | at least 0.99 | least median 1.000" in text
    text = told(slack(reached=None))
    assert "| the same after convergence | at least 0.99 | least median 0.000" in text


def test_the_report_says_who_called_for_capacity():
    text = told(slack(shortage={"window": 2, "replicas": 3, "changesAfter": 0}))
    assert "| 3 of 3, in window 2 |" in text


def test_the_report_says_who_was_still_searching():
    results = slack()
    searching = {0: result(searching=True, settledAt=None, byActuator={"Reload": 2})}
    results["slack"]["hill-climb"] = searching
    text = told(results)
    assert "| 8 (still searching) |" in text
    assert "measuring time" not in text, "how long it takes is not known"


def test_the_report_goes_into_the_document_with_its_plots(tmp_path, monkeypatch):
    monkeypatch.setattr(report.common, "DOCUMENT", tmp_path / "benchmarks.md")
    monkeypatch.setattr(tables, "PLOTS", tmp_path / "plots")
    report.write({"slack": plan.read("slack")}, {})
    assert list(tmp_path.iterdir()) == []
    report.write({"slack": plan.read("slack")}, slack())
    assert "<!-- scenarios-real -->" in (tmp_path / "benchmarks.md").read_text()
    assert "Guarded" in (tmp_path / "plots" / "real-slack.svg").read_text()


def test_a_written_result_has_what_the_report_needs(nothing, tmp_path, capsys):
    assert run.main([*ASKED, "--seconds", "100", "--out", str(tmp_path)]) == 0
    assert "### slack, on a real Triton" in capsys.readouterr().out
    found = json.loads((tmp_path / "slack" / "guarded-0.json").read_text())
    assert found["machine"]["noise"] == {"p50Ms": 1.0, "p99Ms": 2.0}
    assert found["decisionMs"] == 12.0
    assert len(found["series"]) == 10
    assert found["goodput"] == 1.0


def test_how_long_a_search_takes_is_unknown_where_it_had_not_finished(
    nothing, monkeypatch, tmp_path
):
    def searching(job, _):
        return replace(driven(job.scenario), searching=job.employed.algorithm is not None)

    monkeypatch.setattr(run, "drive", searching)
    assert run.main([*ASKED, "--seconds", "100", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "slack" / "guarded-0.json").read_text())
    assert (found["searching"], found["settledAt"]) == (True, None)
    static = json.loads((tmp_path / "slack" / "bound-128-0.json").read_text())
    assert (static["searching"], static["settledAt"]) == (False, 0.0)


def test_contenders_are_known():
    for name in plan.names():
        assert set(plan.contenders_of(name, None)) <= set(BY_NAME)
        assert "guarded" in plan.contenders_of(name, None)
    assert plan.contenders_of("slack", []) == ()
