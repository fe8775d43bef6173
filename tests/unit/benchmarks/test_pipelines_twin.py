"""A short selection of the benchmark of pipelines, and what it must show of each."""

import pytest

from benchmarks.pipelines_twin import graphs, live, oracles, report, run
from ferryman.core.balancing.profile import Resources, StepProfile

SEEDS = range(12)


def test_the_same_seed_draws_the_same_pipelines():
    assert graphs.draw(3) == graphs.draw(3)
    assert graphs.draw(3) != graphs.draw(4)
    assert graphs.draw_budget(3, "graph") == graphs.draw_budget(3, "graph")
    assert live.drawn(3) == live.drawn(3)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_assignment_carries_more_than_the_balancers(seed):
    found = run.throughput(seed)
    assert found["share"] == pytest.approx(1.0)
    assert found["fits"]


@pytest.mark.parametrize("seed", [0, 1])
def test_nor_does_any_on_the_twin(seed):
    assert run.on_the_twin(seed)["share"] >= 0.98


@pytest.mark.parametrize("shape", run.SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_split_is_cheaper_than_the_balancers(seed, shape):
    found = run.latency(seed, shape)
    assert found["cost"] == pytest.approx(found["at_least"])
    if found["best"] is not None:
        assert found["cost"] == pytest.approx(found["best"])
    for simpler in report.CONTENDERS:
        assert found[simpler] is None or found[simpler] >= found["cost"] * (1 - 1e-9)


@pytest.mark.parametrize("name", live.PIPELINES)
def test_the_live_balancer_reaches_the_best_assignment_in_two_windows(name):
    found = live.balanced(live.PIPELINES[name])
    assert found["share"] >= 0.97
    assert found["windows"] <= live.WINDOWS


@pytest.mark.parametrize("name", ["chain", "join"])
def test_and_again_where_a_step_becomes_slower(name):
    found = live.slowed(live.PIPELINES[name])
    assert found["share"] >= 0.95
    assert found["windows"] <= live.WINDOWS


def test_searches_that_try_everything_find_what_is_known():
    """Produce 1, process 3, room for four: one and three, one a second."""
    steps = (
        StepProfile("produce", (1.0,), memory_bytes=1),
        StepProfile("process", (3.0,), after=("produce",), memory_bytes=1),
    )
    drawn = graphs.Drawn(steps, Resources(memory_bytes=4))
    assert oracles.largest_rate(drawn) == pytest.approx(1.0)
    assert oracles.rate_on_the_twin(steps, {"produce": 1, "process": 3}) == pytest.approx(1.0)
    assert oracles.largest_rate(graphs.Drawn(steps, Resources(memory_bytes=1))) == 0.0


def test_a_quick_run_says_all_that_the_section_says(monkeypatch, capsys):
    monkeypatch.setattr(live, "PIPELINES", {"chain": live.PIPELINES["chain"]})
    monkeypatch.setattr(live, "on_processors", _processors)
    assert run.main(["--graphs", "2", "--dry"]) == 0
    told = capsys.readouterr().out
    assert "exactly optimal" in told
    assert "| chain | 2, 6, 3, 1 |" in told


def _processors(count, known):
    return {
        "processors": count,
        "known": known,
        "share": 1.0,
        "bound": count,
        "served_per_s": count,
        "instances": [1, 1],
        "taken_back": 0,
    }
