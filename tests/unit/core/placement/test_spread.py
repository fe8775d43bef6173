"""Replicas that are kept apart over node types, where the specification asks for it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import PlacementSpec, RebalanceSpec
from ferryman.api.inference_model_status import (
    MAX_FURTHER_NODE_TYPES,
    InferenceModelStatus,
    PlacementStatus,
)
from ferryman.core.placement import reservations
from ferryman.core.placement.choose import choose
from ferryman.core.placement.policies import may_move
from ferryman.core.snapshot import PodView, ServingState
from tests.factories import NOW, at, benchmark, model, node, processor, snapshot

FULL = {"reserved_cpu_millicores": 4000}
APART = PlacementSpec(spread="NodeTypes")


def kind(name, *, speed=100.0, number=1, processor_class="cpu", **fields):
    """Return an idle node of a type; the faster, the less its workload."""
    table = benchmark(speed, node_type=name, processor=processor_class)
    unit = processor(processor_class, 0.1, 0.1)
    return node(f"{name}-{number}", name, processors=[unit], benchmarks=[table], **fields)


FAST, MIDDLE, SLOW = kind("fast", speed=400.0), kind("middle", speed=200.0), kind("slow")


def placed(**fields):
    """Return a placement on the fastest type, some time ago."""
    values = {"node_type": "fast", "processor": "cpu", "preferred_node": "fast-1", **fields}
    return PlacementStatus(since=at(-600), reason=Reason.LEAST_WORKLOAD, message="then", **values)


def decided(nodes, placement=None, *, asked=APART, pods=()):
    status = InferenceModelStatus(placement=placement)
    state = ServingState(exists=True, desired_replicas=2, pods=tuple(pods))
    shot = snapshot(model=model(placement=asked, status=status), nodes=nodes, serving=state)
    return choose(shot, NOW)


def test_other_types_that_could_serve_are_noted_the_best_first():
    found = decided([SLOW, FAST, MIDDLE, kind("full", reserved=FULL)])
    assert found.node_type == "fast"
    assert found.further_node_types == ("middle", "slow")
    assert found.node_types == ("fast", "middle", "slow")


def test_unless_it_is_asked_for_there_is_one_type():
    found = decided([SLOW, FAST], asked=PlacementSpec())
    assert (found.further_node_types, found.node_types) == ((), ("fast",))
    assert "furtherNodeTypes" not in found.as_dict()


def test_a_type_with_another_processor_class_needs_another_image_and_is_left_out():
    gpu = kind("gpu", processor_class="gpu", allocatable={"nvidia.com/gpu": 1, "cpu": "8"})
    assert decided([FAST, SLOW, gpu]).further_node_types == ("slow",)


def test_no_more_are_noted_than_status_holds():
    many = [kind(f"t{number:02}") for number in range(MAX_FURTHER_NODE_TYPES + 3)]
    assert len(decided([FAST, *many]).further_node_types) == MAX_FURTHER_NODE_TYPES


def test_nowhere_is_no_type_at_all():
    assert decided([kind("full", reserved=FULL)]).node_types == ()


@pytest.mark.parametrize(
    ("before", "asked", "nodes", "expected"),
    [
        pytest.param((), APART, [FAST, SLOW], ("slow",), id="asked for later, they are looked for"),
        pytest.param((), APART, [FAST], (), id="there is no other"),
        pytest.param(
            ("slow",), APART, [FAST, MIDDLE, SLOW], ("slow",), id="a new one rolls no pods"
        ),
        pytest.param(
            ("slow",),
            APART,
            [FAST, kind("slow", reserved=FULL)],
            ("slow",),
            id="one that is full at the moment stays",
        ),
        pytest.param(
            ("slow",), PlacementSpec(), [FAST, SLOW], (), id="asked for no more, they are gone"
        ),
    ],
)
def test_while_a_placement_is_kept(before, asked, nodes, expected):
    found = decided(nodes, placed(further_node_types=before), asked=asked)
    assert (found.node_type, found.message) == ("fast", "then")
    assert found.further_node_types == expected


@pytest.mark.parametrize(
    ("serving", "stays"),
    [
        pytest.param("slow-1", True, id="a replica serves on another of its types"),
        pytest.param("fast-1", False, id="all were on the type that died"),
    ],
)
def test_when_the_nodes_of_one_type_died(serving, stays):
    dead = kind("fast", speed=400.0, lost=True)
    pods = [PodView(name="one", node=serving, ready=True)]
    found = decided([dead, SLOW], placed(further_node_types=("slow",)), pods=pods)
    assert (found.node_type == "fast") is stays
    assert stays or found.message.startswith(
        "placed anew because fast-1 is not ready and nothing of the model is left on fast, slow"
    )


@pytest.mark.parametrize(
    ("also", "stays"),
    [
        pytest.param({}, True, id="another of its types takes pods"),
        pytest.param({"ready": False}, False, id="all of them are drained"),
    ],
)
def test_when_the_nodes_of_one_type_are_drained(also, stays):
    nodes = [kind("fast", speed=400.0, ready=False), kind("slow", **also), MIDDLE]
    there = placed(further_node_types=("slow",))
    status = InferenceModelStatus(placement=there)
    waiting = {"unscheduled_since": at(-1), "problem_reason": Reason.POD_UNSCHEDULABLE}
    state = ServingState(exists=True, pods=(PodView(name="evicted"),), **waiting)
    shot = snapshot(model=model(placement=APART, status=status), nodes=nodes, serving=state)
    found = choose(shot, NOW)
    assert (found.node_type == "fast") is stays
    assert stays or "each of its 2 nodes is cordoned" in found.message


def test_pods_are_expected_on_all_of_its_types():
    there = placed(further_node_types=("slow",))
    shot = snapshot(model=model(placement=APART, replicas=2), nodes=[FAST, MIDDLE, SLOW])
    assert reservations.expected(shot, there, 2).nodes == {"fast-1": 1, "slow-1": 1}


def test_a_model_on_several_types_is_not_rebalanced():
    """Even if it was stored before that was refused."""
    auto = PlacementSpec(policy="BestFit", rebalance=RebalanceSpec(mode="Auto"))
    assert may_move(auto)
    assert not may_move(auto.with_(spread="NodeTypes"))


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.lists(st.sampled_from(["free", "full", "dead", "gone"]), min_size=4, max_size=4))
def test_kept_again_and_again_it_stays_as_it_is(states):
    """Whatever becomes of the other types: each change would roll the model's pods."""
    names = ("fast", "a", "b", "c")
    before = decided([kind(name, speed=400.0 if name == "fast" else 100.0) for name in names])
    fields = {"free": {}, "full": {"reserved": FULL}, "dead": {"lost": True}}
    others = zip(names[1:], states[1:], strict=True)
    nodes = [FAST, *(kind(name, **fields[state]) for name, state in others if state != "gone")]
    after = decided(nodes, before, pods=[PodView(name="one", node="fast-1", ready=True)])
    assert after.node_types == before.node_types == names
