import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import PlacementSpec, WorkloadWeights
from ferryman.api.inference_model_status import (
    InferenceModelStatus,
    PlacementStatus,
    UnschedulablePlace,
)
from ferryman.core.placement.choose import choose, score
from ferryman.core.placement.policies import MAX_CANDIDATES
from tests.factories import (
    NOW,
    at,
    benchmark,
    model,
    node,
    processor,
    runtime,
    snapshot,
    source,
)

FAST_GPU = benchmark(2_500.0, processor="gpu", node_type="gb10")


def small(name="small-1", utilisation=0.1, memory=0.1, **fields):
    """Return an idle node of a slow type."""
    return node(name, "small", processors=[processor("cpu", utilisation, memory)], **fields)


def large(name="large-1", utilisation=0.1, memory=0.1, **fields):
    """Return a node of a type four times as fast."""
    table = benchmark(400.0, node_type="large")
    cpu = processor("cpu", utilisation, memory, product="Large CPU")
    return node(name, "large", processors=[cpu], benchmarks=[table], **fields)


def placed_on(node_type="large", **fields):
    """Return a model that was placed some time ago."""
    placement = PlacementStatus(
        node_type=node_type,
        processor="cpu",
        product="Large CPU",
        preferred_node=f"{node_type}-1",
        since=at(-600),
        reason=Reason.LEAST_WORKLOAD,
        message="then",
    )
    return model(status=InferenceModelStatus(placement=placement), **fields)


def after(placement, **fields):
    """Return a model whose status holds a placement."""
    return model(status=InferenceModelStatus(placement=placement), **fields)


def reasons(placement):
    return {(c.node_type, c.processor): c.reason for c in placement.candidates}


def test_the_node_type_with_the_least_workload_is_chosen():
    placement = choose(snapshot(nodes=[small(), large()]), NOW)
    assert (placement.node_type, placement.processor) == ("large", "cpu")
    assert (placement.preferred_node, placement.product) == ("large-1", "Large CPU")
    assert (placement.since, placement.reason) == (at(0), Reason.LEAST_WORKLOAD)
    assert placement.message == (
        "large (cpu): workload 0.45 = benchmark 0.25 + memory 0.10 + utilisation 0.10; "
        "the least of 2, next is small with 1.20"
    )


def test_every_candidate_is_listed_with_its_terms_the_best_first():
    first, second = choose(snapshot(nodes=[small(), large(memory=0.2)]), NOW).candidates
    assert (first.chosen, first.node, first.benchmark, first.memory, first.utilisation) == (
        True,
        "large-1",
        0.25,
        0.2,
        0.1,
    )
    assert (second.chosen, second.reason) == (False, Reason.MORE_WORKLOAD)
    assert (first.workload, second.workload) == (0.55, 1.2)
    assert second.message == (
        "workload 1.20 = benchmark 1.00 + memory 0.10 + utilisation 0.10; 0.65 more than large"
    )


def test_unknown_memory_is_shown_as_unknown_and_costs_a_gpu_no_model():
    silent = node("gb10", "gb10", processors=[processor("gpu", 0.3, None)], benchmarks=[FAST_GPU])
    placement = choose(snapshot(nodes=[small(), silent]), NOW)
    assert (placement.node_type, placement.candidates[0].memory) == ("gb10", None)
    assert placement.message == (
        "gb10 (gpu): workload 0.34 = benchmark 0.04 + utilisation 0.30 "
        "(without memory, unknown for a whole class); the least of 2, next is small with 1.10"
    )


def test_what_stands_in_for_an_unknown_term_is_said():
    nodes = [small(), node("big-1", "big", processors=[processor("cpu", 0.1, None)])]
    first, second = choose(snapshot(nodes=nodes), NOW).candidates
    assert {first.memory, second.memory} == {0.1, None}
    silent = first if first.memory is None else second
    assert "unknown memory as 0.10" in silent.message


def test_a_busy_fast_node_loses_against_an_idle_slow_one():
    placement = choose(snapshot(nodes=[small(), large(utilisation=0.9, memory=0.9)]), NOW)
    assert placement.node_type == "small"


def test_weights_stand_in_the_message():
    weights = WorkloadWeights(benchmark=3)
    asked = model(placement=PlacementSpec(weights=weights))
    placement = choose(snapshot(model=asked, nodes=[small()]), NOW)
    assert placement.message == (
        "small (cpu): workload 3.20 = 3 x benchmark 1.00 + memory 0.10 + utilisation 0.10; "
        "the only candidate that can serve"
    )


@pytest.mark.parametrize(
    ("second", "why"),
    [
        pytest.param(
            node("b-1", "b", processors=[processor("cpu", 0.1, 0.1)]),
            "equal to a, which comes first by name",
            id="equally fast",
        ),
        pytest.param(
            node(
                "b-1",
                "b",
                processors=[processor("cpu", 0.0, 0.0)],
                benchmarks=[benchmark(100 / 1.25, node_type="b")],
            ),
            "equal to a, which is faster",
            id="slower, and less busy by as much",
        ),
    ],
)
def test_ties_are_explained(second, why):
    first = node("a-1", "a", processors=[processor("cpu", 0.1, 0.1)])
    placement = choose(snapshot(nodes=[second, first]), NOW)
    assert placement.node_type == "a"
    assert placement.candidates[1].message.endswith(why)


def test_refused_candidates_follow_with_their_reasons():
    placement = choose(snapshot(nodes=[small(), large(ready=False)]), NOW)
    assert placement.node_type == "small"
    refused = placement.candidates[1]
    assert (refused.node_type, refused.reason, refused.node) == (
        "large",
        Reason.NODE_NOT_READY,
        "large-1",
    )
    assert (refused.chosen, refused.workload, refused.benchmark) == (False, None, None)


def test_nodes_without_a_profile_are_listed_together():
    nodes = [small(), node("z", has_profile=False), node("y", has_profile=False)]
    unknown = choose(snapshot(nodes=nodes), NOW).candidates[-1]
    assert (unknown.node_type, unknown.reason) == ("unknown", Reason.NO_NODE_PROFILE)
    assert unknown.message == "no agent has reported from y, z yet: see whether it runs there"


def test_nodes_whose_taints_keep_agents_away_are_told_apart():
    taint = ("node-role.kubernetes.io/control-plane:NoSchedule",)
    control_plane = node("c", has_profile=False).with_(taints=taint)
    nodes = [small(), node("z", has_profile=False), control_plane]
    missing, tainted = choose(snapshot(nodes=nodes), NOW).candidates[-2:]
    assert missing.reason == Reason.NO_NODE_PROFILE
    assert tainted.reason == Reason.TAINT_NOT_TOLERATED
    assert tainted.message == (
        "no agent reports from nodes whose taints keep it away: "
        "c (node-role.kubernetes.io/control-plane:NoSchedule)"
    )
    alone = choose(snapshot(nodes=[control_plane]), NOW)
    assert (alone.node_type, alone.reason) == (None, Reason.NO_NODE_PROFILE)


@pytest.mark.parametrize(
    ("nodes", "reason", "words"),
    [
        pytest.param([], Reason.NO_NODE_PROFILE, "there are no nodes", id="no nodes"),
        pytest.param(
            [node("n", has_profile=False)],
            Reason.NO_NODE_PROFILE,
            "no agent has reported from n yet",
            id="no profiles",
        ),
        pytest.param(
            [small(ready=False), large(heartbeat_age_s=300)],
            Reason.NO_CANDIDATE,
            "small (cpu): small-1 is cordoned",
            id="all are refused",
        ),
    ],
)
def test_nowhere_to_go(nodes, reason, words):
    placement = choose(snapshot(nodes=nodes), NOW)
    assert (placement.node_type, placement.processor, placement.since) == (None, None, None)
    assert placement.reason == reason
    assert placement.message.startswith("no node type can serve the model: ")
    assert words in placement.message


def test_status_holds_no_more_candidates_than_the_api_allows():
    nodes = [node(f"n-{i}", f"type-{i:03}") for i in range(MAX_CANDIDATES + 5)]
    candidates = choose(snapshot(nodes=nodes), NOW).candidates
    assert len(candidates) == MAX_CANDIDATES
    assert [c.chosen for c in candidates].index(True) == 0


def test_a_message_of_many_refusals_is_cut_not_refused():
    nodes = [node(f"n-{i}", f"type-{i:03}", ready=False) for i in range(60)]
    assert len(choose(snapshot(nodes=nodes), NOW).message) <= 1024


# A placement is kept.


def test_a_placement_is_kept_when_another_type_has_less_workload_now():
    placement = choose(snapshot(model=placed_on("small"), nodes=[small(), large()]), NOW)
    assert (placement.node_type, placement.since) == ("small", at(-600))
    assert (placement.preferred_node, placement.product) == ("small-1", "Large CPU")
    assert (placement.reason, placement.message) == (Reason.LEAST_WORKLOAD, "then")


def test_while_it_is_kept_the_candidates_say_so():
    placement = choose(snapshot(model=placed_on("small"), nodes=[small(), large()]), NOW)
    best, kept = placement.candidates
    assert (best.node_type, best.chosen, best.reason) == ("large", False, Reason.FEASIBLE)
    assert best.message.endswith("utilisation 0.10; the placement on small is kept")
    assert (kept.node_type, kept.chosen, kept.reason) == ("small", True, Reason.RETAINED)
    assert kept.message.endswith("utilisation 0.10; the placement is kept")


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        pytest.param([large(heartbeat_age_s=900)], Reason.PROFILE_STALE, id="the agent is silent"),
        pytest.param([large(ready=False)], Reason.NODE_NOT_READY, id="the node is not ready"),
        pytest.param(
            [large("large-2", reserved={"reserved_cpu_millicores": 4000})],
            Reason.INSUFFICIENT_RESOURCES,
            id="a full peer of the node",
        ),
    ],
)
def test_what_serves_keeps_serving(nodes, reason):
    placement = choose(snapshot(model=placed_on("large"), nodes=[*nodes, small()]), NOW)
    assert (placement.node_type, placement.since) == ("large", at(-600))
    [kept] = [c for c in placement.candidates if c.chosen]
    assert (kept.node_type, kept.reason) == ("large", reason)


@pytest.mark.parametrize(
    ("asked", "served", "nodes", "expected", "why"),
    [
        pytest.param(
            placed_on("large"),
            runtime(),
            [small()],
            "small",
            "placed anew because no node of type large is left: small (cpu): ",
            id="its last node went",
        ),
        pytest.param(
            placed_on("large", placement=PlacementSpec(node_selector={"zone": "a"})),
            runtime(),
            [small(labels={"zone": "a"}), large(labels={"zone": "b"})],
            "small",
            "placed anew because spec.placement selects no node of type large any more: ",
            id="its nodes are no longer selected",
        ),
        pytest.param(
            placed_on("large", placement=PlacementSpec(processors=("gpu",))),
            runtime(),
            [large(), node("g", "gpus", processors=[processor("gpu")])],
            "gpus",
            "placed anew because spec.placement.processors allows gpu only: gpus (gpu): ",
            id="its class is no longer allowed",
        ),
        pytest.param(
            placed_on("large", model=source(model_format="tensorrt")),
            runtime(),
            [large()],
            None,
            "placed anew because runtime triton serves onnx on cpu, the model is tensorrt: "
            "no node type can serve",
            id="its runtime no longer serves it, and nothing else does",
        ),
    ],
)
def test_a_placement_is_decided_anew(asked, served, nodes, expected, why):
    placement = choose(snapshot(model=asked, runtime=served, nodes=nodes), NOW)
    assert placement.node_type == expected
    assert placement.message.startswith(why)
    assert placement.since == (at(0) if expected else None)


def test_a_model_that_found_no_place_is_decided_afresh():
    nowhere = choose(snapshot(nodes=[]), NOW)
    placement = choose(snapshot(model=after(nowhere), nodes=[small()]), NOW)
    assert (placement.node_type, placement.reason) == ("small", Reason.LEAST_WORKLOAD)


def test_a_placement_without_a_time_is_kept_without_one():
    undated = placed_on("small").status.placement.with_(since=None)
    placement = choose(snapshot(model=after(undated), nodes=[small()]), NOW)
    assert (placement.node_type, placement.since) == ("small", None)
    assert placement.message == undated.message


# An idle cluster causes no writes.


def test_changing_utilisation_leaves_the_status_as_it_is():
    first = choose(snapshot(nodes=[small(), large()]), NOW)
    kept = choose(snapshot(model=after(first), nodes=[small(), large()]), NOW)
    assert kept.candidates == first.candidates
    busier = [small(utilisation=0.7), large("large-2", utilisation=0.9), large(memory=0.9)]
    assert choose(snapshot(model=after(kept), nodes=busier), NOW) == kept


def test_a_placement_that_stands_is_kept_without_a_look_at_any_node():
    first = choose(snapshot(nodes=[small(), large()]), NOW)
    standing = snapshot(model=after(first), nodes=[]).with_(placement_is_valid=True)
    assert choose(standing, NOW) is first


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param([small(ready=False), large()], id="another candidate is refused now"),
        pytest.param([large()], id="another candidate went"),
        pytest.param([small(), large(), node("n", "new")], id="another candidate came"),
    ],
)
def test_another_set_of_candidates_is_written(nodes):
    first = choose(snapshot(nodes=[small(), large()]), NOW)
    kept = choose(snapshot(model=after(first), nodes=nodes), NOW)
    assert kept.candidates != first.candidates
    assert kept.node_type == "large"
    assert choose(snapshot(model=after(kept), nodes=nodes), NOW) == kept


# Without the runtime.


def test_a_new_model_without_its_runtime_waits_for_it():
    placement = choose(snapshot(has_runtime=False), NOW)
    assert (placement.node_type, placement.reason) == (None, Reason.RUNTIME_NOT_FOUND)
    assert placement.message == "there is no InferenceRuntime triton: create it"


def test_a_placed_model_stays_where_it_is_without_its_runtime():
    asked = placed_on("large")
    placement = choose(snapshot(model=asked, has_runtime=False), NOW)
    assert (placement.node_type, placement.since) == ("large", at(-600))
    assert placement == asked.status.placement, "its conditions say what is missing"
    back = choose(snapshot(model=after(placement), nodes=[large()]), NOW)
    assert (back.node_type, back.since, back.message) == ("large", at(-600), "then")


# What a fresh decision would say.


def test_score_tells_what_would_be_chosen_today():
    candidates = score(snapshot(model=placed_on("small"), nodes=[small(), large()]), NOW)
    assert [(c.node_type, c.chosen) for c in candidates] == [("large", True), ("small", False)]


def test_score_is_empty_without_the_runtime():
    assert score(snapshot(has_runtime=False), NOW) == ()


SHARES = st.one_of(st.none(), st.floats(min_value=0, max_value=1))
NODES = st.lists(
    st.builds(
        lambda index, kind, rate, utilisation, memory, ready, age_s: node(
            f"n{index}",
            kind,
            processors=[processor("cpu", utilisation, memory)],
            benchmarks=[benchmark(rate, node_type=kind)],
            ready=ready,
            heartbeat_age_s=age_s,
        ),
        st.integers(0, 99),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([1.0, 50.0, 400.0]),
        SHARES,
        SHARES,
        st.booleans(),
        st.sampled_from([10, 500]),
    ),
    max_size=5,
    unique_by=lambda n: n.name,
)


@given(NODES)
def test_at_most_one_is_chosen_and_it_is_the_least(nodes):
    placement = choose(snapshot(nodes=nodes), NOW)
    chosen = [c for c in placement.candidates if c.chosen]
    feasible = [c for c in placement.candidates if c.workload is not None]
    assert len(chosen) == (1 if feasible else 0)
    assert all(chosen[0].workload <= c.workload for c in feasible)
    assert all(0 <= c.workload <= 3 for c in feasible)
    assert bool(placement.node_type) == bool(feasible)


@given(NODES)
def test_the_order_of_nodes_does_not_matter(nodes):
    assert choose(snapshot(nodes=nodes), NOW) == choose(snapshot(nodes=nodes[::-1]), NOW)


@given(NODES, NODES)
def test_a_decision_repeated_changes_nothing(before, now):
    first = choose(snapshot(nodes=before), NOW)
    second = choose(snapshot(model=after(first), nodes=now), NOW)
    third = choose(snapshot(model=after(second), nodes=now), NOW)
    if second.node_type == first.node_type is not None:
        assert third == second


def many(utilisation):
    """Return seventy node types, more than status may list, each as busy as it is told."""
    return [
        node(f"n{i:02}", f"t{i:02}", processors=(processor("cpu", utilisation=utilisation(i)),))
        for i in range(70)
    ]


def test_of_more_types_than_status_may_list_the_listed_ones_stay_while_utilisation_moves():
    chosen = choose(snapshot(nodes=many(lambda i: i / 100)), NOW)
    assert len(chosen.candidates) == 64
    kept = choose(snapshot(model=after(chosen), nodes=many(lambda i: i / 100)), NOW)
    later = choose(snapshot(model=after(kept), nodes=many(lambda i: 1 - i / 100)), NOW)
    assert later == kept
    assert [each.node_type for each in later.candidates if each.chosen] == [chosen.node_type]


def test_the_chosen_type_is_listed_whatever_its_place_has_become():
    chosen = choose(snapshot(nodes=many(lambda i: i / 100)), NOW)
    nodes = many(lambda i: 1 - i / 100)
    nodes[1] = nodes[1].with_(ready=False)
    later = choose(snapshot(model=after(chosen), nodes=nodes), NOW)
    assert len(later.candidates) == 64
    assert [each.node_type for each in later.candidates if each.chosen] == [chosen.node_type]


def test_with_nowhere_to_go_what_led_there_stays_readable_and_full_types_stay_full():
    full = UnschedulablePlace(node_type="b", processor="cpu", time=at(-600), message="0/3 nodes")
    before = placed_on("a").status.placement.with_(unschedulable=(full,))
    asleep = [node("b1", "b", ready=False)]
    gone = choose(snapshot(model=after(before), nodes=asleep), NOW)
    assert (gone.node_type, gone.unschedulable) == (None, (full,))
    assert "placed anew because no node of type a is left" in gone.message
    assert choose(snapshot(model=after(gone), nodes=asleep), NOW) == gone
    back = choose(snapshot(model=after(gone), nodes=[node("b1", "b")]), NOW)
    assert back.node_type is None, "the type counts as full for its hour"
