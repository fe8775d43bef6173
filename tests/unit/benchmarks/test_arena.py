import json
from concurrent.futures import Future
from functools import partial
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from benchmarks.arena import (
    criteria,
    fingerprint,
    job,
    measures,
    plan,
    report,
    run,
    store,
    svg,
    tables,
)
from benchmarks.arena.plan import ORACLE, Job
from ferryman.api.batching import Batching
from ferryman.core.simulator import loads
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.simulation import simulate
from ferryman.core.simulator.tuned_run import Tuned


def scenario(**fields):
    values = {
        "serviceTime": {"coefficients": {"t0": 20, "a": 4}},
        "arrivals": {
            "steps": [
                {"seconds": 20, "ratePerSecond": 50},
                {"seconds": 20, "ratePerSecond": 400},
                {"seconds": 20, "ratePerSecond": 50},
            ]
        },
        "objectives": {"latency": {"targetMilliseconds": 250}},
        "batching": {"initial": {"maxBatchSize": 8}, "limits": {"instances": {"max": 1}}},
        "windows": 12,
        "windowSeconds": 5,
    }
    return Scenario.model_validate({**values, **fields}, extra="forbid")


def kept(given, bound=8):
    return simulate(given, loads.draw(given), Tuned(None, start=Batching(max_batch_size=bound)))


# Fingerprints


def test_a_fingerprint_follows_imports_but_not_other_packages():
    closure = {path.name for path in fingerprint._closure("ferryman.core.simulator.oracle")}
    assert {"oracle.py", "simulation.py", "window.py", "batching.py"} <= closure
    assert "kubernetes.py" not in closure
    assert "guarded.py" not in closure, "the oracle does not depend on any tuner"


def test_a_fingerprint_depends_on_content_and_its_order():
    modules = frozenset({"ferryman.core.simulator.oracle"})
    assert fingerprint.of(modules, b"a", b"b") == fingerprint.of(modules, b"a", b"b")
    assert len({fingerprint.of(modules, *c) for c in ((b"a", b"b"), (b"b", b"a"), (b"ab",))}) == 3
    assert fingerprint.of(frozenset({"ferryman.core.observation.mann_kendall"})) != fingerprint.of(
        modules
    )


def test_inputs_of_contenders_differ():
    names = (ORACLE, "bound-128", "trend", "hill-climb")
    assert len({plan.inputs("slack", name) for name in names}) == len(names)
    assert plan.inputs("slack", "trend") != plan.inputs("bursts", "trend")


def test_an_algorithm_with_settings_depends_on_its_module():
    trend = plan.BY_NAME["trend"].algorithm
    assert fingerprint.modules_of(partial(partial(trend)), None) == {"ferryman.core.tuners.select"}


def test_a_new_word_for_a_reason_voids_no_result():
    words = next(iter(fingerprint._ASIDE))
    assert fingerprint._path(words) is not None
    assert fingerprint._closure(words) == frozenset()
    assert fingerprint._closure("ferryman.core.tuners.trend") != frozenset()


# Results in files


def test_results_are_added_seed_by_seed(tmp_path):
    store.add("slack", "trend", "abc", {1: {"goodput": 1.0}}, tmp_path)
    store.add("slack", "trend", "abc", {0: {"goodput": 2.0}}, tmp_path)
    found = store.read("slack", "trend", "abc", tmp_path)
    assert found == {0: {"goodput": 2.0}, 1: {"goodput": 1.0}}
    assert [path.name for path in (tmp_path / "slack").iterdir()] == ["trend.json"]


def test_results_of_other_inputs_are_not_read_and_are_replaced(tmp_path):
    store.add("slack", "trend", "abc", {1: {"goodput": 1.0}}, tmp_path)
    assert store.read("slack", "trend", "xyz", tmp_path) == {}
    store.add("slack", "trend", "xyz", {2: {}}, tmp_path)
    assert store.read("slack", "trend", "abc", tmp_path) == {}
    assert store.read("slack", "trend", "xyz", tmp_path) == {2: {}}
    assert store.read("slack", "other", "xyz", tmp_path) == {}


# What is to run


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Let results go to a scratch folder."""
    functions = (store.read, store.read_outdated, store.add, store.renew)
    for function in (*functions, store.origin, store.note_origin):
        monkeypatch.setattr(function, "__defaults__", (tmp_path,))
    return tmp_path


def test_what_is_there_is_not_run_again(scratch):
    def missing():
        return [job.contenders for job in plan.jobs(["slack"], ["bound-128", "trend"], 0)]

    assert missing() == [("bound-128", "trend")]
    store.add("slack", "trend", plan.inputs("slack", "trend"), {0: {}})
    [left] = plan.jobs(["slack"], ["bound-128", "trend"], 0)
    assert (left.contenders, left.best) == (("bound-128",), None)
    searched = left.cost
    store.add("slack", ORACLE, plan.inputs("slack", ORACLE), {0: {"series": [1.0]}})
    [left] = plan.jobs(["slack"], ["bound-128", "trend"], 0)
    assert left.best == {"series": [1.0]}
    assert left.cost < searched
    store.add("slack", "bound-128", plan.inputs("slack", "bound-128"), {0: {}})
    assert missing() == []
    assert len(list(plan.jobs(["slack"], ["trend"], 1))) == 1, "another seed is missing"


def test_an_interrupted_benchmark_goes_on(scratch, monkeypatch, capsys):
    def at_once(given):
        return {name: {"goodput": 1.0} for name in (ORACLE, *given.contenders)}

    monkeypatch.setattr(run.runner, "carry_out", at_once)
    monkeypatch.setattr(run, "ProcessPoolExecutor", RunHere)
    asked = ["--seeds", "2", "--scenario", "slack", "bursts", "--contender", "trend"]
    assert run.main([*asked, "--no-report"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 4
    assert "4 of 4" in told[-1]
    assert "about 0 min left" in told[-1]
    assert run.main([*asked, "--no-report"]) == 0
    assert capsys.readouterr().out == "every result is there\n"


class RunHere:
    """An executor that runs in this process."""

    def __init__(self, _workers, **_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, function, argument):
        """Run at once."""
        future = Future()
        future.set_result(function(argument))
        return future

    def shutdown(self, **_):
        """Nothing is left to stop."""


def test_after_a_change_all_seeds_are_kept_where_one_comes_out_as_it_did(
    scratch, monkeypatch, capsys
):
    asked = []

    def at_once(given):
        asked.append((given.contenders, given.best))
        return {"trend": {"goodput": 0.5}, "guarded": {"goodput": 0.75}}

    monkeypatch.setattr(run.runner, "carry_out", at_once)
    monkeypatch.setattr(run, "ProcessPoolExecutor", RunHere)
    store.add("slack", ORACLE, plan.inputs("slack", ORACLE), {0: {"series": [1.0]}})
    store.add("slack", "trend", "before", {0: {"goodput": 0.5}, 1: {"goodput": 0.6}})
    store.add("slack", "guarded", "before", {0: {"goodput": 0.8}, 1: {"goodput": 0.9}})
    store.add("slack", "bound-128", "before", {1: {"goodput": 0.7}})
    assert run.main(["--confirm", "--scenario", "slack", "--no-report"]) == 0
    assert asked == [(("trend", "guarded"), {"series": [1.0]})]
    assert "slack: guarded comes out differently" in capsys.readouterr().out
    kept = store.read("slack", "trend", plan.inputs("slack", "trend"))
    assert kept == {0: {"goodput": 0.5}, 1: {"goodput": 0.6}}
    assert store.read("slack", "guarded", plan.inputs("slack", "guarded")) == {}


def test_the_quick_benchmark_has_fewer_seeds_and_no_ablations(scratch):
    quick = run._jobs(run._parser().parse_args(["--quick", "--scenario", "slack"]))
    assert {job.seed for job in quick} == {0, 1}
    whole = run._jobs(run._parser().parse_args(["--scenario", "slack"]))
    assert {job.seed for job in whole} == set(range(10))
    parts = {name for job in whole for name in job.contenders if plan.BY_NAME[name].part}
    assert parts == {name for name, each in plan.BY_NAME.items() if each.part}


def test_a_job_runs_every_contender_under_the_same_arrivals(monkeypatch):
    monkeypatch.setattr(plan, "load", lambda _: (scenario(windows=3), ()))
    found = job.carry_out(Job("any", 0, ("bound-128", "trend"), None))
    assert list(found) == [ORACLE, "bound-128", "trend"]
    assert len({result["offered"] for result in found.values()}) == 1
    assert found[ORACLE]["ratio"] == 1.0
    assert len(found["trend"]["series"]) == 3
    other = job.carry_out(Job("any", 1, ("trend",), found[ORACLE]))
    assert list(other) == ["trend"]
    assert "series" not in other["trend"], "only of the seed that is plotted"
    assert json.loads(json.dumps(found)) == found


# Figures


def test_reached_needs_the_window_and_the_rest():
    best = [100.0] * 5
    assert measures.windows_to_reach([0, 96, 90, 100, 100], best) == 1
    assert measures.windows_to_reach([96, 0, 96, 100, 100], best) == 2
    assert measures.windows_to_reach([100, 0, 0, 0, 0], best) is None
    assert measures.windows_to_reach(best, best) == 0


def test_a_ratio_to_nothing_says_nothing():
    assert measures.ratio([3, 1], [4, 4]) == 0.5
    assert measures.ratio([3], [0.5]) is None
    assert measures.ratio([], []) is None


def test_turns_tell_how_each_phase_went():
    given = scenario()
    ran = kept(given)
    overloaded, after = measures.turns(given, ran, ran.figures.goodput_by_window)
    assert (overloaded["atWindow"], after["atWindow"]) == (4, 8)
    assert overloaded["attained"] is None, "400 per second are more than 154"
    assert overloaded["recovered"] == 0, "as good as itself"
    attained = measures.attainment_by_window(given, ran)
    assert attained[:4] == pytest.approx(1.0, abs=0.02)
    assert attained[6] == 0.0
    assert overloaded["goodput"] == pytest.approx(
        float(np.mean(ran.figures.goodput_by_window[4:8])), abs=0.01
    )


def test_a_record_is_small_and_complete():
    given = scenario()
    ran = kept(given)
    found = measures.record(given, ran, ran.figures.goodput_by_window)
    assert (found["ratio"], found["reached"], found["shortage"]) == (1.0, 0, None)
    assert found["final"] == {"maxBatchSize": 8}
    assert len(json.dumps(found)) < 1000


# Promises


def result(**fields):
    plain = {
        "goodput": 100.0,
        "attainment": 1.0,
        "busy": 100.0,
        "p99": 50.0,
        "ratio": 1.0,
        "ratioAfter": 1.0,
        "reached": 1,
        "turns": [],
        "byActuator": {},
        "changes": [],
        "shortage": None,
        "settledAt": 0.0,
    }
    return {**plain, **fields}


def promised(name, ours, given=None, **others):
    """Return the promises about one scenario, by their first words."""
    entries = {"guarded": {0: ours}, "bound-128": {0: result()}, ORACLE: {0: result()}}
    entries.update({contender: {0: each} for contender, each in others.items()})
    rows = criteria.rows({name: entries}, {name: given or scenario()})
    return {row.promise.partition(":")[0].partition(",")[0]: row for row in rows}


def reload(at):
    return {"actuator": "Reload", "at": at}


@pytest.mark.parametrize(
    ("name", "ours", "promise", "held"),
    [
        ("any", result(reached=3, changes=[reload(4)] * 2), "95 % of the oracle's", True),
        ("any", result(reached=4), "95 % of the oracle's", False),
        ("any", result(reached=None), "95 % of the oracle's", False),
        ("any", result(reached=3, changes=[reload(4)] * 3), "95 % of the oracle's", False),
        ("any", result(ratio=0.98), "goodput of the whole run", True),
        ("any", result(ratio=0.96), "goodput of the whole run", False),
        ("any", result(ratioAfter=0.98), "goodput after convergence", False),
        ("any", result(ratioAfter=None), "goodput after convergence", False),
        ("any", result(goodput=98.0), "goodput", False),
        ("convex-bursts", result(attainment=0.94), "convex with bursts", False),
        ("convex-bursts", result(attainment=0.96), "convex with bursts", True),
        ("slack", result(busy=69.0), "slack", True),
        ("slack", result(busy=69.0, attainment=0.98), "slack", False),
        ("slack", result(busy=71.0), "slack", False),
        ("step", result(turns=[{"recovered": 2}, {"recovered": 0}]), "step", True),
        ("step", result(turns=[{"recovered": 3}, {"recovered": 0}]), "step", False),
        ("step", result(turns=[{"recovered": None}]), "step", False),
        ("infeasible", result(shortage={"window": 1, "changesAfter": 0}), "infeasible", True),
        ("infeasible", result(shortage={"window": 2, "changesAfter": 0}), "infeasible", False),
        ("infeasible", result(shortage={"window": 1, "changesAfter": 1}), "infeasible", False),
        ("infeasible", result(), "infeasible", False),
    ],
)
def test_a_promise_is_held_or_not(name, ours, promise, held):
    found = promised(name, ours)
    named = found.get(promise) or next(
        row for begins, row in found.items() if begins.startswith(promise)
    )
    assert named.held == held


def test_the_time_to_reach_is_compared_with_the_hill_climbs_measuring_time():
    def beside(ours, **hill):
        found = promised("any", ours, **{"hill-climb": result(**hill)})
        return found.get("time to 95 % of the oracle's goodput")

    assert beside(result(reached=2), settledAt=100.0).held, "two windows of 5 s"
    assert not beside(result(reached=3), settledAt=100.0).held
    assert beside(result(reached=3), settledAt=0.0) is None, "it never moved"
    assert beside(result(reached=2, goodput=90.0), settledAt=100.0) is None, "too little goodput"


def test_changes_are_counted_by_the_hour():
    given = scenario(windows=720)  # 3,600 s
    one = promised("stationary", result(byActuator={"Reload": 1}), given)["stationary"]
    two = promised("stationary", result(byActuator={"Reload": 1, "InPlace": 1}), given)
    assert (one.held, two["stationary"].held) == (True, False)


def test_overload_is_compared_with_the_capacity():
    capacity = criteria.capacity_per_s(scenario())
    # A batch of 26 takes 124 ms, half of the target.
    assert capacity == pytest.approx(26 / 0.124)
    turns = [{"goodput": 0.95 * capacity, "attained": None}, {"goodput": 100, "attained": 1}]
    found = promised("overload-reject", result(turns=turns))
    assert found["overload with Reject"].held
    assert found["after overload with Reject"].held
    turns = [{"goodput": 0.85 * capacity, "attained": None}, {"goodput": 100, "attained": 2}]
    found = promised("overload-reject", result(turns=turns))
    assert not found["overload with Reject"].held
    assert not found["after overload with Reject"].held


def test_without_results_there_are_no_promises():
    assert criteria.rows({"any": {}}, {"any": scenario()}) == []
    nothing = {"guarded": {0: result(ratio=None)}}
    assert criteria.rows({"any": nothing}, {"any": scenario()}) == []


# Tables and plots


def test_the_report_shows_every_contender_and_where_ours_loses(tmp_path, scratch, monkeypatch):
    monkeypatch.setattr(report.common, "DOCUMENT", tmp_path / "benchmarks.md")
    monkeypatch.setattr(tables, "PLOTS", tmp_path / "plots")
    best = {**result(goodput=100.0), "series": [100.0] * 300}
    for name, goodput in ((ORACLE, 100.0), ("guarded", 90.0), ("bound-128", 50.0)):
        found = {seed: {**best, "goodput": goodput + seed} for seed in (0, 1)}
        store.add("slack", name, plan.inputs("slack", name), found)
    store.note_origin()
    monkeypatch.setattr(report.common, "today", lambda: "2126-01-01")
    report.write(["slack"])
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "- slack: oracle has 100.5/s, Guarded 90.5/s (+11.0%)" in text
    assert "| bound 128, delay 0 | 1.000 |" in text
    assert "waiting for fuller batches saves device time" in text
    assert "2 seeds" in text
    assert "2126" not in text, "a table is as old as its results"
    plot = (tmp_path / "plots" / "slack.svg").read_text(encoding="utf-8")
    assert plot.count("<polyline") == 3


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([1.0, 2.0, 4.0], "2.0 (1.0 to 4.0)"),
        ([3.0, 3.0], "3.0"),
        ([None, None], "-"),
        ([1.0, None], "1.0 to never in 1 of 2"),
    ],
)
def test_a_spread_tells_median_least_and_most(values, shown):
    assert tables.spread(values, "{:.1f}") == shown


def test_a_chart_is_small_and_well_formed():
    chart = svg.chart("a & b", {"one": list(range(300)), "none": [0.0] * 300}, "per second")
    root = ET.fromstring(chart)  # noqa: S314  our own
    assert len(root.findall("{*}polyline")) == 2
    assert len(chart) < 6000
    assert ET.fromstring(svg.chart("empty", {}, "x")) is not None  # noqa: S314


def test_a_chart_of_what_are_no_windows_names_its_points():
    chart = svg.chart("t", {"one": [1.0, 2.0, 4.0]}, "ms", over="batch size", at=(1, 8, 64))
    words = [each.text for each in ET.fromstring(chart).findall("{*}text")]  # noqa: S314

    assert {"1", "8", "64", "batch size; ms"} <= set(words)


def test_a_long_line_is_thinned_by_means():
    assert svg.thin([1.0, 3.0] * 100) == [2.0] * 100
    assert svg.thin([1.0, 2.0]) == [1.0, 2.0]
