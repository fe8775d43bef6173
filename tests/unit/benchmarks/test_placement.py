from dataclasses import replace

import pytest

from benchmarks import placement, placement_decision, placement_report, scale
from benchmarks.placement_contenders import CONTENDERS
from benchmarks.placement_fleets import CORRELATIONS, draw
from ferryman.core.fleet.options import offers
from ferryman.core.fleet.problem import Placed


def test_the_same_seed_draws_the_same_fleet():
    assert draw(3, 6, 0.5, 1) == draw(3, 6, 0.5, 1)
    assert draw(3, 6, 0.5, 1) != draw(3, 6, 0.5, 2)


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_every_model_of_a_drawn_fleet_can_be_placed(correlation):
    found = placement.run(4, 12, correlation, 3)
    assert found["contenders"]["BestFit"]["placed"] == 1
    assert found["outcome"] in {"Optimal", "Feasible"}


@pytest.mark.parametrize("name", CONTENDERS)
def test_no_contender_gives_more_than_a_node_has_or_costs_less_than_the_bound(name):
    for seed in range(3):
        judged = placement.run(4, 16, "weak", seed)["contenders"][name]
        assert judged["faults"] == 0
        assert judged["gap"] is None or judged["gap"] > -1e-5
        assert 0 <= judged["misses"] <= 1


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_contender_places_only_options_that_were_offered(name):
    fleet = draw(3, 8, 0.0, 0)
    found = offers(fleet, priced=False)
    offered = {each.model: each.options for each in found.problem.demands}
    placed = CONTENDERS[name](fleet, found)
    assert placed
    assert all(there.option in offered[model] for model, there in placed.items())


def test_what_is_wrong_with_a_placement_is_counted():
    found = offers(draw(3, 8, 0.0, 0), priced=False)
    demand = found.problem.demands[0]
    option = replace(demand.options[0], replicas=1)
    free = next(k.free[0] for k in found.problem.node_types if k.name == option.node_type)
    assert placement.faults(found.problem, {"m": Placed(option, (0,))}) == 0
    assert placement.faults(found.problem, {"m": Placed(option, ())}) == 1
    glut = replace(option, uses={name: 2 * amount for name, amount in free.items()})
    assert placement.faults(found.problem, {"m": Placed(glut, (0,))}) == 1


def test_the_section_has_a_row_for_every_contender():
    runs = [placement.run(3, 8, "strong", seed) for seed in range(2)]
    large = {
        "models": 10,
        "nodes": 3,
        "node_types": 2,
        "outcome": "Optimal",
        "placed": 10,
        "wall_s": 1.0,
        "cpu_s": 1.0,
        "gap": 0.001,
        "faults": 0,
        "one_more_ms": [1.0, 2.0],
    }
    decision = {"nodes": 1_000, "models": 2, "placed": 2, "took_ms": {"BestFit": [1.0, 3.0]}}
    machine = {"cores": 2, "cpu": "x", "load_average": 0.5}
    report = {"machine": machine, "date": "2026-01-01", "seeds": 2, "surge": 1.5}
    told = placement_report.section({**report, "runs": runs, "large": large, "decision": decision})
    for name in CONTENDERS:
        assert f"| 3, 8 | strong | {name} | " in told
    assert "0.10%, 0 faults" in told
    assert "2.0 ms by BestFit (3.0 ms at most)" in told
    nothing = {"placed": 0.5, "gap": None, "misses": 1.0, "faults": 0, "cpu_s": 0.0}
    runs[0]["contenders"] = dict.fromkeys(CONTENDERS, nothing)
    told = placement_report.section({**report, "runs": runs[:1], "large": None, "decision": None})
    assert "| 0% | 50.0% | - | - | - | 100.0% | 0 |" in told


def test_a_quick_look_writes_nothing(capsys):
    assert placement.main(["--dry", "--no-large", "--seeds", "1", "--sizes", "3x6"]) == 0
    assert "## Placement" in capsys.readouterr().out


def test_the_operators_own_decision_is_timed_by_each_policy():
    found = placement_decision.timed(scale.Size(nodes=40), models=6)
    assert found["placed"] == 6
    assert {policy: len(ms) for policy, ms in found["took_ms"].items()} == {
        "BestFit": 2,
        "Cheapest": 2,
        "LeastWorkload": 2,
    }
