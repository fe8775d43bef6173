import pytest

from ferryman.core.fleet import draft
from ferryman.core.fleet.draft import Draft
from tests.unit.core.fleet.problems import demand, nodes, option, problem

FOUR = {"cpu": 4.0}


def there(found):
    return {model: placed.option.node_type for model, placed in found.placed.items()}


def test_one_model_gives_way_to_another_that_fits_nowhere_else():
    flexible = demand("flexible", option("a", 1.0, **FOUR), option("b", 1.5, **FOUR))
    bound = demand("bound", option("a", 1.0, **FOUR))
    found = Draft(problem([nodes("a"), nodes("b")], flexible, bound))
    found.follow({0: flexible.options[0]})
    found.fill()
    assert there(found) == {0: "b", 1: "a"}


@pytest.mark.parametrize(("elsewhere", "kinds"), [(1.5, {0: "b", 1: "a"}), (6.0, {0: "a", 1: "b"})])
def test_a_model_gives_way_only_where_that_pays(elsewhere, kinds):
    cheap = demand("cheap", option("a", 1.0, **FOUR), option("b", elsewhere, **FOUR))
    dear = demand("dear", option("a", 1.0, **FOUR), option("b", 5.0, **FOUR))
    found = Draft(problem([nodes("a"), nodes("b", 2)], cheap, dear))
    found.follow({0: cheap.options[0], 1: dear.options[1]})
    found.improve()
    assert there(found) == kinds


def test_a_way_out_that_costs_more_than_is_saved_is_not_taken():
    """The cheap way out is full: what is left costs 3 more, and 2.5 would be saved."""
    cheap = demand("cheap", *(option(k, c, **FOUR) for k, c in zip("abc", (1, 2, 4), strict=True)))
    dear = demand("dear", option("a", 1.0, **FOUR), option("d", 3.5, **FOUR))
    full = demand("full", option("b", 1.0, **FOUR))
    found = Draft(problem([nodes(kind) for kind in "abcd"], cheap, dear, full))
    found.follow({0: cheap.options[0], 1: dear.options[1], 2: full.options[0]})
    found.improve()
    assert there(found) == {0: "a", 1: "d", 2: "b"}


def test_a_model_with_nowhere_else_to_go_does_not_give_way():
    stays = demand("stays", option("a", 1.0, **FOUR))
    wants = demand("wants", option("a", 1.0, **FOUR))
    large = demand("large", option("a", 1.0, cpu=5.0))
    found = Draft(problem([nodes("a"), nodes("b")], stays, wants, large))
    found.fill()
    assert there(found) == {0: "a"}
    assert found.unplaced == [1, 2]


def test_who_gives_way_must_leave_enough_room_and_find_some():
    small = demand("small", option("a", 1.0, cpu=1.0), option("b", 1.5, cpu=9.0))
    other = demand("other", option("a", 1.0, cpu=3.0), option("b", 1.5, cpu=9.0))
    wants = demand("wants", option("a", 1.0, cpu=3.0))
    found = Draft(problem([nodes("a"), nodes("b")], small, other, wants))
    found.follow({0: small.options[0], 1: other.options[0]})
    found.fill()
    assert there(found) == {0: "a", 1: "a"}


def test_a_search_ends_when_its_tries_are_used_up(monkeypatch):
    monkeypatch.setattr(draft, "TRIES", -1)
    cheap = demand("cheap", option("a", 1.0), option("b", 5.0))
    found = Draft(problem([nodes("a"), nodes("b")], cheap, demand("no", option("a", cpu=9.0))))
    found.follow({0: cheap.options[1]})
    found.fill()
    found.improve()
    assert there(found) == {0: "b"}


def test_a_search_ends_after_its_rounds(monkeypatch):
    monkeypatch.setattr(draft, "ROUNDS", 1)
    cheap = demand("cheap", option("a", 1.0), option("b", 5.0))
    found = Draft(problem([nodes("a"), nodes("b")], cheap))
    found.follow({0: cheap.options[1]})
    found.improve()
    assert there(found) == {0: "a"}


def test_the_number_of_moves_is_kept_while_models_come_and_go():
    moving = [
        demand(f"m{i}", option("a", 1.0 + i), option("b", 0.5), present=("a", "cpu"))
        for i in range(3)
    ]
    found = Draft(problem([nodes("a"), nodes("b")], *moving, max_moves=1))
    found.follow({i: each.options[0] for i, each in enumerate(moving)})
    found.improve()
    assert there(found) == {0: "a", 1: "a", 2: "b"}


def test_nothing_is_ejected_for_a_model_that_may_not_move():
    stays = demand("stays", option("a", 1.0, **FOUR), option("b", 1.0, **FOUR))
    moves = demand("moves", option("a", 1.0, **FOUR), present=("c", "cpu"))
    found = Draft(problem([nodes("a"), nodes("b")], stays, moves, max_moves=0))
    found.follow({0: stays.options[0]})
    found.fill()
    assert there(found) == {0: "a"}


def test_what_does_not_fit_is_not_adopted():
    first, second = (demand(name, option("a", 1.0, cpu=3.0)) for name in ("first", "second"))
    whole = Draft(problem([nodes("a")], first, second))
    whole.fill()
    placed = whole.placed[0]
    found = Draft(problem([nodes("a")], first, second))
    found.adopt({0: placed, 1: placed})
    assert there(found) == {0: "a"}
