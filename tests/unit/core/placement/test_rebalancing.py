from datetime import timedelta

import pytest

from ferryman.api.conditions import Condition, ConditionType, Reason
from ferryman.api.inference_model import PlacementSpec, RebalanceSpec, ResourceRequirements
from ferryman.api.inference_model_status import InferenceModelStatus, PlacementStatus
from ferryman.api.resources import model_key
from ferryman.core.placement.choose import choose
from ferryman.core.placement.rebalancing import MOST_MOVED, SETTLED, Participant, advise, takes_part
from ferryman.core.snapshot import Advice
from tests.factories import NOW, at, model, node, objectives, runtime, snapshot
from tests.unit.core.placement.test_costs import large, times

BIG = {"cpu": "16", "memory": "64Gi"}
READY = Condition(
    type=ConditionType.READY,
    status="True",
    reason=Reason.SERVING,
    message="",
    last_transition_time=at(),
)


def serving(
    name="resnet50",
    *,
    since_s=-3600,
    conditions=(READY,),
    node_type="cpu-small",
    known=(),
    mode="Auto",
    policy="BestFit",
    improvement=20,
    **spec,
):
    """Return a model that serves on the small type, and asked to be rebalanced."""
    placement = PlacementStatus(
        node_type=node_type,
        processor="cpu",
        since=at(since_s),
        reason=Reason.BEST_FIT,
        message="then",
    )
    rebalance = RebalanceSpec(mode=mode, min_improvement_percent=improvement)
    return model(
        name,
        placement=PlacementSpec(policy=policy, rebalance=rebalance),
        status=InferenceModelStatus(
            conditions=conditions, placement=placement, service_times=tuple(known)
        ),
        **spec,
    )


def advised(*models, nodes=None):
    participants = [Participant(each, runtime()) for each in models]
    return advise(participants, nodes or [node(), large(allocatable=BIG)], NOW)


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        pytest.param({}, True, id="it asked for it and serves"),
        pytest.param({"policy": "Cheapest"}, True, id="by price as well"),
        pytest.param({"mode": "Never"}, False, id="it did not ask"),
        pytest.param({"policy": "LeastWorkload"}, False, id="its policy follows utilisation"),
        pytest.param({"conditions": ()}, False, id="nobody knows whether it serves"),
        pytest.param({"conditions": (READY.with_(status="False"),)}, False, id="it does not serve"),
        pytest.param({"node_type": None}, False, id="it is placed nowhere"),
        pytest.param({"since_s": -SETTLED.total_seconds() + 1}, False, id="it was placed lately"),
    ],
)
def test_who_takes_part(fields, may):
    assert takes_part(serving(**fields), NOW) is may


def test_a_model_that_was_never_placed_takes_no_part():
    never = serving().with_(status=InferenceModelStatus(conditions=(READY,)))
    assert not takes_part(never, NOW + timedelta(days=1))


def test_a_model_that_saves_enough_is_advised_to_move():
    advice = advised(serving())
    assert advice == {
        model_key("default", "resnet50"): Advice(
            node_type="large",
            processor="cpu",
            message="rebalanced with all others: 75% less on large",
        )
    }


def test_a_model_that_does_not_save_enough_stays():
    assert advised(serving(improvement=80)) == {}
    assert advised(serving(node_type="large")) == {}


def test_a_model_is_not_moved_to_where_it_would_miss():
    """The large type is as fast as the small one, on which a batch of one takes 6 ms."""
    slow = [times(), times("large")]
    nodes = [node(), large(allocatable=BIG)]
    assert advised(serving(known=slow, objectives=objectives(5)), nodes=nodes) == {}


def test_it_leaves_where_it_no_longer_fits():
    full = node(reserved={"reserved_cpu_millicores": 3_900})
    ((advice),) = advised(serving(improvement=99), nodes=[full, large(allocatable=BIG)]).values()
    assert advice.message.endswith("it no longer fits where it is on large")


@pytest.mark.parametrize(
    "here",
    [
        pytest.param(node(ready=False), id="its nodes are cordoned"),
        pytest.param(node(heartbeat_age_s=3_600.0), id="its agent is silent"),
    ],
)
def test_a_model_that_serves_is_not_moved_because_no_new_pod_could_go_there(here):
    """The large type takes a quarter of the share: not enough for one that asks for 80 %."""
    assert advised(serving(improvement=80), nodes=[here, large(allocatable=BIG)]) == {}


def test_nobody_is_moved_to_make_room():
    """``big`` would cost half on ``cheap``, where ``small`` sits, which gains nothing elsewhere."""
    cpus = ResourceRequirements(requests={"cpu": "2", "memory": "1Gi"})
    cpu = ResourceRequirements(requests={"cpu": "1", "memory": "1Gi"})

    def there(kind, price):
        two = {"cpu": "2", "memory": "64Gi"}
        return node(f"{kind}-1", kind, allocatable=two).with_(price_per_hour=price)

    nodes = [there("cheap", 1.0), there("twin", 1.0), there("dear", 2.0)]
    models = [
        serving("small", node_type="cheap", policy="Cheapest", resources=cpu),
        serving("big", node_type="dear", policy="Cheapest", resources=cpus),
        *(serving(f"m{i:02}", node_type="gone", policy="Cheapest") for i in range(40)),
    ]
    moved = {name for _, _, name in advised(*models, nodes=nodes)}
    assert "small" not in moved


def test_no_more_than_a_few_are_moved_at_once():
    models = [serving(f"m{i:02}") for i in range(40)]
    roomy = [
        node(allocatable={"cpu": "400", "memory": "900Gi"}),
        large(allocatable={"cpu": "1600", "memory": "9000Gi"}),
    ]
    assert len(advised(*models, nodes=roomy)) == int(40 * MOST_MOVED)


def test_cheapest_saves_money():
    nodes = [
        node().with_(price_per_hour=0.1),
        large(allocatable=BIG).with_(price_per_hour=4.0),
    ]
    assert advised(serving(policy="Cheapest"), nodes=nodes) == {}
    assert len(advised(serving(policy="Cheapest", node_type="large"), nodes=nodes)) == 1


def test_node_types_without_a_price_are_out_of_the_question_for_cheapest():
    nodes = [node().with_(price_per_hour=9.0), large(allocatable=BIG)]
    assert advised(serving(policy="Cheapest"), nodes=nodes) == {}


def test_nodes_that_are_not_ready_have_no_room():
    silent = node("new-1", has_profile=False)
    nodes = [node(), large(allocatable=BIG, ready=False), silent]
    assert advised(serving(), nodes=nodes) == {}


def test_money_and_nodes_are_not_added_up():
    """Two moves are allowed. In plain numbers those that save money outweigh any of nodes."""
    nodes = [
        node(allocatable={"cpu": "400", "memory": "900Gi"}).with_(price_per_hour=1_000.0),
        large(allocatable={"cpu": "1600", "memory": "9000Gi"}).with_(price_per_hour=9_000.0),
    ]
    much = ResourceRequirements(requests={"cpu": "100", "memory": "1Gi"})
    models = [
        *(serving(f"little-{i:02}") for i in range(38)),
        serving("much", resources=much),
        *(serving(f"money-{i}", node_type="large", policy="Cheapest") for i in range(2)),
    ]
    moved = {name for _, _, name in advised(*models, nodes=nodes)}
    assert len(moved) == 2
    assert "much" in moved


# What becomes of advice

TO_LARGE = Advice(node_type="large", processor="cpu", message="better off there")


def after(advice, nodes=None, **fields):
    shown = snapshot(model=serving(**fields), nodes=nodes or [node(), large()])
    return choose(shown.with_(advice=advice), NOW)


def test_advice_moves_the_model_and_says_so():
    placement = after(TO_LARGE)
    assert (placement.node_type, placement.reason) == ("large", Reason.REBALANCED)
    assert (placement.message, placement.since) == ("better off there", at())
    assert [each.node_type for each in placement.candidates if each.chosen] == ["large"]
    assert placement.preferred_node == "large-1"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"mode": "Never"}, id="rebalancing was switched off"),
        pytest.param({"policy": "LeastWorkload"}, id="the policy does not rebalance"),
    ],
)
def test_advice_from_before_a_change_of_mind_counts_no_more(fields):
    stays, before = after(TO_LARGE, **fields), serving().status.placement
    assert (stays.node_type, stays.since) == (before.node_type, before.since)


@pytest.mark.parametrize(
    ("advice", "nodes"),
    [
        pytest.param(None, None, id="there is none"),
        pytest.param(TO_LARGE.with_(node_type="cpu-small"), None, id="it is there"),
        pytest.param(TO_LARGE, [node()], id="no such node is left"),
        pytest.param(
            TO_LARGE,
            [node(), large(reserved={"reserved_cpu_millicores": 3_900})],
            id="it no longer fits",
        ),
    ],
)
def test_otherwise_it_stays(advice, nodes):
    placement, before = after(advice, nodes), serving().status.placement
    assert (placement.node_type, placement.since) == ("cpu-small", before.since)
    assert (placement.reason, placement.message) == (before.reason, before.message)
