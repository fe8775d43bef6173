import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.core.fleet.packing import Packing, left
from ferryman.core.fleet.problem import NodePool, Placed
from tests.unit.core.fleet.problems import demand, gpus, nodes, option, problem, problems


def test_replicas_go_where_the_least_is_left():
    kind = NodePool("a", ({"cpu": 4.0}, {"cpu": 1.5}, {"cpu": 3.0}))
    packing = Packing([kind])
    assert packing.place(option(cpu=1.0, replicas=5)).nodes == (1, 2, 2, 2, 0)
    assert packing.left("a") == ({"cpu": 3.0}, {"cpu": 0.5}, {"cpu": 0.0})
    assert packing.place(option(cpu=1.0)).nodes == (0,)


def test_what_does_not_fit_changes_nothing():
    packing = Packing([nodes(count=2)])
    assert packing.place(option(cpu=3.0, replicas=3)) is None
    assert packing.left("a") == ({"cpu": 4.0}, {"cpu": 4.0})


def test_a_resource_that_a_model_does_not_use_does_not_matter():
    packing = Packing([NodePool("a", ({"cpu": 4.0, "gpu": 0.0}, {"cpu": 1.0, "gpu": 8.0}))])
    assert packing.place(option(cpu=2.0)).nodes == (0,)
    assert packing.possible([option(cpu=2.0), option(gpu=9.0)]) == [True, False]


def test_the_order_of_resources_does_not_matter():
    packing = Packing([nodes(cpu=2.0, memory=8.0)])
    placed = packing.place(option(memory=6.0, cpu=1.0))
    assert packing.left("a") == ({"cpu": 1.0, "memory": 2.0},)
    packing.remove(placed)
    assert packing.left("a") == ({"cpu": 2.0, "memory": 8.0},)


@pytest.mark.parametrize("wanted", [option("b"), option(gpu=1.0)])
def test_what_is_not_there_has_no_place(wanted):
    packing = Packing([nodes()])
    assert packing.place(wanted) is None
    assert not packing.take(Placed(wanted, (0,)))
    assert (packing.size(wanted), packing.fits(wanted), packing.possible([wanted])) == (
        0,
        False,
        [False],
    )
    packing.restore(Placed(wanted, (0,)))
    assert packing.left("a") == ({"cpu": 4.0},)


def test_what_uses_nothing_fits_anywhere():
    packing = Packing([nodes()])
    nothing = option(cpu=0.0, replicas=3)
    assert packing.place(nothing).nodes == (0, 0, 0)
    assert packing.lack(nothing) == "nodes"


def test_no_replicas_need_no_node():
    packing = Packing([nodes()])
    assert packing.place(option(replicas=0)).nodes == ()


def test_named_nodes_are_taken_only_with_room():
    packing = Packing([nodes(count=2)])
    wanted = option(cpu=3.0, replicas=2)
    assert not packing.take(Placed(wanted, (0, 0)))
    assert packing.take(Placed(wanted, (0, 1)))
    assert not packing.fits(option(cpu=2.0))
    assert packing.fits(option(cpu=1.0))
    assert packing.left("a") == ({"cpu": 1.0}, {"cpu": 1.0}), "to ask takes nothing"


def test_what_is_left_of_a_placement_is_added_up():
    asked = problem([nodes(count=2), nodes("b", 0)], demand("m", option(cpu=3.0)))
    found = left(asked, [Placed(option(cpu=3.0), (1,))])
    assert found == {"a": ({"cpu": 4.0}, {"cpu": 1.0}), "b": ()}


@given(problems(), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_possible_says_what_placing_each_alone_finds(asked, taken):
    options = [o for each in asked.demands for o in each.options]
    kinds = {kind.name: kind for kind in asked.node_types}
    packing = Packing(asked.node_types)
    for each in options[:taken]:
        packing.place(each)
    for each, possible in zip(options, packing.possible(options), strict=True):
        if kinds[each.node_type].part_of(each) is None:
            assert possible == packing.fits(each)
        else:
            assert possible or not packing.fits(each)


def test_each_replica_has_one_processor_and_the_fullest_that_will_do():
    packing = Packing([gpus(count=2, nodes=2)])
    assert packing.place(option(gpu=0.25)).devices == (0,)
    assert packing.place(option(gpu=0.5)) == Placed(option(gpu=0.5), (0,), (0,))
    assert packing.place(option(gpu=0.5)) == Placed(option(gpu=0.5), (0,), (1,))
    several = packing.place(option(gpu=0.5, replicas=3))
    assert (several.nodes, several.devices) == ((0, 1, 1), (1, 0, 0))
    packing.remove(several)
    assert packing.place(option(gpu=0.5, replicas=6)) is None
    assert packing.place(option(gpu=0.5, replicas=5)).devices == (1, 0, 0, 1, 1)


def test_what_one_processor_needs_may_be_too_much_of_what_the_node_shares():
    packing = Packing([gpus(count=2, cpu=1.0)])
    wanted = option(gpu=0.5, cpu=1.0)
    assert packing.take(Placed(wanted, (0,))) is not None
    assert packing.take(Placed(wanted, (0,))) is None
    assert packing.left("a") == ({"cpu": 0.0, "gpu": 1.5},)


def test_what_lacks_is_told_by_what_one_processor_has():
    packing = Packing([gpus(count=4, cpu=8.0)])
    packing.place(option(gpu=0.75, replicas=4))
    assert packing.lack(option(gpu=0.5, cpu=6.0)) == "gpu"
    assert packing.left("a") == ({"cpu": 8.0, "gpu": 1.0},)


def test_processors_that_are_not_named_are_chosen():
    packing = Packing([gpus()])
    wanted = option(gpu=0.6)
    assert packing.take(Placed(wanted, (0,))) == Placed(wanted, (0,), (0,))
    assert packing.take(Placed(wanted, (0,), (0,))) is None
    assert packing.take(Placed(wanted, (0,))) == Placed(wanted, (0,), (1,))
    assert packing.take(Placed(wanted, (0,))) is None
