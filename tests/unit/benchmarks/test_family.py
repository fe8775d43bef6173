import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import traces
from benchmarks.contenders.registry import BY_NAME
from benchmarks.family import (
    confirm,
    curves,
    demands,
    generator,
    job,
    plan,
    report,
    run,
    store,
)
from benchmarks.family.measures import PROMISES, Ratios, ratios
from ferryman.core.simulator import loads
from tests.scenarios import SMALL

SEEDS = range(60)


def test_a_seed_always_draws_the_same_scenario():
    assert generator.draw(7) == generator.draw(7)
    assert store.key(generator.draw(7).scenario) != store.key(generator.draw(8).scenario)


def test_every_shape_pattern_and_start_is_drawn():
    drawn = [generator.draw(seed) for seed in SEEDS]
    seen = {trait: {each.traits[trait] for each in drawn} for trait in drawn[0].traits}
    assert seen["curve"] == set(curves.SHAPES)
    assert seen["arrivals"] == set(demands.PATTERNS)
    assert seen["start"] == {"1", "2", "4", "8", "largest"}
    assert seen["change"] == {"live cap", "reload"}
    assert seen["noise"] == {"none", "low", "high"}
    assert seen["instances"] == {"1", "apart", "shared"}
    assert seen["tenant"] == {"present", "none"}
    limits = {each.scenario.batching.limits.max_batch_size.min > 1 for each in drawn}
    assert limits == {True, False}


def test_no_run_is_too_long_and_every_load_stays_within_what_the_target_allows():
    for seed in SEEDS:
        drawn = generator.draw(seed)
        scenario = drawn.scenario
        moments = loads.draw(scenario, traces.gaps_of(scenario))[0]
        assert moments.size <= 1.5 * generator.MAX_REQUESTS
        assert generator.WINDOWS[0] <= scenario.windows <= generator.WINDOWS[1]


@pytest.mark.parametrize("shape", list(curves.SHAPES))
def test_a_curve_begins_at_one_and_no_larger_batch_is_quicker_by_far(shape):
    for seed in range(20):
        times = curves.draw(shape, 128, np.random.default_rng(seed))
        assert times[0] == 1
        assert times.min() > 0.99
        corners = curves.corners(times)
        assert (corners[0], corners[-1]) == (1, 128)
        between = np.interp(np.arange(1, 129), corners, times[np.array(corners) - 1])
        assert between == pytest.approx(times, rel=1e-6)


def test_the_seeds_of_validation_are_drawn_from_the_commit():
    one, other = (list(plan.seeds(plan.VALIDATION, 5, commit)) for commit in ("a" * 40, "b" * 40))
    assert not set(one) & set(other)
    assert one == list(plan.seeds(plan.VALIDATION, 5, "a" * 40))
    assert list(plan.seeds(plan.DEVELOPMENT, 3, "a" * 40)) == [0, 1, 2]


def test_the_oracle_of_a_job_has_a_ceiling():
    best = job.best(SMALL)
    assert len(best["ceiling"]) == len(best["goodput"]) == SMALL.windows
    assert sum(best["busy"]) > 0


def test_ratios_compare_a_run_with_the_oracle():
    best = {"goodput": [10.0] * 4, "busy": [1.0, 2.0], "ceiling": [0.0, 10.0, 10.0, 10.0]}
    mine = {"goodput": [0.0, 9.0, 10.0, 10.0], "busy": [1.0, 3.0]}
    found = ratios(mine, best, {"goodput": [5.0] * 4})
    assert found == Ratios(
        whole=29 / 40,
        second_half=1.0,
        busy=1.5,
        soon=True,
        by_largest=29 / 20,
        by_ceiling=29 / 30,
        ceiling=0.75,
    )
    assert all(promise.of([found]) >= 0 for promise in PROMISES)


def test_results_of_other_code_are_forgotten(tmp_path):
    store.add("development", "guarded", "inputs", {"a": {"busy": [1, 2]}}, tmp_path)
    store.add("development", "guarded", "inputs", {"b": {"busy": [3, 4]}}, tmp_path)
    assert sorted(store.read("development", "guarded", "inputs", tmp_path)) == ["a", "b"]
    assert store.read("development", "guarded", "others", tmp_path) == {}


def test_a_table_tells_of_what_has_run_so_far_and_what_is_lost_without_a_part(monkeypatch):
    """Of three scenarios two have run; in one of them the part makes a difference."""
    keys = [store.key(generator.draw(seed).scenario) for seed in (0, 1)]
    best = {"goodput": [10.0, 10.0], "busy": [1.0, 2.0], "ceiling": [10.0, 10.0]}
    worse = {**best, "goodput": [5.0, 10.0], "busy": [1.0, 3.0]}
    kept = {name: dict.fromkeys(keys, best) for name in ("oracle", "largest", "guarded")}
    kept["guarded-without-fear"] = {keys[0]: best, keys[1]: worse}
    monkeypatch.setattr(store, "read", lambda _half, name, _inputs: kept[name])
    told = report.told("development", range(3), ["guarded", "guarded-without-fear"], worst=0)
    assert told.startswith("| development: 2 of 3 scenarios | wanted |")
    assert told.endswith("| the pessimistic bound | 1 | 1.000 → 0.750 | 1.000 → 1.500 |")
    monkeypatch.setattr(store, "read", lambda _half, _name, _inputs: {})
    assert report.told("development", range(3), ["guarded"], worst=0) == (
        "development: none of 3 scenarios has run yet"
    )


def test_nothing_is_begun_after_the_time_that_was_given(monkeypatch):
    begun = []
    monkeypatch.setattr(run, "carry_out", lambda each: begun.append(each.seed) or {})
    jobs = [plan.Job("development", seed, generator.draw(seed), (), True) for seed in (0, 1)]  # noqa: FBT003
    monkeypatch.setattr(plan, "jobs", lambda half, *_: jobs if half == "development" else [])
    monkeypatch.setattr(report, "told", lambda *_, **__: "")
    assert run.main(["--workers", "1", "--minutes", "0"]) == 0
    assert begun == [0]


def test_results_are_kept_where_a_few_come_out_as_they_did_and_not_where_one_does_not(
    monkeypatch, tmp_path
):
    """Six results of other code; the first five run again, in one of them a figure differs."""
    scenarios = {
        seed: SMALL.model_copy(update={"windows": 2, "window_seconds": 5, "seed": seed})
        for seed in range(6)
    }
    largest = BY_NAME["largest"]
    found = {
        store.key(each): json.loads(json.dumps(job.contend(each, [largest])["largest"]))
        for each in scenarios.values()
    }
    monkeypatch.setattr(generator, "draw", lambda seed: SimpleNamespace(scenario=scenarios[seed]))
    monkeypatch.setattr(store, "_path", lambda half, name, _: tmp_path / f"{half}-{name}.json")
    wrong = {**found, store.key(scenarios[4]): {**found[store.key(scenarios[4])], "busy": [0, 0]}}
    store.add("development", "largest", "of other code", found)
    store.add("validation", "largest", "of other code", wrong)
    for half in plan.HALVES:
        confirm.confirm(half, range(6), ["largest"], 5)
    assert store.read("development", "largest", plan.inputs("largest")) == found
    assert store.read("validation", "largest", plan.inputs("largest")) == {}
