"""Rebalancing in worlds that nobody wrote: what each move must hold, whatever the fleet."""

from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.conditions import Condition, ConditionType, Reason
from ferryman.api.inference_model import PlacementSpec, RebalanceSpec, ResourceRequirements
from ferryman.api.inference_model_status import InferenceModelStatus, PlacementStatus
from ferryman.core.placement import costs, fit
from ferryman.core.placement.rebalancing import MOST_MOVED, Participant, advise
from tests import factories
from tests.generated.examples import examples

TYPES = ("a", "b", "c")
RUNTIME = factories.runtime()
READY = Condition(
    type=ConditionType.READY,
    status="True",
    reason=Reason.SERVING,
    message="",
    last_transition_time=factories.at(-3600),
)


@st.composite
def nodes(draw):
    """Return one to three nodes of each of three types; some are cordoned, some without a price."""
    found = []
    for kind in TYPES:
        price = draw(st.none() | st.floats(0.1, 50.0))
        cpu = draw(st.integers(1, 16))
        for number in range(draw(st.integers(1, 3))):
            node = factories.node(
                f"{kind}-{number}",
                kind,
                ready=draw(st.integers(0, 4)) > 0,
                benchmarks=(factories.benchmark(draw(st.floats(1.0, 900.0)), node_type=kind),),
                allocatable={"cpu": str(cpu), "memory": "64Gi"},
            )
            found.append(node.with_(price_per_hour=price))
    return tuple(found)


@st.composite
def participants(draw):
    """Return models that serve, each on a type that may be anything."""
    found = []
    for number in range(draw(st.integers(1, 24))):
        rebalance = RebalanceSpec(mode="Auto", min_improvement_percent=draw(st.integers(1, 60)))
        placement = PlacementStatus(
            node_type=draw(st.sampled_from(TYPES)),
            processor="cpu",
            since=factories.at(-3600),
            reason=Reason.BEST_FIT,
            message="",
        )
        cpu = str(draw(st.integers(1, 4)))
        model = factories.model(
            f"m{number:02}",
            placement=PlacementSpec(
                policy=draw(st.sampled_from(("BestFit", "Cheapest"))), rebalance=rebalance
            ),
            resources=ResourceRequirements(requests={"cpu": cpu, "memory": "1Gi"}),
            replicas=draw(st.integers(1, 3)),
            status=InferenceModelStatus(placement=placement, conditions=(READY,)),
        )
        found.append(Participant(model, RUNTIME))
    return tuple(found)


def price(model, kind, fleet):
    """Return what a model costs on a type, by hand: the share of a node, and the node's price."""
    cpu = int(model.spec.resources.requests["cpu"])
    here = [node for node in fleet if node.node_type == kind]
    share = max(cpu / int(here[0].allocatable["cpu"]), 1 / 64)
    unit = 1.0 if model.spec.placement.policy == "BestFit" else here[0].price_per_hour
    return None if unit is None else model.spec.replicas * share * unit


@examples(300)
@given(nodes(), participants())
def test_every_move_saves_what_its_model_asked_for_and_has_room(fleet, models):
    """The oracle counts by hand. Only a model that does not fit where it serves may cost more."""
    advice = advise(models, fleet, factories.NOW)
    assert len(advice) <= max(1, int(MOST_MOVED * len(models)))
    for one in models:
        found = advice.get(one.model.key)
        if found is None:
            continue
        before = one.model.status.placement.node_type
        assert found.node_type != before
        elsewhere = [node for node in fleet if node.node_type == found.node_type and node.ready]
        wants = fit.requested(one.model.spec.resources, RUNTIME.processor("cpu"))
        assert sum(fit.copies(node, wants) for node in elsewhere) >= one.model.spec.replicas
        fits_here = any(fit.copies(node, wants) for node in fleet if node.node_type == before)
        least = one.model.spec.placement.rebalance.min_improvement_percent / 100
        there, here = (price(one.model, kind, fleet) for kind in (found.node_type, before))
        assert there is not None
        if fits_here:
            assert here is not None, "what it saves is not known"
            assert there <= here * (1 - least) + 1e-9


@examples(60)
@given(nodes(), participants(), st.sampled_from(TYPES))
def test_to_cordon_nodes_moves_nobody_to_what_costs_more(fleet, models, cordoned):
    later = tuple(node.with_(ready=False) if node.node_type == cordoned else node for node in fleet)
    for key, found in advise(models, later, factories.NOW).items():
        model = next(one.model for one in models if one.model.key == key)
        before = model.status.placement.node_type
        wants = fit.requested(model.spec.resources, RUNTIME.processor("cpu"))
        if any(fit.copies(node, wants) for node in fleet if node.node_type == before):
            assert price(model, found.node_type, later) < price(model, before, later)


def test_the_oracle_agrees_with_the_costs_that_decide():
    fleet = (factories.node("a-0", "a", allocatable={"cpu": "8", "memory": "64Gi"}),)
    model = factories.model(
        placement=PlacementSpec(policy="BestFit"),
        resources=ResourceRequirements(requests={"cpu": "2", "memory": "1Gi"}),
    )
    shown = factories.snapshot(model=model, nodes=fleet, runtime=RUNTIME)
    from ferryman.core.placement import candidates  # noqa: PLC0415
    from ferryman.core.placement.departures import unschedulable  # noqa: PLC0415

    question = unschedulable.question(model, RUNTIME, factories.NOW)
    (found,) = candidates.find(question, shown.nodes)
    assert costs.cost(model, found, [found], priced=False).total == price(model, "a", fleet) == 0.25
