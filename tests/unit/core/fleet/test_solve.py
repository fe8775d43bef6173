from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings

from ferryman.core.fleet import draft, exact, program
from ferryman.core.fleet.packing import Packing
from ferryman.core.fleet.problem import SolutionQuality
from ferryman.core.fleet.solve import OPTIMAL_GAP, place_next, solve
from tests.unit.core.fleet.problems import (
    demand,
    faults,
    gpus,
    least_cost,
    nodes,
    option,
    problem,
    problems,
)

ROUNDING = 1e-6


@given(problems())
@settings(max_examples=150, deadline=None)
def test_the_answer_is_what_trying_everything_finds(asked):
    solution, least = solve(asked), least_cost(asked)
    assert faults(asked, solution) == []
    if least is None:
        assert solution.outcome == SolutionQuality.INFEASIBLE
        assert (solution.bound, bool(solution.unplaced)) == (inf, True)
    else:
        assert (solution.outcome, solution.unplaced) == (SolutionQuality.OPTIMAL, {})
        assert least - ROUNDING <= solution.cost <= least * (1 + OPTIMAL_GAP) + ROUNDING
        assert solution.bound <= least + ROUNDING


@given(problems())
@settings(max_examples=50, deadline=None)
def test_without_the_exact_program_no_answer_is_wrong(asked):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "MAX_VARIABLES", -1)
        solution = solve(asked)
    least = least_cost(asked)
    assert faults(asked, solution) == []
    if solution.outcome in {SolutionQuality.OPTIMAL, SolutionQuality.FEASIBLE}:
        assert least is not None
        assert least - ROUNDING <= solution.cost
    if solution.outcome == SolutionQuality.INFEASIBLE:
        assert least is None
    assert solution.bound <= (inf if least is None else least + ROUNDING)


@given(problems())
@settings(max_examples=30, deadline=None)
def test_the_same_problem_has_the_same_answer(asked):
    assert solve(asked) == solve(asked)


@given(problems(most_models=3))
@settings(max_examples=50, deadline=None)
def test_more_nodes_never_cost_more(asked):
    more = tuple(replace(kind, free=(*kind.free, {"cpu": 3.0})) for kind in asked.node_types)
    before, after = solve(asked), solve(replace(asked, node_types=more))
    if not before.unplaced:
        assert not after.unplaced
        assert after.cost <= before.cost * (1 + OPTIMAL_GAP) + ROUNDING


def test_an_empty_fleet_is_placed():
    solution = solve(problem([]))
    assert (solution.outcome, solution.cost, solution.gap) == (SolutionQuality.OPTIMAL, 0.0, 0.0)


def test_a_model_without_options_is_told_apart():
    asked = problem([nodes()], demand("stuck"), demand("fits", option()))
    solution = solve(asked)
    assert (solution.outcome, list(solution.placed)) == (SolutionQuality.INFEASIBLE, ["fits"])
    assert solution.unplaced == {"stuck": "no node type can serve it"}


def test_a_model_that_fits_on_no_empty_node_says_what_is_too_little():
    asked = problem(
        [nodes(count=2), nodes("b", 0)],
        demand("big", option(cpu=5.0), option("b"), option(gpu=1.0), option("nowhere")),
    )
    told = solve(asked).unplaced["big"]
    assert told.startswith("it does not fit on empty nodes: a has too little cpu; ")
    assert "a has too little gpu" in told
    assert "b has too little nodes" in told
    assert "nowhere has too little nodes" in told


def test_a_model_that_finds_no_room_says_what_is_lacking():
    asked = problem([nodes()], *(demand(f"m{i}", option(cpu=3.0)) for i in range(2)))
    solution = solve(asked)
    assert solution.outcome == SolutionQuality.INFEASIBLE
    assert (
        solution.message
        == "1 of 2 models could not be placed, and it is proved that not all can be"
    )
    assert list(solution.unplaced.values()) == ["a lacks cpu"]


def test_a_model_that_may_not_move_says_so():
    moving = demand("m", option("b"), present=("a", "cpu"))
    solution = solve(problem([nodes("b")], moving, max_moves=0))
    assert solution.unplaced == {"m": "no more than 0 models are moved at once"}


def test_what_is_short_is_listed_for_a_few_node_types_only():
    kinds = [nodes(f"kind-{i}", cpu=1.0) for i in range(draft.LISTED + 2)]
    options = [option(kind.name, cpu=2.0) for kind in kinds]
    told = solve(problem(kinds, demand("m", *options))).unplaced["m"]
    assert told.endswith("; kind-4 has too little cpu; 2 more alike")


def test_replicas_that_only_seem_to_fit_are_proved_not_to():
    """Four cores are free, but nowhere three of them."""
    asked = problem([nodes(count=2, cpu=2.0)], demand("m", option(cpu=1.5, replicas=1)))
    assert solve(asked).outcome == SolutionQuality.OPTIMAL
    three = [demand(f"m{i}", option(cpu=1.25)) for i in range(3)]
    assert solve(problem([nodes(count=2, cpu=2.0)], *three)).outcome == SolutionQuality.INFEASIBLE


def test_what_is_not_proved_is_unknown(monkeypatch):
    monkeypatch.setattr(exact, "MAX_VARIABLES", 0)
    three = [demand(f"m{i}", option(cpu=1.25)) for i in range(3)]
    solution = solve(problem([nodes(count=2, cpu=2.0)], *three))
    assert solution.outcome == SolutionQuality.UNKNOWN
    assert solution.message.endswith("; that it is impossible is not proved")


def test_what_is_not_proved_to_be_the_least_is_feasible(monkeypatch):
    """By sums all three would fit on the cheap type; one of them has to go elsewhere."""
    monkeypatch.setattr(exact, "MAX_VARIABLES", 0)
    three = [demand(f"m{i}", option(cpu=1.25), option("b", 2.0)) for i in range(3)]
    solution = solve(problem([nodes(count=2, cpu=2.0), nodes("b")], *three))
    assert (solution.outcome, solution.cost, solution.bound) == (SolutionQuality.FEASIBLE, 4.0, 3.0)
    assert solution.message == "all 3 models are placed, at most 33.3% above the least"
    assert solution.gap == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("second", "outcome", "message"),
    [
        pytest.param(
            1.0, SolutionQuality.OPTIMAL, "at the least cost there is", id="each at its cheapest"
        ),
        pytest.param(
            3.0, SolutionQuality.FEASIBLE, "at most 100.0% above the least", id="one is not"
        ),
    ],
)
def test_where_time_runs_out_there_is_still_a_placement(monkeypatch, second, outcome, message):
    monkeypatch.setattr(exact, "MAX_VARIABLES", 0)
    monkeypatch.setattr(program, "relax", lambda *_: program.Relaxed(0.0))
    two = [demand(f"m{i}", option(cpu=3.0), option("b", second)) for i in range(2)]
    solution = solve(problem([nodes(), nodes("b")], *two))
    assert (solution.outcome, solution.bound) == (outcome, 2.0)
    assert solution.message.endswith(message)


def test_a_bound_of_nothing_leaves_the_gap_open(monkeypatch):
    monkeypatch.setattr(exact, "MAX_VARIABLES", 0)
    monkeypatch.setattr(program, "relax", lambda *_: program.Relaxed(0.0))
    two = [demand(f"m{i}", option(cpu=3.0, cost=0.0), option("b")) for i in range(2)]
    solution = solve(problem([nodes(), nodes("b")], *two))
    assert (solution.outcome, solution.cost, solution.gap) == (SolutionQuality.FEASIBLE, 1.0, 0.0)
    assert solution.message == "all 2 models are placed; the least cost may be 0"


def test_where_the_integer_program_finds_nothing_what_the_relaxation_proposed_counts(monkeypatch):
    monkeypatch.setattr(exact, "MAX_VARIABLES", 0)
    monkeypatch.setattr(program, "integral", lambda *_: program.Integral(0.0, {}))
    three = [demand(f"m{i}", option(cpu=1.25), option("b", 2.0)) for i in range(3)]
    solution = solve(problem([nodes(count=2, cpu=2.0), nodes("b")], *three))
    assert (solution.outcome, solution.cost, solution.bound) == (SolutionQuality.FEASIBLE, 4.0, 3.0)


def test_a_large_problem_that_is_nearly_at_its_bound_is_left_at_that(monkeypatch):
    """One of three is split by the relaxation: what comes of it costs 0.3 % more than the bound."""
    monkeypatch.setattr(exact, "MAX_VARIABLES", 0)
    monkeypatch.setattr(program, "MAX_VARIABLES", 0)
    monkeypatch.setattr(program, "integral", lambda *_: pytest.fail("it was asked"))
    three = [demand(f"m{i}", option(cpu=1.25), option("b", 1.01)) for i in range(3)]
    solution = solve(problem([nodes(count=2, cpu=2.0), nodes("b")], *three))
    assert (solution.outcome, solution.cost) == (SolutionQuality.FEASIBLE, 3.01)


def test_the_bound_of_a_program_that_was_thinned_out_is_the_relaxations(monkeypatch):
    monkeypatch.setattr(exact, "MAX_VARIABLES", 0)
    monkeypatch.setattr(program, "MAX_VARIABLES", 0)
    three = [demand(f"m{i}", option(cpu=1.25), option("b", 2.0)) for i in range(3)]
    solution = solve(problem([nodes(count=2, cpu=2.0), nodes("b")], *three))
    assert (solution.cost, solution.bound) == (4.0, 3.0)


def test_a_move_must_pay():
    here, there = option("a", 1.0), option("b", 0.9)
    staying = demand("m", here, there, present=("a", "cpu"), move_factor=1.2)
    kinds = [nodes("a"), nodes("b")]
    assert solve(problem(kinds, staying)).placed["m"].option == here
    moving = replace(staying, move_factor=1.1)
    assert solve(problem(kinds, moving)).placed["m"].option == there


def test_one_more_model_goes_where_it_costs_least_of_what_is_free():
    kinds = (nodes("a", cpu=1.0), nodes("b", 3))
    offered = demand("m", option("a", 1.0, cpu=2.0), option("b", 2.0, 2, cpu=3.0))
    placed = place_next(Packing(kinds), offered)
    assert (placed.option.node_type, placed.nodes) == ("b", (0, 1))
    assert place_next(Packing((nodes("a", cpu=1.0),)), offered) is None


def test_processors_are_not_added_up():
    """Three replicas need 0.6 of a processor each, and a node has two: together 2, for 1.8."""
    asked = problem([gpus()], *(demand(f"m{i}", option(gpu=0.6)) for i in range(3)))
    solution = solve(asked)
    assert solution.outcome == SolutionQuality.INFEASIBLE
    assert len(solution.placed) == 2
    assert faults(asked, solution) == []


def test_where_it_is_not_proved_that_processors_are_too_small_the_answer_is_unknown(monkeypatch):
    monkeypatch.setattr(exact, "MAX_VARIABLES", -1)
    asked = problem([gpus()], *(demand(f"m{i}", option(gpu=0.6)) for i in range(3)))
    assert solve(asked).outcome == SolutionQuality.UNKNOWN
