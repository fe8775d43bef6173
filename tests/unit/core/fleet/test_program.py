from math import inf
from types import SimpleNamespace

import numpy as np
import pytest

from ferryman.core.fleet import program
from ferryman.core.fleet.program import Program, Relaxed, integral, relax, thinned
from tests.unit.core.fleet.problems import demand, nodes, option, problem

SCARCE = problem(
    [nodes("a"), nodes("b", 2)],
    *(demand(f"m{i}", option("a", 1.0, cpu=3.0), option("b", 2.0, cpu=3.0)) for i in range(2)),
)


def test_the_relaxation_places_parts_of_models():
    found = relax(Program.of(SCARCE), 10.0)
    assert found.bound == pytest.approx(2 * 2 - 4 / 3)
    assert found.parts.sum() == pytest.approx(2)
    assert found.reduced_costs.min() == pytest.approx(0, abs=1e-9)


def test_the_integer_program_places_whole_models():
    found = integral(Program.of(SCARCE), 10.0)
    assert found.bound == pytest.approx(3.0)
    assert sorted(chosen.node_type for chosen in found.chosen.values()) == ["a", "b"]


def test_moves_are_limited_in_the_program_too():
    moving = [
        demand(f"m{i}", option("a", 1.0), option("b", 2.0), present=("b", "cpu")) for i in range(2)
    ]
    found = relax(Program.of(problem([nodes("a"), nodes("b")], *moving, max_moves=1)), 10.0)
    assert found.bound == pytest.approx(3.0)


def test_a_resource_that_is_not_there_rules_an_option_out():
    asked = problem([nodes()], demand("m", option(cpu=0.0, gpu=1.0)))
    whole = Program.of(asked)
    assert relax(whole, 10.0) == Relaxed(inf)
    assert integral(whole, 10.0).bound == inf


@pytest.mark.parametrize(("bound", "least"), [(None, 0.0), (-3.0, 0.0), (2.0, 2.0)])
def test_where_time_runs_out_there_is_a_bound_at_most(monkeypatch, bound, least):
    ended = SimpleNamespace(status=1, x=None, mip_dual_bound=bound)
    monkeypatch.setattr(program, "milp", lambda *_, **__: ended)
    monkeypatch.setattr(program, "linprog", lambda *_, **__: ended)
    whole = Program.of(SCARCE)
    assert relax(whole, 1.0) == Relaxed(0.0)
    found = integral(whole, 1.0)
    assert (found.bound, found.chosen) == (least, {})


def test_thinning_keeps_the_best_options_of_every_model(monkeypatch):
    monkeypatch.setattr(program, "MAX_VARIABLES", 7)
    asked = problem(
        [nodes("a", 9), nodes("b", 9), nodes("c", 9)],
        *(demand(f"m{i}", option("c", 3.0), option("a", 1.0), option("b", 2.0)) for i in range(5)),
    )
    whole = Program.of(asked)
    thin = thinned(whole, relax(whole, 10.0))
    assert thin.costs.size == 7
    assert sorted(thin.costs) == [1.0] * 5 + [2.0] * 2
    assert set(thin.demands.tolist()) == set(range(5))
    assert integral(thin, 10.0).bound == pytest.approx(5.0)


def test_without_a_relaxation_nothing_is_thinned():
    with pytest.raises(ValueError, match="no solution to choose by"):
        thinned(Program.of(SCARCE), Relaxed(0.0, np.ones(4)))
