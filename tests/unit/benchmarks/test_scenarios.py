"""The committed scenarios are what the benchmark's documentation says they are."""

from pathlib import Path

import pytest

from benchmarks.arena import criteria, plan
from benchmarks.arena.job import employ
from benchmarks.contenders.registry import BY_NAME, CONTENDERS
from ferryman.core.simulator import loads


@pytest.mark.parametrize("name", plan.names())
def test_a_scenario_has_300_windows_and_bounds_up_to_128(name):
    scenario, _ = plan.load(name)
    assert scenario.windows == 300
    assert scenario.batching.limits.max_batch_size.max == 128
    assert scenario.batching.initial is not None, "where tuning starts is part of the scenario"
    assert plan.path_of(name).read_text(encoding="utf-8").startswith("# "), "what it is about"


def test_the_scenarios_of_the_issue_are_there():
    assert {
        "bursts",
        "convex-bursts",
        "diurnal",
        "drift",
        "infeasible",
        "knee-from-above",
        "knee-from-below",
        "live-cap",
        "memory-limit",
        "overload-queue",
        "overload-reject",
        "slack",
        "staircase",
        "stationary",
        "step",
        "under-batched-cold-start",
    } <= set(plan.names())


def test_the_overload_is_1_35_times_the_capacity_and_else_0_6():
    for name in ("overload-queue", "overload-reject"):
        scenario, _ = plan.load(name)
        capacity = criteria.capacity_per_s(scenario)
        shares = [step.rate_per_second / capacity for step in scenario.arrivals.steps]
        assert shares == pytest.approx([0.6, 1.35, 0.6, 1.35, 0.6, 1.35, 0.6], abs=0.005)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_contender_can_be_employed(name):
    scenario, gaps_s = plan.load("under-batched-cold-start")
    short = scenario.with_(windows=6)
    run = employ(short, loads.draw(short, gaps_s), BY_NAME[name])
    assert run.figures.offered > 5_000
    assert (run.changes == ()) or BY_NAME[name].algorithm is not None


def test_names_are_unique_and_fit_for_files():
    names = [contender.name for contender in CONTENDERS]
    assert len(set(names)) == len(names)
    assert all(name == Path(name).name == name.lower() for name in names)
