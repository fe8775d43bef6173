from dataclasses import replace
from math import inf
from types import SimpleNamespace

import pytest
from hypothesis import given, settings

from ferryman.core.fleet import exact
from ferryman.core.fleet.draft import Draft
from tests.unit.core.fleet.problems import (
    demand,
    gpus,
    least_cost,
    nodes,
    option,
    problem,
    problems,
)


def placeable(asked):
    return replace(asked, demands=tuple(each for each in asked.demands if each.options))


@given(problems().map(placeable).filter(lambda asked: asked.demands))
@settings(max_examples=100, deadline=None)
def test_the_program_finds_what_trying_everything_finds(asked):
    found, least = exact.solve(asked, 10.0), least_cost(asked)
    if least is None:
        assert found == exact.Exact(inf, {})
        return
    assert found.bound <= least + 1e-6
    draft = Draft(asked)
    draft.adopt(found.placed)
    assert draft.unplaced == []
    assert least - 1e-6 <= draft.cost <= least * (1 + exact.RELATIVE_GAP) + 1e-6


def test_variables_are_counted_for_options_and_their_nodes():
    asked = problem([nodes(count=3)], demand("m", option(), option("nowhere")))
    assert exact.variables(asked) == 4 + 1
    assert exact.variables(problem([gpus(2, nodes=3)], demand("m", option(gpu=1.0)))) == 7


@pytest.mark.parametrize(("bound", "least"), [(None, 0.0), (-3.0, 0.0), (2.0, 2.0)])
def test_where_time_runs_out_there_is_a_bound_at_most(monkeypatch, bound, least):
    ended = SimpleNamespace(status=1, x=None, mip_dual_bound=bound)
    monkeypatch.setattr(exact, "milp", lambda *_, **__: ended)
    asked = problem([nodes()], demand("m", option()))
    assert exact.solve(asked, 1.0) == exact.Exact(least, {})
