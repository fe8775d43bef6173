"""Which models would be better off on another node type: all of them placed anew together.

Only models that asked for it take part (``placement.rebalance.mode: Auto``), and only few are
moved at a time: each move starts new pods, whose utilisation and service times are to be seen
before the next. What the others use stays used. Each move saves by itself what its model asked
for: nobody is moved to make room. Nodes that take no new pods are room for those that serve there.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor
from operator import attrgetter
from typing import Final

from ferryman.api.conditions import ConditionType, Reason, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.resources import Key
from ferryman.core import timestamps
from ferryman.core.fleet.problem import ModelDemand, NodePool, Option, PlacementProblem
from ferryman.core.placement import candidates, costs, fit, policies
from ferryman.core.placement.costs import Cost
from ferryman.core.placement.departures import unschedulable
from ferryman.core.snapshot import Advice, NodeView

#: No more than this share of the models that take part is moved at once, but always one.
MOST_MOVED: Final = 0.05
#: A model that was placed so recently is not moved.
SETTLED: Final = timedelta(minutes=10)
TIME_LIMIT_S: Final = 2.0
#: What a node has without end while it takes new pods, and every replica that is moved needs.
_TAKES_PODS: Final = "serving.ferryman.dev/takes-pods"
_PLENTY: Final = 1e6
#: Why a model that serves would not be put where it serves.
_FULL: Final = (Reason.INSUFFICIENT_RESOURCES,)


@dataclass(frozen=True, slots=True)
class Participant:
    """A model that may be moved, and the runtime that serves it."""

    model: InferenceModel
    runtime: InferenceRuntime


def takes_part(model: InferenceModel, now: datetime) -> bool:
    """Whether a model may be moved now: it asked for it, serves, and was not moved lately."""
    placement = model.status.placement
    if not policies.may_move(model.spec.placement) or placement is None:
        return False
    if placement.node_type is None or placement.since is None:
        return False
    ready = find(model.status.conditions, ConditionType.READY)
    serves = ready is not None and ready.status == "True"
    return serves and now - timestamps.parse(placement.since) >= SETTLED


def advise(
    participants: Sequence[Participant], nodes: Sequence[NodeView], now: datetime
) -> Mapping[Key, Advice]:
    """Return the moves that save enough; ``nodes`` without what the participants reserve."""
    # SciPy takes some fifty MiB, which an operator that moves nothing need not have.
    from ferryman.core.fleet.solve import solve  # noqa: PLC0415

    seen = [(one.model, _offers(one, nodes, now)) for one in participants]
    choices = [(model, offers) for model, offers in seen if offers is not None]
    unit = _costs_now(choices)
    demands = tuple(_demand(m, offers, unit[m.spec.placement.policy]) for m, offers in choices)
    most = max(1, floor(MOST_MOVED * len(participants)))
    solution = solve(PlacementProblem(_pools(nodes), demands, most), TIME_LIMIT_S)
    advice: dict[Key, Advice] = {}
    for (model, _), demand in zip(choices, demands, strict=True):
        placed = solution.placed.get(demand.model)
        if placed is not None and demand.moves(placed.option):
            advice[model.key] = _advice(demand, placed.option)
    return advice


@dataclass(frozen=True, slots=True)
class _Offers:
    """What a model costs where it serves, and where it would cost enough less."""

    here: Cost | None
    """None where it no longer fits, and any place that meets its objectives will do."""
    elsewhere: tuple[Cost, ...]


def _offers(one: Participant, nodes: Sequence[NodeView], now: datetime) -> _Offers | None:
    """Return where the model may be, its objectives met; None where nothing says what it costs.

    It serves where it is, so that it costs there what it would on nodes that take its pods.
    """
    asked, present = unschedulable.question(one.model, one.runtime, now), _present(one.model)
    found = candidates.find(asked, nodes)
    # By itself: beside a type with room for all replicas, one with less would be refused.
    peers = [node for node in nodes if node.node_type == present[0]]
    serving = [node if node.ready else node.with_(ready=True) for node in peers]
    here = next((c for c in candidates.find(asked, serving) if c.kind == present), None)
    priced = policies.of(one.model.spec.placement).needs_prices
    able = [c for c in found if c.places and (not priced or costs.has_price(c))]
    others = [costs.cost(one.model, c, found, priced=priced) for c in able if c.kind != present]
    meeting = tuple(offer for offer in others if not offer.misses)
    if here is not None and here.refusal is not None and here.refusal.reason in _FULL:
        return _Offers(None, meeting)
    if here is None or not here.places or (priced and not costs.has_price(here)):
        return None
    staying = costs.cost(one.model, here, found, priced=priced)
    enough = 1 - one.model.spec.placement.rebalance.min_improvement_percent / 100
    return _Offers(
        staying, tuple(offer for offer in meeting if offer.total <= enough * staying.total)
    )


def _costs_now(choices: Sequence[tuple[InferenceModel, _Offers]]) -> Mapping[str, float]:
    """Return by policy what its models cost where they are, or at least elsewhere; never 0.

    One policy counts nodes and the other money: only shares of these can be added up.
    """
    totals: defaultdict[str, float] = defaultdict(float)
    for model, offers in choices:
        staying = offers.here or min(offers.elsewhere, key=attrgetter("total"), default=None)
        totals[model.spec.placement.policy] += 0.0 if staying is None else staying.total
    return {policy: total or 1.0 for policy, total in totals.items()}


def _demand(model: InferenceModel, offers: _Offers, unit: float) -> ModelDemand:
    """Return where the model may be; costs are in multiples of ``unit``."""
    moved = (_option(model, offer, unit, {_TAKES_PODS: 1.0}) for offer in offers.elsewhere)
    return ModelDemand(
        model=model.key.qualified_name,
        options=(*([_option(model, offers.here, unit, {})] if offers.here else ()), *moved),
        present=_present(model),
    )


def _option(model: InferenceModel, offer: Cost, unit: float, beside: Mapping[str, float]) -> Option:
    spec = model.spec
    requests = fit.requested(spec.resources, offer.place.entry, spec.devices)
    uses = {resource: float(fit.count(resource, wanted)) for resource, wanted in requests.items()}
    node_type, processor = offer.candidate.kind
    return Option(node_type, processor, model.replicas, {**uses, **beside}, offer.total / unit)


def _pools(nodes: Sequence[NodeView]) -> tuple[NodePool, ...]:
    """Return what is free by node type; a node that takes no new pods keeps those it has."""
    kinds: dict[str, list[dict[str, float]]] = {}
    for node in nodes:
        if node.node_type:
            room = {resource: float(fit.free(node, resource)) for resource in node.allocatable}
            room[_TAKES_PODS] = _PLENTY if node.ready else 0.0
            kinds.setdefault(node.node_type, []).append(room)
    return tuple(NodePool(name, tuple(free)) for name, free in sorted(kinds.items()))


def _advice(demand: ModelDemand, option: Option) -> Advice:
    here = next((o.cost for o in demand.options if not demand.moves(o)), None)
    saved = f"{1 - option.cost / here:.0%} less" if here else "it no longer fits where it is"
    message = f"rebalanced with all others: {saved} on {option.node_type}"
    return Advice(node_type=option.node_type, processor=option.processor, message=message)


def _present(model: InferenceModel) -> tuple[str, str]:
    placement = model.status.placement
    return ("", "") if placement is None else (placement.node_type or "", placement.processor or "")
